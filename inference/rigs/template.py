# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in body in the bones and the rest pose of another rig: other joints and names, the same surface.

A bone of the rig gathers the skin of several joints of the body and turns as one of them, from the rest pose of the
rig, in which the body is laid first. What the joints that it gathers turn beyond that is lost; for one that twists a
limb that is next to nothing, and twist bones bring it back. Vectors of presets are z up, of the left side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry.rotations import between, from_rotation_vector, quaternions_of, rotation_matrices
from ..geometry.skinning import chain, rest_pose
from ..results import Body, Person
from .humanoid import find_preset

#: z up from the body's axes, both ways (it is its own inverse but for the sign of y and z).
_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_KNUCKLES = tuple(f"finger{number}-1" for number in (2, 3, 4, 5))
_FORWARD = (0.0, -1.0, 0.0)


@dataclass(frozen=True)
class Bone:
    """A bone of a preset's rig.

    joints : of the body -> the share of their skin that it takes.  turn : the joint that turns it.
    at : it begins at these joints (their mean), by default at the first of `joints`.
    along, facing : its y and z axes at rest.
    twist : share of the way along its parent at which it lies and shares the parent's twist; 0: no twist bone.
    twisted_by : what twists the limb: "" its own turn, as of upper arms; else the bone at its end, as of forearms.
    helper : a bone without skin: "end" begins where its parent ends, "ground" at the armature's origin; else the name
        of the bone whose place it has.
    """

    name: str
    parent: str
    joints: Mapping[str, float] = field(default_factory=dict)
    turn: str = ""
    at: tuple[str, ...] = ()
    along: tuple[float, ...] = (0.0, 0.0, 1.0)
    facing: tuple[float, ...] = _FORWARD
    twist: float = 0.0
    twisted_by: str = ""
    helper: str = ""


@dataclass(frozen=True)
class Rigged:
    """A person in the bones of a rig.

    body : at the rig's rest; its joints are the bones that have skin.  persons : turned relative to that.
    axes (J, 3, 3) : of these bones at rest, z up, as columns.
    helpers : bones without skin, parents first.  root : the bone on the ground that may carry the motion, or "".
    """

    body: Body
    persons: tuple[Person, ...]
    axes: NDArray[np.float64]
    helpers: tuple[Bone, ...]
    root: str


def in_bones_of(body: Body, persons: Sequence[Person], preset_id: str) -> Rigged:
    """A person's frames in the bones of a preset's rig, its rest pose laid into the person's own build. Made for the
    built-in body. KeyError where the preset has no rig."""
    rig = find_preset(preset_id).rig
    bones = bones_of(preset_id)
    layout = _Layout(body, tuple(bone for bone in bones if not bone.helper), rig.get("reach", {}))
    shape = np.mean([person.shape for person in persons], axis=0)
    joints = rest_pose(body, shape)[1].astype(np.float64)
    heads = layout.heads(joints)
    rest = layout.turns(rest_turns(body, joints, rig.get("pose", {}))[None], joints, heads)[0][0]
    own = layout.twisted(np.swapaxes(rest, -1, -2)[None].copy(), rest, heads)[0]
    laid = _at_rest(body, layout, own)
    given = rotation_matrices(np.stack([person.rotations for person in persons]).astype(np.float64))
    world, _ = chain(body.parents, np.broadcast_to(joints, (len(given), *joints.shape)), given, np.zeros(3))
    posed, roots = layout.turns(world, joints, heads)
    local = layout.relative(layout.twisted(posed @ np.swapaxes(rest, -1, -2), rest, heads))
    moved = np.stack([person.translation for person in persons]) + roots - heads[0]
    at_rest = np.broadcast_to(rest_pose(laid, shape)[1].astype(np.float64), (len(local), len(heads), 3))
    _, places = chain(layout.parents, at_rest, local, moved)
    confidence = np.stack([person.confidence for person in persons])
    confidence = np.minimum(confidence[:, layout.turned], confidence[:, layout.nearest]).astype(np.float32)
    turned = tuple(
        replace(one, rotations=turn, joints=place, translation=step, confidence=sure)
        for one, turn, place, step, sure in zip(
            persons, *(v.astype(np.float32) for v in (quaternions_of(local), places, moved)), confidence, strict=True
        )
    )
    helpers = tuple(bone for bone in bones if bone.helper)
    ground = next((bone.name for bone in helpers if bone.helper == "ground" and not bone.parent), "")
    axes = np.stack([axes_of(bone) for bone in layout.bones])
    return Rigged(laid, turned, axes, helpers, ground)


