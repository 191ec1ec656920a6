# SPDX-License-Identifier: GPL-3.0-or-later
"""Inverse kinematics that follow a motion: where their targets and poles have to be for it.

The solver begins at the pose that the bones are keyed in. Keyed in the pose that is wanted, with a target where the
limb ends and a pole in the plane in which it bends, it ends where it began.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ....inference import rigs

if TYPE_CHECKING:
    from bpy.types import Object
    from numpy.typing import NDArray

#: A pole that is not this far from the middle joint at rest (of the first bone's length) is placed that length away.
_NEAR = 0.1
_COPIES = ("COPY_ROTATION", "COPY_TRANSFORMS")


@dataclass(frozen=True)
class Chain:
    """One IK constraint with a target.  bones : from the one that reaches for it to the chain's root."""

    owner: str
    constraint: Any
    bones: tuple[str, ...]


@dataclass
class Goals:
    """What else has to move: turns (T, 3, 3) and places (T, 3) of bones in the world, and other objects as (T, 4, 4),
    or without a turn where nothing asks for one."""

    turns: dict[str, NDArray] = field(default_factory=dict)
    places: dict[str, NDArray] = field(default_factory=dict)
    objects: dict[Any, tuple[NDArray, bool]] = field(default_factory=dict)


class Places:
    """Where all bones of an armature are in a motion.  rest (J, 4, 4), posed (T, J, 4, 4) in the shown."""

    def __init__(self, names: Sequence[str], rest: NDArray, posed: NDArray, followers: Mapping[str, str]) -> None:
        self.rest = dict(zip(names, rest, strict=True))
        self._posed, self._index, self._followers = posed, {name: n for n, name in enumerate(names)}, followers

    def of(self, name: str) -> NDArray[np.float64]:
        """(T, 4, 4) of a bone, of a follower where it is to be."""
        lead = self._followers.get(name)
        return self.carried(name, lead) if lead else self._posed[:, self._index[name]]

    def carried(self, name: str, by: str) -> NDArray[np.float64]:
        """(T, 4, 4) of a bone that lies to another one as at rest."""
        return self._posed[:, self._index[by]] @ np.linalg.inv(self.rest[by]) @ self.rest[name]


def chains(obj: Object) -> list[Chain]:
    """All limbs of an armature that reach for something."""
    found = []
    for bone in obj.pose.bones:  # type: ignore[union-attr]
        for constraint in bone.constraints:
            any_constraint: Any = constraint
            if constraint.type != "IK" or any_constraint.target is None or not _acts(obj, bone, constraint):
                continue
            line = [bone, *bone.parent_recursive][0 if any_constraint.use_tail else 1 :]
            names = tuple(one.name for one in line[: any_constraint.chain_count or None])
            if names:
                found.append(Chain(bone.name, any_constraint, names))
    return found


def _acts(obj: Object, bone: Any, constraint: Any) -> bool:
    """Whether a constraint does something, or may: its switches can be driven."""
    path = constraint.path_from_id()
    drivers = obj.animation_data.drivers if obj.animation_data else ()
    switched = any(curve.data_path.startswith(path) for curve in drivers)
    return switched or (not constraint.mute and constraint.influence > 0)


@contextmanager
def switched_off(obj: Object) -> Iterator[None]:
    """Without inverse kinematics: what is not driven of their two switches is off."""
    before = [(one.constraint, one.constraint.mute, one.constraint.influence) for one in chains(obj)]
    try:
        for constraint, *_ in before:
            constraint.mute, constraint.influence = True, 0.0
        yield
    finally:
        for constraint, mute, influence in before:
            constraint.mute, constraint.influence = mute, influence


def hinges(obj: Object, rest: Mapping[str, NDArray], mapping: rigs.Mapping) -> dict[str, NDArray[np.float64]]:
    """Role of a knee or elbow that bends about one axis only -> (3,) that axis at rest. rest : bone -> (4, 4)."""
    bones: Any = obj.pose.bones  # type: ignore[union-attr]
    roles = {chain[0]: role for role, chain in mapping.roles.items() if role.startswith(("forearm", "shin"))}
    found = {}
    for chain in chains(obj):
        for name in chain.bones[:-1]:
            role = roles.get(mapping.followers.get(name, name))
            locked = [getattr(bones[name], f"lock_ik_{axis}") for axis in "xyz"]
            if role and sum(locked) == 2:
                found[role] = rest[name][:3, locked.index(False)]
    return found


