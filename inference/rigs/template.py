# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in body in the bones of another rig: fewer joints, other names, the same surface.

A bone of the rig gathers the skin of several joints, begins where the first of them lies, and turns as one of them.
What the joints that it gathers turn beyond that is lost; for one that twists a limb that is next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry.rotations import quaternions_of, rotation_matrices
from ..geometry.skinning import chain
from ..results import Body, People, Person
from .humanoid import find_preset


@dataclass(frozen=True)
class _Bone:
    """parent : name, "" for the root.  joints : of the body, whose skin it takes.  turn : the joint that turns it."""

    name: str
    parent: str
    joints: tuple[str, ...]
    turn: str


def in_bones_of(people: People, preset_id: str) -> People:
    """The same people in the bones of a preset's rig: body and persons have its joints, vertices stay as they were
    recovered. Made for the built-in body. KeyError where the preset has no rig."""
    body, bones = people.body, _bones(preset_id)
    index = {name: number for number, name in enumerate(body.joint_names)}
    heads = np.array([index[bone.joints[0]] for bone in bones])
    turns = np.array([index[bone.turn] for bone in bones])
    places = {bone.name: number for number, bone in enumerate(bones)}
    parents = np.array([places.get(bone.parent, -1) for bone in bones], np.int32)
    weights = np.stack([body.skin_weights[:, [index[one] for one in bone.joints]].sum(1) for bone in bones], axis=1)
    rigged = replace(
        body,
        joint_names=tuple(bone.name for bone in bones),
        parents=parents,
        joints=body.joints[heads],
        skin_weights=weights,
        joint_blend_shapes=body.joint_blend_shapes[:, heads],
    )
    frames = tuple(tuple(_rigged(person, body, parents, heads, turns) for person in frame) for frame in people.frames)
    return replace(people, frames=frames, body=rigged)


def _rigged(person: Person, body: Body, parents: NDArray, heads: NDArray, turns: NDArray) -> Person:
    matrices = rotation_matrices(person.rotations.astype(np.float64))[None]
    world, _ = chain(body.parents, np.zeros((1, len(body.parents), 3)), matrices, np.zeros((1, 3)))
    turned = world[0, turns]
    inherited = np.where(parents[:, None, None] >= 0, turned[parents], np.eye(3))
    rotations = quaternions_of(np.swapaxes(inherited, -1, -2) @ turned).astype(np.float32)
    return replace(
        person,
        rotations=rotations,
        joints=person.joints[heads],
        confidence=np.minimum.reduce([person.confidence[heads], person.confidence[turns]]),
    )


@cache
def _bones(preset_id: str) -> tuple[_Bone, ...]:
    """The bones of a preset's rig, parents first."""
    rig = find_preset(preset_id).rig
    if not rig:
        raise KeyError(preset_id)
    found = {bone.name: bone for bone in _written(rig)}
    ordered: dict[str, _Bone] = {}

    def add(bone: _Bone) -> None:
        if bone.parent and bone.parent not in ordered:
            add(found[bone.parent])
        ordered.setdefault(bone.name, bone)

    for bone in found.values():
        add(bone)
    return tuple(ordered.values())


def _written(rig: Any) -> Iterator[_Bone]:
    prefix = rig.get("prefix", "")
    for entry in rig["middle"]:
        yield _bone(entry, prefix, {})
    for side, joint in zip(rig["sides"], "LR", strict=True):
        for entry in rig["sided"]:
            yield _bone(entry, prefix, {"side": side, "joint": joint})
        for entry in rig["fingers"]:
            for number, finger in enumerate(entry["fingers"], start=1):
                for bone in (1, 2, 3):
                    words = {"side": side, "finger": finger, "bone": bone}
                    first = entry.get("thumb_parent", entry["parent"]) if number == 1 else entry["parent"]
                    before = entry["name"].format(**{**words, "bone": bone - 1}) if bone > 1 else first.format(**words)
                    joint_name = f"finger{number}-{bone}.{joint}"
                    yield _Bone(prefix + entry["name"].format(**words), prefix + before, (joint_name,), joint_name)


def _bone(entry: Any, prefix: str, words: dict[str, str]) -> _Bone:
    from ..shipped.body import load_body

    joints: list[str] = []
    for written in entry["joints"]:
        name = written.format(**words)
        if "*" in name:
            start, end = name.split("*")
            named = [one for one in load_body().joint_names if one.startswith(start) and one.endswith(end)]
        else:
            named = [name]
        joints += [one for one in named if one not in joints]
    parent = prefix + entry["parent"].format(**words) if "parent" in entry else ""
    return _Bone(
        prefix + entry["name"].format(**words), parent, tuple(joints), entry.get("turn", joints[-1]).format(**words)
    )