def rest_turns(body: Body, joints: NDArray, pose: Mapping[str, Sequence[float]]) -> NDArray[np.float64]:
    """(J, 3, 3) how the body's joints turn in the world from its own rest pose, with joints (J, 3), to a rig's: arms,
    hands, fingers and legs along the directions of `pose`; nothing turns without one."""
    index = {name: number for number, name in enumerate(body.joint_names)}
    places = joints @ _UP.T
    turns = np.tile(np.eye(3), (len(joints), 1, 1))
    for side, sign in (("L", 1), ("R", -1)) if pose else ():
        wanted = {part: _unit(np.array(vector) * [sign, 1, 1]) for part, vector in pose.items()}

        def at(*names: str, side: str = side) -> NDArray:
            return places[[index[f"{name}.{side}"] for name in names]].mean(axis=0)

        def turn(pattern: str, matrix: NDArray, side: str = side) -> None:
            for name, number in index.items():
                if name.startswith(tuple(pattern.split())) and name.endswith(side):
                    turns[number] = matrix

        elbow = _unit(at("lowerarm01") - at("upperarm01")), _unit(at("wrist") - at("lowerarm01"))
        arm = (
            _frame(wanted["upper_arm"], np.cross(wanted["upper_arm"], _FORWARD)) @ _frame(elbow[0], np.cross(*elbow)).T
        )
        turn("upperarm", arm)
        forearm = _onto(arm @ elbow[1], wanted["forearm"]) @ arm
        turn("lowerarm01", forearm)
        along, across = at(*_KNUCKLES) - at("wrist"), at(_KNUCKLES[0]) - at(_KNUCKLES[-1])
        hand = _frame(wanted["hand"], wanted["thumb"]) @ _frame(along, across).T
        turn("wrist metacarpal finger1", hand)
        twist = _twist(forearm.T @ hand, elbow[1])
        turn("lowerarm02", forearm @ _about(elbow[1], twist))
        for finger in (2, 3, 4, 5):
            before = hand
            for joint in (1, 2, 3):
                here = at(f"finger{finger}-{min(joint, 2)}"), at(f"finger{finger}-{min(joint, 2) + 1}")
                before = _onto(before @ _unit(here[1] - here[0]), wanted["fingers"]) @ before
                turn(f"finger{finger}-{joint}", before)
        knee = _unit(at("lowerleg01") - at("upperleg01")), _unit(at("foot") - at("lowerleg01"))
        thigh = _onto(knee[0], wanted["thigh"])
        turn("upperleg", thigh)
        turn("lowerleg", _onto(thigh @ knee[1], wanted["shin"]) @ thigh)
    return _UP.T @ turns @ _UP


