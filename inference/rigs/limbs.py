# SPDX-License-Identifier: GPL-3.0-or-later
"""Limbs of two bones, by inverse kinematics: feet that stand where the source's stand, and limbs whose middle joint is
a hinge, as control rigs have them.

A motion is given as `transfer.retarget` returns it: the bones' turns in the world, and the places of the hips.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..geometry import planted
from ..geometry.rotations import between, rotation_matrices
from .transfer import Placement, Rig, ground_height, pose, skeleton

#: Length of the legs (m) for which `planted` knows speeds and heights; other figures are measured by their own.
_LEG = 0.85
#: Where a rig has no toes, the ball of the foot lies this far before the ankle (of the legs' length).
_BALL = 0.16
#: A leg is stretched to this share of its length at most: the knee of a straight one has no bending plane.
_LONGEST = 0.998
#: Seconds in which a foot goes over from where one step's correction leaves it to the next one's, and in which the hips
#: come down for a leg that would be too short.
_FADE, _SINK = 0.5, 0.12
#: A limb bent by less than this (its middle joint's distance from the straight line, of the limb's length) keeps its
#: bending plane from the twist of its first bone.
_STRAIGHT = 0.005

Turns = Mapping[str, "NDArray[np.float64]"]


def plant_feet(
    source: Rig, poses: NDArray, target: Rig, turns: Turns, hips: NDArray, *, rate: float, placement: Placement
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """The motion of a target with feet that move as the source's do while those stand: on other legs they would slide.

    poses : (T, J, 4, 4) of the source in the world.  turns, hips, placement : see `transfer.retarget`.  rate : frames
    per second. The hips come down where a leg would be too short. Rigs without feet come back as they are.
    """
    held, hips, plan = dict(turns), hips.copy(), skeleton(target)
    sides = [side for side in "LR" if source.chain(f"foot.{side}") and target.chain(f"foot.{side}")]
    if len(hips) < 4 or not sides:
        return held, hips
    posed = pose(plan, turns, hips)
    away, stride = np.eye(3), 1.0
    if placement == "LOCAL":
        away, stride = target.frame @ source.frame.T, target.leg / source.leg
    wanted, standing = {}, {}
    for side in sides:
        shown = _soles(source, poses, side)
        standing[side] = _standing(source, poses, shown, rate)
        slide = np.diff(_soles(plan, posed, side), axis=0) - stride * np.diff(shown, axis=0) @ away.T
        ankle = posed[:, plan.chain(f"foot.{side}")[0], :3, 3]
        wanted[side] = ankle + _faded(*_held(slide, standing[side]), rate)
    up = away @ source.frame[:, 2]
    hips -= np.outer(_sinking(plan, posed, wanted, standing, up, rate), up)
    posed = pose(plan, turns, hips)
    for side in sides:
        _reach(plan, posed, side, wanted[side], held)
    return held, hips


def hinged(
    rig: Rig, turns: Turns, hips: NDArray, axes: Mapping[str, NDArray], *, most: float = 180.0
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """The motion with elbows and knees that bend about one axis only; places of all joints stay, the limbs' bones turn
    about themselves. It is what inverse kinematics can show, so that both show the same.

    axes : role of a limb's second bone ("forearm.L") -> (3,) the axis of its hinge at rest, in the world.
    most : degrees by which a limb's first bone may turn about itself for it. A limb that needs more is left as it is.
    Returns the turns, and the roles among `axes` that are left.
    """
    found, left = dict(turns), list[str]()
    plan = skeleton(rig)
    posed = pose(plan, turns, hips)
    for role, axis in axes.items():
        part, _, side = role.partition(".")
        first, last = (f"{name}.{side}" for name in (("thigh", "foot") if part == "shin" else ("upper_arm", "hand")))
        bones = [plan.chain(one)[:1] for one in (first, role, last)]
        if not all(bones):
            continue
        rest, now = ([matrices[..., one[0], :3, 3] for one in bones] for matrices in (plan.rest, posed))
        before = [posed[:, one[0], :3, :3] @ plan.rest[one[0], :3, :3].T for one in bones[:2]]
        after = _hinge(rest, now, axis, before[0])
        turned = [new @ np.swapaxes(old, -1, -2) for new, old in zip(after, before, strict=True)]
        if np.degrees(np.arccos(np.clip((np.trace(turned[0], axis1=1, axis2=2) - 1) / 2, -1, 1))).max() > most:
            left.append(role)
            continue
        for turn, chain in zip(turned, (first, role), strict=True):
            found |= {name: turn @ found[name] for name in plan.roles[chain] if name in found}
    return found, left


def _hinge(rest: list[NDArray], posed: list[NDArray], axis: NDArray, turn: NDArray) -> list[NDArray]:
    """How far (T, 3, 3) first and second bone turn from rest for joints at `posed` [(T, 3)] * 3, with the hinge `axis`
    at rest. turn (T, 3, 3) : of the first bone; it tells the bending plane of a straight limb."""
    bones = [rest[1] - rest[0], rest[2] - rest[1]]
    length = float(sum(np.linalg.norm(bone) for bone in bones))
    line = _unit(posed[2] - posed[0])
    aside = _across(posed[1] - posed[0], line)
    before = np.cross(axis, _unit(rest[2] - rest[0]))
    side = np.sign(before @ _across(bones[0], _unit(rest[2] - rest[0]))) or 1.0
    forward = _across(side * np.cross(turn @ axis, line), line)
    bent = np.linalg.norm(aside, axis=-1, keepdims=True)
    pole = _unit(aside * bent + (_STRAIGHT * length) ** 2 * forward)
    knee = posed[1] - aside + bent * pole
    hinge = side * np.cross(line, pole)
    return [
        _axes(now, hinge) @ np.swapaxes(_axes(bone, axis), -1, -2)
        for now, bone in zip((knee - posed[0], posed[2] - knee), bones, strict=True)
    ]


def _axes(along: NDArray, hinge: NDArray) -> NDArray[np.float64]:
    """(..., 3, 3) right-handed axes as columns: a bone's own, the hinge, and what is across both."""
    along = _unit(along)
    hinge = _unit(_across(hinge, along))
    return np.stack([along, hinge, np.cross(along, hinge)], axis=-1)


