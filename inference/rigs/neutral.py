# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion of people on the built-in body as the average adult, whatever body it was recovered with, so that the
results of all models look and rig alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.rotations import align_hemisphere, quaternions_of, rotation_matrices
from ..geometry.skinning import chain, pose_body, rest_pose
from ..shipped.body import ATTRIBUTES
from ..shipped.mannequin import load_mannequin
from .humanoid import PARENTS
from .mapping import Mapping, map_bones
from .smplx import Z_UP
from .transfer import Rig, pose, retarget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import Body, People, Person

_UPRIGHT = Z_UP * np.array([1.0, -1.0, -1.0])


def on_builtin_body(people: People, world: NDArray) -> People:
    """The people with their poses on the built-in body, which stands where they stand.

    world : (4, 4) from camera axes (of a camera that moves, those of the first frame) to metres with z up and the
    ground at z = 0. Keypoints, masks and scores stay those of the people. Raises `BadInput` where the joints of their
    body have unknown names.
    """
    body = load_mannequin()
    if people.body.name == body.name:
        return people
    frames: list[list[Person]] = [[] for _ in people.frames]
    worlds = np.broadcast_to(np.asarray(world, np.float64), (len(frames), 4, 4))
    worlds = worlds if people.travel is None else worlds @ people.travel
    for track in people.tracks().values():
        seen = worlds[[frame for frame, _ in track]]
        moved = _moved(people.body, [person for _, person in track], body, seen[:, None, :3, :3], seen[:, :3, 3])
        for (frame, _), person in zip(track, moved, strict=True):
            frames[frame].append(person)
    order = [[person.track_id for person in persons] for persons in people.frames]
    ordered = (
        tuple(sorted(persons, key=lambda one: numbers.index(one.track_id)))
        for persons, numbers in zip(frames, order, strict=True)
    )
    return replace(people, frames=tuple(ordered), body=body)


def _moved(source: Body, persons: Sequence[Person], body: Body, turn: NDArray, way: NDArray) -> list[Person]:
    """The same of one of the people, seen by cameras that turns (T, 1, 3, 3) and ways (T, 3) bring to the world."""
    shape = np.mean([person.shape for person in persons], axis=0)
    mapping = map_bones(source.joint_names).checked(source.name)
    rig, joints = _rig_of(source, shape, mapping)
    turns = rotation_matrices(np.stack([person.rotations for person in persons]).astype(np.float64))
    turned, _ = chain(source.parents, np.broadcast_to(joints, (len(persons), *joints.shape)), turns, np.zeros(3))
    poses = np.tile(np.eye(4), (*turns.shape[:2], 1, 1))
    poses[..., :3, :3] = turn @ turned @ _UPRIGHT.T
    joints = np.stack([person.joints for person in persons]).astype(np.float64)
    poses[..., :3, 3] = (turn @ joints[..., None])[..., 0] + way[:, None]
    own = map_bones(body.joint_names)
    target, rest = _rig_of(body, np.zeros(len(body.shape_blend_shapes)), own)
    placed = pose(target, *retarget(rig, poses, target))
    back = np.swapaxes(turn, -1, -2)
    wide = back @ placed[..., :3, :3] @ _UPRIGHT
    above = wide[:, np.maximum(body.parents, 0)]
    above[:, 0] = np.eye(3)
    rotations = align_hemisphere(quaternions_of(np.swapaxes(above, -1, -2) @ wide)).astype(np.float32)
    root = placed[:, 0, :3, 3] - way
    translation = ((back[:, 0] @ root[..., None])[..., 0] - rest[0]).astype(np.float32)
    confidence = _confidence(np.stack([person.confidence for person in persons]), rig, target)
    none = np.zeros(len(body.shape_blend_shapes), np.float32)
    made = []
    for person, turn, step, sure in zip(persons, rotations, translation, confidence, strict=True):
        vertices, places = pose_body(body, none, turn, step)
        made.append(
            replace(
                person, vertices=vertices, joints=places, rotations=turn, shape=none, translation=step, confidence=sure,
                attributes=dict(ATTRIBUTES), offsets=None, correctives=None,
            )
        )  # fmt: skip
    return made


def _rig_of(body: Body, shape: NDArray, mapping: Mapping) -> tuple[Rig, NDArray[np.float64]]:
    """The body as a rig that stands on the ground at rest, z up, and its joints in camera axes."""
    vertices, joints = (part.astype(np.float64) for part in rest_pose(body, shape))
    rest = np.tile(np.eye(4), (len(joints), 1, 1))
    rest[:, :3, 3] = joints @ _UPRIGHT.T
    rest[:, 2, 3] -= (vertices @ _UPRIGHT.T)[:, 2].min()
    return Rig(body.joint_names, body.parents.astype(np.int64), rest, mapping.roles), joints


def _confidence(given: NDArray, source: Rig, target: Rig) -> NDArray[np.float32]:
    """(T, J) of the target's joints: as sure as the source is of the same part; others as what they hang on."""
    found = np.repeat(given.mean(axis=1, keepdims=True), len(target.names), axis=1)
    part_of = {bone: role for role in target.roles for bone in target.chain(role)}
    for bone, parent in enumerate(target.parents):
        role: str | None = part_of.get(bone)
        while role is not None and not source.chain(role):
            role = PARENTS.get(role)
        if role is not None:
            found[:, bone] = given[:, source.chain(role)].min(axis=1)
        elif parent >= 0:
            found[:, bone] = found[:, parent]
    return found.astype(np.float32)