class _Layout:
    """How the skinned bones of a rig lie in the body."""

    def __init__(self, body: Body, bones: tuple[Bone, ...], reach: Mapping[str, Sequence[str]]) -> None:
        index = {name: number for number, name in enumerate(body.joint_names)}
        places = {bone.name: number for number, bone in enumerate(bones)}
        self.bones, self.names = bones, tuple(bone.name for bone in bones)
        self.parents = np.array([places.get(bone.parent, -1) for bone in bones], np.int32)
        self.body_parents = body.parents
        self.turned = np.array([index[bone.turn] for bone in bones])
        self._begins = np.zeros((len(bones), len(index)))
        for number, bone in enumerate(bones):
            for written in bone.at or tuple(bone.joints)[:1]:
                name, _, times = written.partition(":")
                self._begins[number, index[name]] = float(times or 1)
        self._begins /= np.maximum(self._begins.sum(1, keepdims=True), 1e-9)
        self._ends = [places[bone.twisted_by] if bone.twisted_by else self._end(n) for n, bone in enumerate(bones)]
        self._reach = [(places[end], [places[name] for name in names]) for end, names in reach.items()]
        self.weights = self._weights(body, index)

    def _end(self, bone: int) -> int:
        """Of a twist bone, the bone at the end of the limb: the child of its parent that is not a twist bone."""
        above = self.parents[bone]
        children = [n for n, one in enumerate(self.bones) if self.parents[n] == above and not one.twist]
        return children[0] if self.bones[bone].twist else -1

    @property
    def nearest(self) -> NDArray[np.int64]:
        """(B,) the body's joint that lies most where a bone begins."""
        return np.asarray(np.where(self._begins.any(axis=1), self._begins.argmax(axis=1), self.turned), np.int64)

    def relative(self, turns: NDArray) -> NDArray[np.float64]:
        """Turns (T, B, 3, 3) in the world -> relative to the parent's."""
        above = np.where(self.parents[:, None, None] >= 0, turns[:, self.parents], np.eye(3))
        return np.asarray(np.swapaxes(above, -1, -2) @ turns, np.float64)

    def heads(self, joints: NDArray) -> NDArray[np.float64]:
        """(B, 3) where the bones begin, with the body's joints (J, 3)."""
        heads = self._begins @ joints
        for number, bone in enumerate(self.bones):
            if bone.twist:
                start, end = heads[self.parents[number]], heads[self._ends[number]]
                heads[number] = start + bone.twist * (end - start)
        return heads

    def turns(self, world: NDArray, joints: NDArray, heads: NDArray) -> tuple[NDArray, NDArray]:
        """How the bones turn (T, B, 3, 3) where the body's joints turn by `world` (T, J, 3, 3) from its own rest pose,
        and where the first one begins (T, 3), with the body's root at its place."""
        turns = world[:, self.turned].copy()
        root = joints[0] + (world[:, 0] @ (heads[0] - joints[0]))
        for end, bones in self._reach:
            self._aim(turns, world, joints, heads, root, end, bones)
        return turns, root

    def twisted(self, turns: NDArray, rest: NDArray, heads: NDArray) -> NDArray[np.float64]:
        """Turns (T, B, 3, 3) from the rig's rest with those of its twist bones set to their share.

        rest (B, 3, 3) : of the others, what lays the body's own rest pose, with heads (B, 3), into the rig's.
        """
        for number, bone in enumerate(self.bones):
            if not bone.twist:
                continue
            limb, end = self.parents[number], self._ends[number]
            axis = rest[limb] @ _unit(heads[end] - heads[limb])
            if bone.twisted_by:
                angle = bone.twist * _twist(np.swapaxes(turns[:, limb], -1, -2) @ turns[:, end], axis)
            else:
                above = np.swapaxes(turns[:, self.parents[limb]], -1, -2)
                angle = (bone.twist - 1) * _twist(above @ turns[:, limb], axis)
            turns[:, number] = turns[:, limb] @ _about(axis, angle)
        return turns

    def _aim(
        self, turns: NDArray, world: NDArray, joints: NDArray, heads: NDArray, root: NDArray, end: int, bones: list[int]
    ) -> None:
        """Turn these bones on, by the least that brings the head of `end` to where the body has it: rigs with fewer
        joints bend at other places."""
        target = self._begins[end] @ self._places(world, joints)
        start = self._place(turns, heads, root, bones[0])
        now = self._place(turns, heads, root, end)
        turns[:, bones] = _onto(now - start, target - start)[:, None] @ turns[:, bones]

    def _places(self, world: NDArray, joints: NDArray) -> NDArray[np.float64]:
        """(T, J, 3) of the body's joints, its root where it is at rest."""
        places = np.broadcast_to(joints, (len(world), *joints.shape)).copy()
        for joint in range(1, len(joints)):
            parent = self.body_parents[joint]
            places[:, joint] = places[:, parent] + world[:, parent] @ (joints[joint] - joints[parent])
        return places

    def _place(self, turns: NDArray, heads: NDArray, root: NDArray, bone: int) -> NDArray:
        """(T, 3) where a bone begins."""
        above = self.parents[bone]
        if above < 0:
            return root
        return self._place(turns, heads, root, above) + turns[:, above] @ (heads[bone] - heads[above])

    def _weights(self, body: Body, index: Mapping[str, int]) -> NDArray[np.float32]:
        """(V, B) skin weights: what each bone gathers, that of limbs shared with their twist bones along the limb."""
        weights = np.zeros((len(body.vertices), len(self.bones)), np.float32)
        for number, bone in enumerate(self.bones):
            for joint, share in bone.joints.items():
                weights[:, number] += share * body.skin_weights[:, index[joint]]
        heads = self.heads(body.joints.astype(np.float64))
        for limb in sorted({int(self.parents[n]) for n, bone in enumerate(self.bones) if bone.twist}):
            twists = [n for n, bone in enumerate(self.bones) if bone.twist and self.parents[n] == limb]
            owner = [limb, *twists]
            along = heads[self._ends[twists[0]]] - heads[limb]
            place = (body.vertices - heads[limb]) @ along / (along @ along)
            shares = [0.0 if self.bones[twists[0]].twisted_by else 1.0, *(self.bones[n].twist for n in twists)]
            gathered = weights[:, limb].copy()
            order = np.argsort(shares)
            for rank, which in enumerate(order):
                hat = np.interp(place, np.array(shares)[order], np.eye(len(shares))[rank])
                weights[:, owner[which]] = gathered * hat
        return weights