def goals(obj: Object, moved: Set[str], shown: Places, followers: Mapping[str, str]) -> Goals:
    """What has to move beside the bones `moved` so that inverse kinematics show the same as `shown`.

    followers : bone -> the one that it goes with, where a preset tells them all.
    """
    found, bones = Goals(), obj.pose.bones  # type: ignore[union-attr]
    reaching = chains(obj)
    solved = {name for chain in reaching for name in chain.bones}
    for name, lead in followers.items():
        matrices = shown.carried(name, lead)
        found.turns[name] = matrices[:, :3, :3]
        if name not in solved and not all(bones[name].lock_location):
            found.places[name] = matrices[:, :3, 3]
    for chain in (one for one in reaching if (moved | found.turns.keys()) & {*one.bones}):
        _reach(obj, chain, shown, found, moved, follow=bool(followers))
    return found


def _reach(obj: Object, chain: Chain, shown: Places, found: Goals, moved: Set[str], *, follow: bool) -> None:
    """Target and pole of a chain. follow : a preset tells what moves the targets of this rig."""
    constraint, bones = chain.constraint, list[Any](obj.pose.bones)  # type: ignore[union-attr]
    owner: Any = obj.pose.bones[chain.owner]  # type: ignore[union-attr]
    size = float(np.cbrt(np.linalg.det(np.array(obj.matrix_world, np.float64)[:3, :3])))
    own = shown.of(chain.owner)
    end = own[:, :3, 3] + (size * owner.length * own[:, :3, 1] if constraint.use_tail else 0)
    if not follow:
        copying = [
            one.name
            for one in bones
            for other in one.constraints
            if other.type in _COPIES and other.target == constraint.target and other.owner_space == other.target_space
            and other.owner_space in ("WORLD", "POSE") and other.subtarget == constraint.subtarget and not other.mute
        ]  # fmt: skip
        copying = [chain.owner] if constraint.use_rotation else copying
        hands = [child.name for child in owner.children if child.name in moved]
        _place(obj, constraint.target, constraint.subtarget, end, shown, found, copying, (hands or [chain.owner])[0])
    if constraint.pole_target is not None and len(chain.bones) > 1:
        pole = _pole(obj, chain, shown, end)
        _place(obj, constraint.pole_target, constraint.pole_subtarget, pole, shown, found, [], None)


def _place(
    obj: Object, target: Any, bone: str, place: NDArray, shown: Places, found: Goals, copying: Sequence[str],
    carried: str | None,
) -> None:  # fmt: skip
    """Move a target to `place` (T, 3), turned as the first bone of `copying`, which takes over its turn, or with the
    bone `carried` as it lies to that at rest."""
    if target == obj and bone:
        if carried is not None:
            found.turns[bone] = (shown.of(copying[0]) if copying else shown.carried(bone, carried))[:, :3, :3]
        found.places[bone] = place
    elif not bone and target != obj:
        matrices = shown.of(copying[0]).copy() if copying else np.tile(np.eye(4), (len(place), 1, 1))
        matrices[:, :3, 3] = place
        found.objects[target] = matrices, bool(copying)


def _pole(obj: Object, chain: Chain, shown: Places, end: NDArray) -> NDArray[np.float64]:
    """(T, 3) where the pole of a chain has to be: the solver turns the chain about the line to its target until the
    first bone's x axis, turned about the bone by the pole's angle, points at the pole."""
    constraint, root = chain.constraint, shown.of(chain.bones[-1])
    angle = constraint.pole_angle
    side = np.cos(angle) * root[:, :3, 0] + np.sin(angle) * root[:, :3, 2]
    line = _unit(end - root[:, :3, 3])
    side = _unit(side - (side * line).sum(1, keepdims=True) * line)
    middle = shown.of(chain.bones[-2])[:, :3, 3]
    along = ((middle - root[:, :3, 3]) * line).sum(1, keepdims=True) * line
    first, second = (shown.rest[name][:3, 3] for name in (chain.bones[-1], chain.bones[-2]))
    length = float(np.linalg.norm(second - first))
    if constraint.pole_target == obj and constraint.pole_subtarget:
        away = float(np.linalg.norm(shown.rest[constraint.pole_subtarget][:3, 3] - second))
        length = away if away > _NEAR * length else length
    return root[:, :3, 3] + along + length * side


def _unit(vectors: NDArray) -> NDArray[np.float64]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))
