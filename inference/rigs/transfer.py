# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion of one rig onto another: turns relative to the rest pose, in the world's axes, twist included.

With R the turn of a bone in the pose and R0 at rest, the source has turned by D = R R0^-1. The target shows the same
pose when it turns by D from a rest pose that looks like the source's. So its own rest pose is first brought to that:
turned to face the same way, then limb by limb from the trunk outwards by the smallest turn that lays each bone along
the source's (a T-pose onto an A-pose), hands with their palms. The twist that a palm needs is given to the forearm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..geometry.rotations import between, quaternions_of, rotation_matrices, slerp
from .humanoid import FINGERS, PARENTS, ROLES

#: A figure's own axes are taken for those of its armature where they differ by less than this (degrees).
_SNAP = 20.0
#: An armature's origin this near to the lowest bone (of the legs' length) is taken for the ground.
_AT_FEET = 0.3
Placement = Literal["WORLD", "LOCAL"]


@dataclass(frozen=True)
class Rig:
    """A rig at rest, in the world.

    names : J bones, parents before children.  parents : (J,) index of each bone's parent, -1 for none.
    rest : (J, 4, 4) rest matrices in the world, without scale in their axes; lengths in the world's units.
    roles : role -> bones of its chain.
    place : (4, 4) of the armature in the world: its axes tell how the figure stands, its origin where the ground is.
    shown_by : control -> the bone that begins where the part of the body does, where the control begins elsewhere.
    """

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    rest: NDArray[np.float64]
    roles: Mapping[str, tuple[str, ...]]
    place: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    shown_by: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def index(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def chain(self, role: str) -> list[int]:
        """Indices of the bones of a role; empty where it has none."""
        return [self.index[name] for name in self.roles.get(role, ())]

    @property
    def hips(self) -> str:
        """The bone that carries the figure: the first of its hips."""
        return self.roles["hips"][0]

    def head(self, role: str) -> NDArray[np.float64] | None:
        """(3,) where a role begins."""
        chain = self.chain(role)
        return self.rest[chain[0], :3, 3] if chain else None

    @cached_property
    def frame(self) -> NDArray[np.float64]:
        """(3, 3) the figure's own axes in its rest pose, as columns: to its left, to its back, up.

        Where they lie near the armature's axes they are taken for exactly those, so that differences of build do not
        lean the figure.
        """
        own = self.place[:3, :3] / np.linalg.norm(self.place[:3, :3], axis=0)
        left = self._place("thigh.L") - self._place("thigh.R")
        top = self.head("head") if self.head("head") is not None else self.head("neck")
        if top is None:
            top = (self._place("upper_arm.L") + self._place("upper_arm.R")) / 2
        feet = (self._place("shin.L") + self._place("shin.R")) / 2
        up = _snapped(top - feet, own)
        left = _snapped(left - up * (left @ up), own)
        left = _unit(left - up * (left @ up))
        return np.stack([left, np.cross(up, left), up], axis=1)

    def checked(self, name: str) -> Rig:
        """Itself. Raises BadInput where left, up or a leg's length cannot be told; `name` names the armature."""
        if not abs(np.linalg.det(self.frame)) > 0.5 or not self.leg > 1e-9:
            raise BadInput(
                f"The legs and the trunk of the armature {name} are at the same point.",
                "Correct the bone map, or give its bones their places.",
            )
        return self

    @cached_property
    def middle(self) -> NDArray[np.float64]:
        """(3,) between the hip joints, at rest."""
        return (self._place("thigh.L") + self._place("thigh.R")) / 2

    @cached_property
    def leg(self) -> float:
        """Length of thigh and shin together."""
        total = 0.0
        for side in "LR":
            knee, ankle = self._place(f"shin.{side}"), self.head(f"foot.{side}")
            shin = np.linalg.norm(ankle - knee) if ankle is not None else np.linalg.norm(knee - self._place("hips"))
            total += float(np.linalg.norm(knee - self._place(f"thigh.{side}")) + shin)
        return total / 2

    def _place(self, role: str) -> NDArray[np.float64]:
        place = self.head(role)
        assert place is not None, role  # `Mapping.checked` has seen to it
        return place


def retarget(
    source: Rig, poses: NDArray, target: Rig, *, placement: Placement = "WORLD"
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """The motion of a source for a target.

    poses : (T, J, 4, 4) of the source's bones in the world, without scale in their axes.
    placement : "WORLD" stands the target where the source stands, "LOCAL" moves it from where it stands itself, in its
        own direction. Heights, and in LOCAL all ways, are scaled by the length of the legs.
    Returns the turns of the target's bones in the world, name -> (T, 3, 3), and the places (T, 3) of the first bone of
    its hips.
    """
    aligned = _alignments(source, target)
    away = target.frame @ source.frame.T if placement == "LOCAL" else np.eye(3)
    turned = _source_turns(source, poses)
    wanted: dict[str, NDArray[np.float64]] = {}
    for role in ROLES:
        chain = target.chain(role)
        if not chain or role not in turned:
            continue
        base = turned.get(PARENTS.get(role, ""))
        for place, bone in enumerate(chain, start=1):
            turns = _sampled(turned[role], base if role in ("spine", "neck") else None, place / len(chain))
            if role in ("spine", "neck"):
                turns = _along(source, poses, target, role, place - 1, turns)
            elif len(chain) == 1:
                turns = _towards(source, poses, role, turns)
            wanted[target.names[bone]] = away @ turns @ aligned[role] @ target.rest[bone, :3, :3]
    return wanted, _hips(source, poses, turned["hips"][:, -1], target, placement, away)


def apply_turns(
    rig: Rig, turns: Mapping[str, NDArray], hips: NDArray, places: Mapping[str, NDArray] | None = None
) -> NDArray[np.float64]:
    """(T, J, 4, 4) what each bone adds to its rest matrix (Blender's matrix_basis) so that the bones of `turns`
    (T, 3, 3) turn so in the world and the first bone of the hips stands at `hips` (T, 3); others keep their place on
    their parent, but for those of `places` (T, 3).

    For rigs whose bones simply inherit from their parents.
    """
    posed, inherited = _posed(rig, turns, hips, places or {})
    basis = np.broadcast_to(np.eye(4), posed.shape).copy()
    moved = [bone for bone, name in enumerate(rig.names) if name in {*turns, *(places or {}), rig.hips}]
    basis[:, moved] = np.linalg.inv(inherited[:, moved]) @ posed[:, moved]
    basis[..., :3, 3] /= np.cbrt(np.linalg.det(rig.place[:3, :3]))  # bones move in the armature's own units
    return basis


def pose(rig: Rig, turns: Mapping[str, NDArray], hips: NDArray) -> NDArray[np.float64]:
    """(T, J, 4, 4) of the bones in the world that turn so (see `apply_turns`)."""
    return _posed(rig, turns, hips, {})[0]


def skeleton(rig: Rig) -> Rig:
    """The bones that are parts of the body alone, each on the nearest of them above it, or else on the part that its
    part hangs on: control rigs hold their limbs together by constraints."""
    kept = sorted(rig.index[name] for chain in rig.roles.values() for name in chain)
    parents = []
    role_of = {name: role for role, chain in rig.roles.items() for name in chain}
    for bone in kept:
        above = int(rig.parents[bone])
        while above >= 0 and above not in kept:
            above = int(rig.parents[above])
        role: str | None = role_of[rig.names[bone]]
        while above < 0 and (role := PARENTS.get(role)):
            above = rig.chain(role)[-1] if rig.chain(role) else -1
        parents.append(kept.index(above) if above >= 0 else -1)
    order = sorted(range(len(kept)), key=lambda bone: _depth(parents, bone))  # parents before children
    names = tuple(rig.names[kept[bone]] for bone in order)
    moved = np.array([order.index(parents[bone]) if parents[bone] >= 0 else -1 for bone in order])
    return Rig(names, moved, rig.rest[[kept[bone] for bone in order]], rig.roles, rig.place, rig.shown_by)


def _depth(parents: list[int], bone: int) -> int:
    return 0 if parents[bone] < 0 else 1 + _depth(parents, parents[bone])


def _posed(
    rig: Rig, turns: Mapping[str, NDArray], hips: NDArray, places: Mapping[str, NDArray]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T, J, 4, 4) of the bones in the world, and what each would be by what it inherits alone."""
    places = {**places, rig.hips: hips}
    posed = np.broadcast_to(np.eye(4), (len(hips), len(rig.names), 4, 4)).copy()
    inherited = posed.copy()
    for bone, name in enumerate(rig.names):
        parent = rig.parents[bone]
        inherited[:, bone] = (
            posed[:, parent] @ (np.linalg.inv(rig.rest[parent]) @ rig.rest[bone]) if parent >= 0 else rig.rest[bone]
        )
        posed[:, bone] = inherited[:, bone]
        if name in turns:
            posed[:, bone, :3, :3] = turns[name]
        if name in places:
            posed[:, bone, :3, 3] = places[name]
    return posed, inherited


def _source_turns(source: Rig, poses: NDArray) -> dict[str, NDArray[np.float64]]:
    """role -> (T, N, 3, 3): how far each bone of its chain has turned from rest, in the world. A part without a bone
    turns with the part that it hangs on."""
    turned: dict[str, NDArray[np.float64]] = {}
    for role in ROLES:
        chain = source.chain(role)
        if chain:
            turned[role] = poses[:, chain, :3, :3] @ np.swapaxes(source.rest[chain, :3, :3], -1, -2)
        elif PARENTS.get(role) in turned:
            turned[role] = turned[PARENTS[role]][:, -1:]
    return turned


def _sampled(turns: NDArray, base: NDArray | None, share: float) -> NDArray[np.float64]:
    """(T, 3, 3) at a share of the way along a chain's (T, N, 3, 3): bone i shows what is reached at (i + 1) / N.

    base : turns of the part that the chain hangs on, from which a spine starts; None: the first bone turns all at once,
        as those of limbs do.
    """
    count = turns.shape[1]
    place = share * count - 1
    if base is None:
        place = max(place, 0.0)
    low = int(np.floor(place + 1e-9))
    part = place - low
    if part < 1e-6:
        return turns[:, low]
    before = turns[:, low] if low >= 0 else base[:, -1]  # type: ignore[index]
    return rotation_matrices(slerp(quaternions_of(before), quaternions_of(turns[:, low + 1]), part))


def _towards(source: Rig, poses: NDArray, role: str, turns: NDArray) -> NDArray[np.float64]:
    """Turns (T, 3, 3) of the last bone of a limb's chain, turned on by the least that points them where the whole chain
    points: twisting bones need not turn about exactly the limb's axis."""
    chain, ends = source.chain(role), _end(source, role)
    rest = _direction(source, role)
    if len(chain) < 2 or not ends or rest is None:
        return turns
    return _pointed(turns, rest, poses[:, ends][..., :3, 3].mean(axis=1) - poses[:, chain[0], :3, 3])


def _along(source: Rig, poses: NDArray, target: Rig, role: str, bone: int, turns: NDArray) -> NDArray[np.float64]:
    """Turns (T, 3, 3) of a target's bone of the spine or neck, turned on by the least that lays it along the part of
    the source's that lies as high at rest: what they carry comes out where it belongs."""
    own, other = _curve(source, role), _curve(target, role)
    if not own or not other:
        return turns
    shares, ends = _heights(source, role, own), _heights(target, role, other)[bone : bone + 2]
    rest = [_point(source.rest[None, own][..., :3, 3], shares, share)[0] for share in ends]
    posed = [_point(poses[:, own][..., :3, 3], shares, share) for share in ends]
    return _pointed(turns, _unit(rest[1] - rest[0]), posed[1] - posed[0])


def _curve(rig: Rig, role: str) -> list[int]:
    """The bones whose heads a spine or neck runs through, up to where the next part begins; empty where none does."""
    after = rig.chain("neck") if role == "spine" else []
    bones = [*rig.chain(role), *(after or rig.chain("head"))[:1]]
    shown = [rig.index[rig.shown_by.get(rig.names[bone], rig.names[bone])] for bone in bones]
    return shown if after or rig.chain("head") else []


def _heights(rig: Rig, role: str, curve: list[int]) -> NDArray[np.float64]:
    """(N,) shares of the height over the hip joints, or over the beginning of the neck, at which the points of a curve
    lie at rest; 1 at its end. Rigs begin their spines at different heights, so lengths along them would not agree."""
    up = rig.frame[:, 2]
    heights = (rig.rest[curve, :3, 3] - (rig.middle if role == "spine" else rig.rest[curve[0], :3, 3])) @ up
    return np.maximum.accumulate(heights) / max(float(heights[-1]), 1e-9)


def _point(points: NDArray, shares: NDArray, share: float) -> NDArray[np.float64]:
    """(T, 3) at a share of the way along points (T, N, 3) that lie at these shares."""
    after = int(np.clip(np.searchsorted(shares, share), 1, len(shares) - 1))
    part = (share - shares[after - 1]) / max(float(shares[after] - shares[after - 1]), 1e-9)
    return points[:, after - 1] * (1 - part) + points[:, after] * part


def _pointed(turns: NDArray, rest: NDArray, along: NDArray) -> NDArray:
    """Turns (T, 3, 3), turned on by the least that brings the direction `rest` (3,) to `along` (T, 3)."""
    return rotation_matrices(between(turns @ rest, along)) @ turns


def _hips(
    source: Rig, poses: NDArray, turned: NDArray, target: Rig, placement: Placement, away: NDArray
) -> NDArray[np.float64]:
    """(T, 3) places of the target's hips. turned (T, 3, 3) : of the source's.

    What rigs call hips lies at different places of the body, so the middle of the hip joints is what follows.
    """
    stride, up = target.leg / source.leg, source.frame[:, 2]
    rest, own_rest = source.middle, target.middle
    middle = (poses[:, source.chain("thigh.L")[0], :3, 3] + poses[:, source.chain("thigh.R")[0], :3, 3]) / 2
    if placement == "LOCAL":
        followed = own_rest + stride * (middle - rest) @ away.T
    else:
        heights = middle @ up
        standing = own_rest @ target.frame[:, 2] - ground_height(target)
        above = ground_height(source) + standing + stride * (heights - rest @ up)
        followed = middle + np.outer(above - heights, up)
    facing = source.frame @ target.frame.T
    return followed - away @ turned @ facing @ (own_rest - target._place("hips"))


def ground_height(rig: Rig) -> float:
    """Height at which the figure stands at rest: its armature's origin where that lies at its feet, else the lowest
    bone of the legs."""
    up = rig.frame[:, 2]
    chains = [rig.chain(f"{part}.{side}") for part in ("toe", "foot", "shin") for side in "LR"]
    lowest = min(float((rig.rest[chain, :3, 3] @ up).min()) for chain in chains if chain)
    origin = float(rig.place[:3, 3] @ up)
    return origin if abs(lowest - origin) < _AT_FEET * rig.leg else lowest


def _alignments(source: Rig, target: Rig) -> dict[str, NDArray[np.float64]]:
    """role -> (3, 3) that brings the target's rest pose to the source's, in the world."""
    facing = source.frame @ target.frame.T
    aligned = dict.fromkeys(ROLES, facing)
    for side in "LR":
        for part in ("thigh", "shin"):
            aligned[f"{part}.{side}"] = _laid(source, target, f"{part}.{side}", aligned[PARENTS[f"{part}.{side}"]])
        upper = aligned[f"upper_arm.{side}"] = _laid(source, target, f"upper_arm.{side}", facing)
        forearm = _laid(source, target, f"forearm.{side}", upper)
        hand = _palm(source, target, side, forearm)
        along = _direction(source, f"forearm.{side}")
        if along is not None:
            forearm = _twist(hand @ forearm.T, along) @ forearm
        aligned[f"forearm.{side}"], aligned[f"hand.{side}"] = forearm, hand
        for finger in FINGERS:
            aligned[f"{finger}.{side}"] = _laid(source, target, f"{finger}.{side}", hand)
    return aligned


def _laid(source: Rig, target: Rig, role: str, before: NDArray) -> NDArray:
    """`before`, turned on by the least that lays the target's bone along the source's."""
    to, own = _direction(source, role), _direction(target, role)
    return before if to is None or own is None else rotation_matrices(between(before @ own, to)) @ before


def _palm(source: Rig, target: Rig, side: str, forearm: NDArray) -> NDArray[np.float64]:
    """(3, 3) for the hand: fingers along fingers and knuckles along knuckles, where both rigs have fingers."""
    axes = [_palm_axes(rig, side) for rig in (source, target)]
    if axes[0] is None or axes[1] is None:
        return _laid(source, target, f"hand.{side}", forearm)
    return axes[0] @ axes[1].T


def _palm_axes(rig: Rig, side: str) -> NDArray[np.float64] | None:
    along, first, last = _direction(rig, f"hand.{side}"), rig.head(f"index.{side}"), rig.head(f"little.{side}")
    if along is None or first is None or last is None:
        return None
    across = last - first
    across = _unit(across - along * (across @ along))
    return np.stack([along, across, np.cross(along, across)], axis=1)


def _end(rig: Rig, role: str) -> list[int]:
    """The bones at whose heads (their mean) a role ends; empty where there are none."""
    part, _, side = role.partition(".")
    following = {"thigh": "shin", "shin": "foot", "upper_arm": "forearm", "forearm": "hand"}.get(part)
    if part in FINGERS:
        return rig.chain(role)[1:][-1:]
    if part == "hand":
        return [rig.chain(f"{finger}.{side}")[0] for finger in FINGERS[1:] if rig.chain(f"{finger}.{side}")]
    return rig.chain(f"{following}.{side}")[:1]


def _direction(rig: Rig, role: str) -> NDArray[np.float64] | None:
    """(3,) from the role's beginning to the next joint, at rest; None where there is none."""
    chain, ends = rig.chain(role), _end(rig, role)
    if not chain or not ends:
        return None
    along = rig.rest[ends, :3, 3].mean(axis=0) - rig.rest[chain[0], :3, 3]
    return None if np.linalg.norm(along) < 1e-6 else _unit(along)


def _twist(turn: NDArray, axis: NDArray) -> NDArray[np.float64]:
    """The part of a turn (3, 3) about an axis (3,): swing-twist decomposition."""
    quaternion = quaternions_of(turn)
    part = np.concatenate([quaternion[:1], axis * (quaternion[1:] @ axis)])
    size = np.linalg.norm(part)
    return rotation_matrices(part / size) if size > 1e-6 else np.eye(3)


def _unit(vector: NDArray) -> NDArray[np.float64]:
    return np.asarray(vector, np.float64) / max(float(np.linalg.norm(vector)), 1e-12)


def _snapped(vector: NDArray, axes: NDArray) -> NDArray[np.float64]:
    """Of these axes (columns) the one next to a direction where it is near one, else the direction itself."""
    unit = _unit(vector)
    along = unit @ axes
    nearest = int(np.argmax(np.abs(along)))
    return axes[:, nearest] * np.sign(along[nearest]) if abs(along[nearest]) > np.cos(np.radians(_SNAP)) else unit
