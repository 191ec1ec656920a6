# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning up the motion of an armature, whoever made its action: fewer keys, loops, root motion, strips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from bpy.types import Action, NlaStrip, Object, Scene
from numpy.typing import NDArray

from ....inference.errors import BadInput
from ....inference.geometry.rotations import from_rotation_vector, normalise, quaternions_of, rotation_matrices
from ....inference.rigs import cleanup
from ...core import compat, transaction
from ..camera import scene as scenes
from .channels import Channel, action_of, channels, make_cyclic
from .pose_space import (
    above,
    basis_of,
    frames_in,
    frames_of,
    hips_of,
    joints_of,
    moving_bones,
    seen_joints,
    set_basis,
    topmost,
    unit_of,
    worlds_of,
)

#: Rounds in which keys are added where joints stray; then the last ones get all their keys back.
_ROUNDS = 14
#: A loop that is looked for lasts at least this many seconds.
_SHORTEST = 0.5
#: Who goes farther than this (metres) goes somewhere.
_FAR = 1.0
#: Metres by which joints may be off where they are to stay.
_STILL = 1e-3


@dataclass(frozen=True)
class Reduced:
    """keys before and after; worst : metres by which a joint is off at most."""

    before: int
    after: int
    worst: float


@dataclass(frozen=True)
class Loop:
    """action : the loop.  first, last : the frames that it is made of.  apart : metres between the ends of the motion
    before they were joined, in the joint that differs most."""

    action: Action
    first: int
    last: int
    apart: float


def reduce_keys(obj: Object, tolerance: float, scene: Scene) -> Reduced:
    """Keep only the keys that are needed for every joint to stay within `tolerance` metres in every whole frame.

    Measured where the joints come out under everything that acts on them, so errors along a limb add up: those of bones
    that deform or are animated, as what lies between them in a control rig may flip. Raises BadInput where the object
    has no action of its own.
    """
    if not tolerance > 0:
        raise BadInput("The tolerance must be greater than 0.", "Give it in millimetres.")
    found, frames = channels(obj), frames_of(obj)
    truth, metre = joints_of(obj, worlds_of(obj, frames, scene)), scene.unit_settings.scale_length
    values = [channel.values(frames) for channel in found]
    before = sum(channel.count for channel in found)
    carried, levers = _carried(obj, found)
    seen = seen_joints(obj, {channel.bone for channel in found})
    budgets = np.full(len(found), tolerance / metre)
    changed = np.ones(len(found), bool)
    worst = 0.0
    with _restored(obj):
        for turn in range(_ROUNDS + 1):
            for number in np.flatnonzero(changed):
                channel, known = found[number], values[number]
                error = _error(channel.kind, levers[number])
                keys = cleanup.kept_keys(known, error, float(budgets[number]))
                channel.write(frames[keys], known[keys], cleanup.slopes_of(known)[keys])
            off = np.linalg.norm(joints_of(obj, worlds_of(obj, frames, scene)) - truth, axis=-1).max(axis=0)
            off *= metre * seen
            worst, excess = float(off.max()), np.array([off[joints].max() for joints in carried]) / tolerance
            changed = (excess > 1) & (budgets > 0)
            if not changed.any():
                break
            budgets[changed] *= np.clip(0.9 / excess[changed], 0.3, 0.8) if turn < _ROUNDS - 1 else 0.0
    return Reduced(before, sum(channel.count for channel in found), worst)


def make_loop(obj: Object, scene: Scene, *, first: int = 0, last: int = 0, blend: int = 8, find: bool = True) -> Loop:
    """A new action that goes round: its ends meet, in pose and in speed, and it repeats for ever, each round from where
    the last one ended on the ground.

    first, last : the frames that it is made of; where both are 0, those of the action, of which `find` takes the part
    whose ends look and move most alike.  blend : over how many frames the end is led to the beginning.
    The action that the object had stays in the file. Raises BadInput.
    """
    given = bool(first or last)
    frames = frames_in(obj, first, last)
    worlds, root = worlds_of(obj, frames, scene), hips_of(obj)
    joints = joints_of(obj, worlds)[:, seen_joints(obj)]
    net = (worlds[root][-1, :3, 3] - worlds[root][0, :3, 3]) * [1, 1, 0]
    left_behind = np.linalg.norm(joints[-1] - joints[0] - net, axis=1) > 0.5 * np.linalg.norm(net)
    if np.linalg.norm(net) > _FAR and not left_behind.all():  # such as a root bone that stays where it is
        joints = joints[:, ~left_behind]
    if find and not given:
        still = joints - worlds[root][:, None, :3, 3] * [1, 1, 0]
        low, high = cleanup.matching_ends(still, max(2, round(_SHORTEST * scenes.frame_rate(scene))))
        frames, joints = frames[low : high + 1], joints[low : high + 1]
        worlds = {name: world[low : high + 1] for name, world in worlds.items()}
    travel = (worlds[root][-1, :3, 3] - worlds[root][0, :3, 3]) * [1, 1, 0]
    apart = float(np.linalg.norm(joints[-1] - travel - joints[0], axis=1).max()) * scene.unit_settings.scale_length
    found = channels(obj)
    moving = moving_bones(found, frames)
    steps = {}
    for bone in moving:
        if not above(obj, bone) & set(moving):
            frame = worlds[bone] @ np.linalg.inv(basis_of(obj, bone, found, frames))
            steps[bone] = frame[0, :3, :3].T @ travel / unit_of(obj, bone)
    copy = own_copy(obj, "loop")
    for channel in channels(obj):
        step = steps.get(channel.bone) if channel.kind == "location" else None
        channel.write(frames, cleanup.joined_ends(channel.values(frames), blend, channel.kind, step))
        make_cyclic(channel, offset=step is not None)
    copy.use_frame_range, copy.frame_start, copy.frame_end = True, float(frames[0]), float(frames[-1])
    copy.use_cyclic = True
    return Loop(copy, int(frames[0]), int(frames[-1]), apart)