def _soles(rig: Rig, poses: NDArray, side: str) -> NDArray[np.float64]:
    """(T, 2, 3) heel and ball of a foot, on the ground when the rig is at rest."""
    up, foot = rig.frame[:, 2], rig.chain(f"foot.{side}")[0]
    ankle, toe = rig.rest[foot, :3, 3], rig.head(f"toe.{side}")
    ball = toe if toe is not None else ankle - _BALL * rig.leg * rig.frame[:, 1]
    soles = np.stack([point - up * (point @ up - ground_height(rig)) for point in (ankle, ball)])
    return poses[:, foot, None, :3, 3] + (soles - ankle) @ rig.rest[foot, :3, :3] @ np.swapaxes(
        poses[:, foot, :3, :3], -1, -2
    )


def _standing(rig: Rig, poses: NDArray, soles: NDArray, rate: float) -> NDArray[np.bool_]:
    """(T, 2) whether heel and ball stand still on the ground."""
    scale, up = _LEG / rig.leg, rig.frame[:, 2]
    hips = scale * np.linalg.norm(planted.velocities(poses[:, rig.chain("hips")[0], :3, 3], rate), axis=1)
    standing = np.zeros(soles.shape[:2], bool)
    for point in range(2):
        speed = scale * np.linalg.norm(planted.velocities(soles[:, point], rate), axis=1)
        odds = planted.odds(speed, scale * soles[:, point] @ up, hips, rate)
        for start, stop in planted.intervals(odds, rate):
            standing[start:stop, point] = True
    return standing