def _at_rest(body: Body, layout: _Layout, back: NDArray) -> Body:
    """The body in the bones of a rig at the rig's rest, blend shapes too: what skinning with turns `back` (B, 3, 3)
    brings to the body's own rest pose exactly, because people stand in poses that are nearer to that than to a T."""
    turns = np.swapaxes(back, -1, -2)
    local = layout.relative(turns[None])
    blended = np.linalg.inv((layout.weights @ back.reshape(len(back), 9)).reshape(-1, 3, 3))

    def posed(vertices: NDArray, bones: NDArray) -> tuple[NDArray, NDArray]:
        """Vertices (V, 3) and heads (B, 3), or what a blend shape adds to them: all of it is linear."""
        _, places = chain(layout.parents, bones[None], local, np.zeros(3))
        offset = layout.weights @ (bones - (back @ places[0][..., None])[..., 0])
        moved = (blended @ (vertices - offset)[..., None])[..., 0]
        return moved.astype(np.float32), places[0].astype(np.float32)

    vertices, joints = posed(body.vertices, layout.heads(body.joints.astype(np.float64)))
    shapes = [
        posed(shape, layout.heads(at.astype(np.float64)))
        for shape, at in zip(body.shape_blend_shapes, body.joint_blend_shapes, strict=True)
    ]
    return replace(
        body,
        vertices=vertices,
        joint_names=layout.names,
        parents=layout.parents,
        joints=joints,
        skin_weights=layout.weights,
        shape_blend_shapes=np.stack([one for one, _ in shapes]),
        joint_blend_shapes=np.stack([one for _, one in shapes]),
    )


@cache
def bones_of(preset_id: str) -> tuple[Bone, ...]:
    """The bones of a preset's rig, parents first, those without skin last."""
    rig = find_preset(preset_id).rig
    if not rig:
        raise KeyError(preset_id)
    found = {bone.name: bone for bone in _written(rig)}
    ordered: dict[str, Bone] = {}

    def add(bone: Bone) -> None:
        above = found.get(bone.parent)
        if above is not None and above.name not in ordered and bool(above.helper) == bool(bone.helper):
            add(above)
        ordered.setdefault(bone.name, bone)

    for bone in sorted(found.values(), key=lambda bone: bool(bone.helper)):
        add(bone)
    return tuple(ordered.values())