def move_root(obj: Object, to: str, scene: Scene, *, steady: bool = False, turn: bool = False) -> float:
    """Take the way over the ground out of the hips.

    to : "IN_PLACE" drops it, "ROOT" gives it to the bone that carries the rig, "OBJECT" to the armature object.
    steady : the way is straight and even, and what sways about it stays with the hips.
    turn : also where the figure faces.
    Returns the metres that it goes from the first to the last frame. Raises BadInput.
    """
    frames, found, hips = frames_of(obj), channels(obj), hips_of(obj)
    carrier = {"IN_PLACE": None, "OBJECT": "", "ROOT": topmost(obj, hips)}[to]
    if carrier == hips:
        raise BadInput(f"{obj.name} has no bone above its hips.", "Move the motion onto the object instead.")
    worlds = worlds_of(obj, frames, scene)
    way = _way(worlds[hips], steady, turn)
    wanted: dict[str, NDArray] = {}
    going = [*moving_bones(found, frames), *([] if carrier is None else [carrier])]
    for bone in set(going):
        if carrier is None:
            wanted[bone] = np.linalg.inv(way) @ worlds[bone]
        elif bone == carrier:
            wanted[bone] = way @ worlds[bone][0]
        else:  # what carries the carrier stands still
            wanted[bone] = np.broadcast_to(worlds[bone][0], way.shape) if bone in above(obj, carrier) else worlds[bone]
    # What carries the carrier first, then the carrier, then what rides on it.
    depths = {bone: len(above(obj, bone) & set(wanted)) for bone in wanted}
    first = set() if carrier is None else {carrier, *above(obj, carrier)}
    levels = {bone: depth if bone in first else depth + len(first) for bone, depth in depths.items()}
    with _restored(obj):
        for level in sorted(set(levels.values())):
            now = worlds_of(obj, frames, scene)  # with all that the bones above have taken along
            for bone in (bone for bone in wanted if levels[bone] == level):
                basis = basis_of(obj, bone, found, frames)
                placed = np.linalg.inv(now[bone] @ np.linalg.inv(basis)) @ wanted[bone]
                set_basis(obj, bone, found, frames, basis, placed)
        shown = worlds_of(obj, frames, scene)
    metre = scene.unit_settings.scale_length
    off = max(float(np.abs(shown[bone][:, :3, 3] - one[:, :3, 3]).max()) for bone, one in wanted.items()) * metre
    if off > _STILL:
        transaction.note(f"Bones are up to {1000 * off:.0f} mm from where they were to be: constraints act on them")
    start = worlds[hips][0] @ [0, 0, 0, 1]
    return float(np.linalg.norm(way[-1] @ start - start)) * metre


def smooth_motion(obj: Object, *, first: int = 0, last: int = 0, width: float = 2.0) -> tuple[int, int]:
    """Smooth a range of the action by a Gaussian of `width` frames; towards the range's ends it fades out. What lies
    outside the range is left as it is. first, last : both 0 for the whole action. Returns the range.
    Raises BadInput."""
    if not width > 0:
        raise BadInput("The width must be greater than 0.", "Give it in frames.")
    found, frames = channels(obj), frames_of(obj)
    start, end = (int(frame) for frame in frames_in(obj, first, last)[[0, -1]])
    with _restored(obj):
        for channel in found:
            before, after = channel.around(start, end)
            times = np.arange(
                int(max(before + 1, min(start, frames[0]))), int(min(after - 1, max(end, frames[-1]))) + 1
            )
            values = channel.values(times)
            inside = (times >= start) & (times <= end)
            if inside.sum() < 3 or np.ptp(values, axis=0).max() < 1e-6:
                continue
            soft = cleanup.smoothed(values[inside], width, channel.kind)
            share = cleanup.eased(len(soft), round(2 * width)) if first or last else 1.0
            values[inside] += share * (soft - values[inside])
            channel.write(times, cleanup.continuous(values, channel.kind), keep=(times[0] - 0.5, times[-1] + 0.5))
    return start, end