def _held(slide: NDArray, standing: NDArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where a foot has to go (T, 3) so that its standing points don't slide, and when (T,) it stands.

    slide : (T - 1, 2, 3) by how much heel and ball move from each frame to the next.
    """
    both = (standing[1:] & standing[:-1]).astype(float)
    step = (both[..., None] * slide).sum(axis=1) / np.maximum(both.sum(axis=1), 1)[:, None]
    path, stands = -np.cumsum(np.concatenate([np.zeros((1, 3)), step]), axis=0), standing.any(axis=1)
    for start, stop in _runs(stands):
        path[start:stop] -= path[start:stop].mean(axis=0)
    return path, stands


def _faded(path: NDArray, stands: NDArray, rate: float) -> NDArray[np.float64]:
    """A foot's way (T, 3) that between two steps goes over from the end of one to the beginning of the next."""
    faded = np.where(stands[:, None], path, 0.0)
    for start, stop in _runs(~stands):
        count = stop - start + 1
        span = max(min(count, _FADE * rate), 1.0)
        step = np.arange(1, count)
        for edge, away in ((start - 1, step), (stop, count - step)):
            if 0 <= edge < len(path):
                share = np.clip(1 - away / span, 0, 1)
                faded[start:stop] += (share**2 * (3 - 2 * share))[:, None] * path[edge]
    return faded


def _runs(flags: NDArray) -> list[tuple[int, int]]:
    """(start, stop) of what is true."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in changes.reshape(-1, 2)]


def _sinking(
    rig: Rig, posed: NDArray, wanted: Mapping[str, NDArray], standing: Mapping[str, NDArray], up: NDArray, rate: float
) -> NDArray[np.float64]:
    """(T,) how far the hips must come down for the standing feet to be reached, smoothly."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    most = np.zeros(len(posed))
    for side, ankle in wanted.items():
        hip, _, foot = _joints(rig, posed, side)
        now = np.linalg.norm(foot - hip, axis=1)
        reach = np.maximum(_LONGEST * _leg(rig, posed, side), now)
        away = hip - ankle
        height = away @ up
        across = np.linalg.norm(away - np.outer(height, up), axis=1)
        down = height - np.sqrt(np.maximum(reach**2 - across**2, 0))
        most = np.maximum(most, np.where(standing[side].any(axis=1), down, 0))
    width = max(_SINK * rate, 1e-3)
    return np.asarray(gaussian_filter1d(maximum_filter1d(most, 2 * round(2 * width) + 1), width, mode="nearest"))


def _joints(rig: Rig, posed: NDArray, side: str) -> list[NDArray]:
    """Hip, knee and ankle [(T, 3)] * 3."""
    return [posed[:, rig.chain(f"{part}.{side}")[0], :3, 3] for part in ("thigh", "shin", "foot")]


def _leg(rig: Rig, posed: NDArray, side: str) -> NDArray[np.float64]:
    """(T,) length of a leg."""
    hip, knee, ankle = _joints(rig, posed, side)
    return np.asarray(np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1))


def _reach(rig: Rig, posed: NDArray, side: str, wanted: NDArray, turns: dict[str, NDArray[np.float64]]) -> None:
    """Bend a leg so that its ankle comes to `wanted` (T, 3), in its bending plane, as far as it goes: changes `turns`.
    Frames in which it is there already stay as they are."""
    hip, knee, ankle = _joints(rig, posed, side)
    moved = np.linalg.norm(wanted - ankle, axis=1) > 1e-5 * rig.leg
    thigh, shin = knee - hip, ankle - knee
    upper, lower = np.linalg.norm(thigh, axis=1), np.linalg.norm(shin, axis=1)
    aim = rotation_matrices(between(ankle - hip, wanted - hip))
    line = _unit(wanted - hip)
    first = rig.chain(f"thigh.{side}")[0]
    forward = -(posed[:, first, :3, :3] @ rig.rest[first, :3, :3].T) @ rig.frame[:, 1]
    pole = _unit(_across(np.einsum("tij,tj->ti", aim, thigh / upper[:, None] + 0.05 * forward), line))
    longest = np.maximum(_LONGEST * (upper + lower), np.linalg.norm(ankle - hip, axis=1))
    distance = np.clip(np.linalg.norm(wanted - hip, axis=1), np.abs(upper - lower) + 0.05 * lower, longest)
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    new_thigh = along[:, None] * line + np.sqrt(np.maximum(upper**2 - along**2, 0))[:, None] * pole
    at_hip = rotation_matrices(between(np.einsum("tij,tj->ti", aim, thigh), new_thigh)) @ aim
    new_shin = distance[:, None] * line - new_thigh
    at_knee = rotation_matrices(between(np.einsum("tij,tj->ti", at_hip, shin), new_shin)) @ at_hip
    for part, turn in (("thigh", at_hip), ("shin", at_knee)):
        for name in rig.roles[f"{part}.{side}"]:
            turns[name] = np.where(moved[:, None, None], turn @ turns[name], turns[name])


def _across(vectors: NDArray, line: NDArray) -> NDArray[np.float64]:
    """The part of vectors (..., 3) across unit vectors."""
    return np.asarray(vectors - (vectors * line).sum(axis=-1, keepdims=True) * line)


def _unit(vectors: NDArray) -> NDArray[np.float64]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))