def _written(rig: Any) -> Iterator[Bone]:
    prefix = rig.get("prefix", "")
    for entry in rig["middle"]:
        yield _bone(entry, prefix, {})
    for side, joint in zip(rig["sides"], "LR", strict=True):
        words = {"side": side, "joint": joint}
        for entry in rig["sided"]:
            yield _bone(entry, prefix, words)
        for entry in rig["fingers"]:
            for number, finger in enumerate(entry["fingers"], start=1):
                own = {key.removeprefix("thumb_"): entry[key] for key in sorted(entry) if number == 1 or "_" not in key}
                parent = prefix + own["parent"].format(finger=finger, **words)
                for bone, name in enumerate((prefix + one.format(finger=finger, **words) for one in own["names"]), 1):
                    along = own["along"][min(bone, 3) - 1] if number == 1 else own["along"]
                    joints = {f"finger{number}-{bone}.{joint}": 1.0}
                    yield Bone(
                        name, parent, joints if bone < 4 else {}, f"finger{number}-{min(bone, 3)}.{joint}",
                        along=_mirrored(along, joint), facing=_mirrored(own["facing"], joint),
                        helper="end" if bone > 3 else "",
                    )  # fmt: skip
                    parent = name


def _bone(entry: Any, prefix: str, words: dict[str, str]) -> Bone:
    joints = {name.format(**words): share for name, share in _joints(entry.get("joints", []), words)}
    named = {key: entry[key].format(**words) for key in ("parent", "turn", "helper", "twisted_by") if key in entry}
    for key in ("parent", "twisted_by", "helper"):
        if named.get(key) and named[key] not in ("end", "ground"):
            named[key] = prefix + named[key]
    vectors: dict[str, Any] = {
        key: _mirrored(entry[key], words.get("joint", "L")) for key in ("along", "facing") if key in entry
    }
    named.setdefault("parent", "")
    named.setdefault("turn", list(joints)[-1] if joints else "root")
    at = tuple(name.format(**words) for name in entry.get("at", ()))
    name = prefix + entry["name"].format(**words)
    return Bone(name=name, joints=joints, at=at, twist=entry.get("twist", 0.0), **named, **vectors)


def _joints(written: Sequence[str], words: dict[str, str]) -> Iterator[tuple[str, float]]:
    """The joints of "spine04", "spine04:0.5" (a share of its skin) and "toe*.L" (all of these)."""
    from ..shipped.body import load_body

    for text in written:
        name, _, share = text.format(**words).partition(":")
        start, star, end = name.partition("*")
        every = load_body().joint_names if star else (name,)
        yield from ((one, float(share or 1)) for one in every if one.startswith(start) and one.endswith(end))


def _mirrored(vector: Sequence[float], joint: str) -> tuple[float, ...]:
    return (vector[0] * (-1 if joint == "R" else 1), *vector[1:])


def axes_of(bone: Bone) -> NDArray[np.float64]:
    """(3, 3) of a bone at rest, z up."""
    along = _unit(np.array(bone.along, np.float64))
    facing = np.array(bone.facing, np.float64)
    facing = _unit(facing - along * (facing @ along))
    return np.stack([np.cross(along, facing), along, facing], axis=1)


def _frame(along: NDArray, across: NDArray) -> NDArray[np.float64]:
    """(3, 3) with a direction, what is across it, and what is square to both, as columns."""
    along = _unit(along)
    across = _unit(across - along * (across @ along))
    return np.stack([along, across, np.cross(along, across)], axis=1)


def _onto(start: NDArray, end: NDArray) -> NDArray[np.float64]:
    return rotation_matrices(between(np.asarray(start, np.float64), np.asarray(end, np.float64)))


def _about(axis: NDArray, angle: Any) -> NDArray[np.float64]:
    return rotation_matrices(from_rotation_vector(axis * np.asarray(angle)[..., None]))


def _twist(turns: NDArray, axis: NDArray) -> NDArray[np.float64]:
    """Angles (T) about an axis, or one: the twist of turns (T, 3, 3), going on from frame to frame without a jump."""
    quaternions = quaternions_of(turns)
    angles = 2 * np.arctan2(quaternions[..., 1:] @ axis, quaternions[..., 0])
    return np.asarray(np.unwrap(angles) if angles.ndim else angles, np.float64)


def _unit(vector: NDArray) -> NDArray[np.float64]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