def push_to_nla(obj: Object, *, repeat: int = 1, start: int = 0) -> NlaStrip:
    """The object's action as a strip on a new track, a loop `repeat` times over, so that a walk goes on.

    start : the strip's first frame; 0 for the action's own. Raises BadInput for more rounds of what does not loop.
    """
    used, frames = action_of(obj), frames_of(obj)
    if repeat > 1 and not all(any(one.type == "CYCLES" for one in curve.modifiers)
                              for channel in channels(obj) for curve in channel.curves.values()):  # fmt: skip
        raise BadInput(f"The action {used.name} does not repeat.", "Make it a loop first.")
    data: Any = obj.animation_data
    slot = data.action_slot if compat.SLOTTED_ACTIONS else None
    track = data.nla_tracks.new()
    track.name = used.name
    strip = track.strips.new(used.name, start or int(frames[0]), used)
    if slot is not None:
        strip.action_slot = slot
    strip.use_sync_length = False
    length = int(frames[-1] - frames[0])
    strip.action_frame_start, strip.action_frame_end = float(frames[0]), float(frames[0] + length * max(repeat, 1))
    strip.frame_end = strip.frame_start + length * max(repeat, 1)
    data.action = None
    return strip


def _way(hips: NDArray, steady: bool, turn: bool) -> NDArray[np.float64]:
    """(T, 4, 4) how the figure has gone over the ground, and turned, since the first frame. hips (T, 4, 4)."""
    count = len(hips)
    even = np.linspace(0, 1, count)
    ground = hips[:, :2, 3]
    turned = quaternions_of(hips[:, :3, :3] @ hips[0, :3, :3].T)
    angles = np.unwrap(2 * np.arctan2(turned[:, 3], turned[:, 0])) if turn else np.zeros(count)
    if steady:
        ground, angles = ground[0] + even[:, None] * (ground[-1] - ground[0]), even * angles[-1]
    way = np.tile(np.eye(4), (count, 1, 1))
    vectors = np.stack([np.zeros(count), np.zeros(count), angles], axis=1)
    way[:, :3, :3] = rotation_matrices(from_rotation_vector(vectors))
    way[:, :2, 3] = ground - way[:, :2, :2] @ ground[0]
    return way


def _carried(obj: Object, found: Sequence[Channel]) -> tuple[list[NDArray[np.int64]], list[float]]:
    """Of each channel the joints (as in `joints_of`) that it moves, and by how many world units its unit, or a radian,
    moves the farthest at rest. Under constraints and drivers anything may move anything."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    posed: Any = obj.pose.bones  # type: ignore[union-attr]
    plain = not any(len(bone.constraints) for bone in posed) and not (obj.animation_data and obj.animation_data.drivers)
    heads, tails = (np.array([getattr(bone, end) for bone in bones]) for end in ("head_local", "tail_local"))
    joints, index = np.concatenate([heads, tails]), {bone.name: number for number, bone in enumerate(bones)}
    everything = np.arange(len(joints))
    carried, levers = [], []
    for channel in found:
        own = (
            []
            if not channel.bone
            else [index[channel.bone], *(index[one.name] for one in bones[channel.bone].children_recursive)]
        )
        below = np.array([*own, *(len(bones) + number for number in own)]) if own else everything
        start = heads[index[channel.bone]] if channel.bone else np.zeros(3)
        reach = float(np.linalg.norm(joints[below] - start, axis=1).max()) * unit_of(obj, "bone")
        carried.append(below if plain else everything)
        levers.append(unit_of(obj, channel.bone) if channel.kind == "location" else max(reach, 1e-6))
    return carried, levers


def _error(kind: str, lever: float) -> Callable[[NDArray, NDArray], NDArray]:
    """World units by which values (N, C) that are shown are off what they are to be, at the end of a lever."""

    def far(shown: NDArray, true: NDArray) -> NDArray:
        if kind == "rotation_quaternion":
            return 2 * lever * np.linalg.norm(normalise(shown) - true, axis=1)
        return lever * np.linalg.norm(shown - true, axis=1)

    return far


@contextmanager
def _restored(obj: Object) -> Iterator[None]:
    """The action as it was, if what is done to it fails."""
    used = action_of(obj)
    copy, name = used.copy(), used.name
    try:
        yield
    except BaseException:
        used.user_remap(copy)
        bpy.data.actions.remove(used)
        copy.name = name
        raise
    bpy.data.actions.remove(copy)


def own_copy(obj: Object, suffix: str) -> Action:
    """A copy of the action on the object; the action itself stays in the file."""
    used = action_of(obj)
    copy = used.copy()
    copy.name = f"{used.name}.{suffix}"
    transaction.change(used, use_fake_user=True)
    transaction.on_failure(lambda: compat.swap_action(obj, used))
    compat.swap_action(obj, copy)
    return copy
