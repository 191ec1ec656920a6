# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning up the motion of an armature, whoever made its action: fewer keys, loops, root motion, strips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Euler

from ....inference import rigs
from ....inference.errors import BadInput
from ....inference.geometry.rotations import from_rotation_vector, normalise, quaternions_of, rotation_matrices
from ....inference.rigs import cleanup
from ...core import compat, roles, transaction
from ..camera import scene as scenes
from . import action, retarget
from .channels import Channel, action_of, channels, ensured, make_cyclic

if TYPE_CHECKING:
    from bpy.types import Action, NlaStrip, Object, Scene
    from numpy.typing import NDArray

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
    found, frames = channels(obj), _frames(obj)
    truth, metre = _joints_of(obj, _worlds(obj, frames, scene)), scene.unit_settings.scale_length
    values = [channel.values(frames) for channel in found]
    before = sum(channel.count for channel in found)
    carried, levers = _carried(obj, found)
    seen = _seen(obj, {channel.bone for channel in found})
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
            off = np.linalg.norm(_joints_of(obj, _worlds(obj, frames, scene)) - truth, axis=-1).max(axis=0)
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
    frames = _range(obj, first, last)
    worlds, root = _worlds(obj, frames, scene), _hips(obj)
    joints = _joints_of(obj, worlds)[:, _seen(obj)]
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
    moving = _moving(found, frames)
    steps = {}
    for bone in moving:
        if not _above(obj, bone) & set(moving):
            frame = worlds[bone] @ np.linalg.inv(_basis(obj, bone, found, frames))
            steps[bone] = frame[0, :3, :3].T @ travel / _unit(obj, bone)
    copy = _own_copy(obj, "loop")
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
    frames, found, hips = _frames(obj), channels(obj), _hips(obj)
    carrier = {"IN_PLACE": None, "OBJECT": "", "ROOT": _topmost(obj, hips)}[to]
    if carrier == hips:
        raise BadInput(f"{obj.name} has no bone above its hips.", "Move the motion onto the object instead.")
    worlds = _worlds(obj, frames, scene)
    way = _way(worlds[hips], steady, turn)
    wanted: dict[str, NDArray] = {}
    going = [*_moving(found, frames), *([] if carrier is None else [carrier])]
    for bone in set(going):
        if carrier is None:
            wanted[bone] = np.linalg.inv(way) @ worlds[bone]
        elif bone == carrier:
            wanted[bone] = way @ worlds[bone][0]
        else:  # what carries the carrier stands still
            wanted[bone] = np.broadcast_to(worlds[bone][0], way.shape) if bone in _above(obj, carrier) else worlds[bone]
    # What carries the carrier first, then the carrier, then what rides on it.
    depths = {bone: len(_above(obj, bone) & set(wanted)) for bone in wanted}
    first = set() if carrier is None else {carrier, *_above(obj, carrier)}
    levels = {bone: depth if bone in first else depth + len(first) for bone, depth in depths.items()}
    with _restored(obj):
        for level in sorted(set(levels.values())):
            now = _worlds(obj, frames, scene)  # with all that the bones above have taken along
            for bone in (bone for bone in wanted if levels[bone] == level):
                basis = _basis(obj, bone, found, frames)
                placed = np.linalg.inv(now[bone] @ np.linalg.inv(basis)) @ wanted[bone]
                _set_basis(obj, bone, found, frames, basis, placed)
        shown = _worlds(obj, frames, scene)
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
    found, frames = channels(obj), _frames(obj)
    start, end = (int(frame) for frame in _range(obj, first, last)[[0, -1]])
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
    used, frames = action_of(obj), _frames(obj)
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


def join_tracks(obj: Object, other: Object, scene: Scene) -> Action:
    """The motion of another armature of the same person after, or before, that of this one: a new action for this one,
    faded where they overlap and crossed in between. The other one is removed with what it moves, where it is a
    recovered person, else hidden. Raises BadInput where both are in sight for most of the time, and so are not one."""
    if obj == other:
        raise BadInput("Both are the same armature.", "Choose two.")
    own, theirs = _frames(obj), _frames(other)
    shared = min(own[-1], theirs[-1]) - max(own[0], theirs[0]) + 1
    if shared > 0.5 * min(len(own), len(theirs)):
        raise BadInput(
            f"{obj.name} and {other.name} are in sight at the same time.", "Choose two tracks of one person."
        )
    if {bone.name for bone in obj.data.bones} != {bone.name for bone in other.data.bones}:  # type: ignore[union-attr]
        raise BadInput(f"{obj.name} and {other.name} have different bones.", "Retarget one onto the other's rig first.")
    mine = {channel.path: channel.values(own) for channel in channels(obj)}
    copied = {channel.path: channel.values(theirs) for channel in channels(other)}
    copied |= _standing(obj, other, own, theirs, scene)
    _own_copy(obj, "joined")
    for channel in channels(obj):
        later = copied.get(channel.path, mine[channel.path][-1:].repeat(len(theirs), 0))
        frames, whole = cleanup.joined((int(own[0]), mine[channel.path]), (int(theirs[0]), later), channel.kind)
        channel.write(frames, whole)
    for one in (obj, *_moved_by(obj), action_of(obj)):
        if roles.FRAMES in one:
            one[roles.FRAMES] = [int(min(own[0], theirs[0])), int(max(own[-1], theirs[-1]))]
    for mesh, lost in zip(_moved_by(obj), _moved_by(other), strict=False):
        _join_visibility(mesh, lost)
    _retire(other)
    return action_of(obj)


def _standing(
    obj: Object, other: Object, own: NDArray, theirs: NDArray, scene: Scene
) -> dict[str, NDArray[np.float64]]:
    """Path -> values (T, C) by which the bones that go about stand where the other armature's stand, turned from rest
    as they are: the armatures stand elsewhere, and their bones rest a little differently."""
    found, far = channels(obj), _worlds(other, theirs, scene)
    here = {bone: world[:1] for bone, world in _worlds(obj, own[:1], scene).items()}
    rests = [dict(zip(names, rest, strict=True)) for names, _, rest in (retarget.at_rest(obj), retarget.at_rest(other))]
    values = {}
    for bone in dict.fromkeys([*_moving(found, own), *_moving(channels(other), theirs)]):
        if not bone or _above(obj, bone) & {*_moving(found, own)}:
            continue
        mode = obj.pose.bones[bone].rotation_mode  # type: ignore[union-attr]
        wanted = far[bone].copy()
        wanted[:, :3, :3] = wanted[:, :3, :3] @ rests[1][bone][:3, :3].T @ rests[0][bone][:3, :3]
        basis = _basis(obj, bone, found, own[:1]) @ np.linalg.inv(here[bone]) @ wanted
        values[action.bone_path(bone, "location")] = basis[:, :3, 3] / _unit(obj, bone)
        values[action.bone_path(bone, action.rotation_property(mode))] = retarget._rotation_keys(mode, basis)
    return values


def _join_visibility(mesh: Object, other: Object) -> None:
    """Hide a mesh only where both are hidden."""
    if mesh.animation_data is None or mesh.animation_data.action is None:
        return
    lost = {} if other.animation_data is None or other.animation_data.action is None else {
        curve.data_path: curve for curve in compat.channels_of(other.animation_data.action, other).fcurves
    }  # fmt: skip
    for curve in compat.channels_of(mesh.animation_data.action, mesh).fcurves:
        if curve.data_path not in ("hide_viewport", "hide_render"):
            continue
        both = [one for one in (curve, lost.get(curve.data_path)) if one is not None]
        times = sorted({float(key.co.x) for one in both for key in one.keyframe_points})
        hidden = [len(both) == 2 and min(one.evaluate(time) for one in both) > 0.5 for time in times]
        curve.keyframe_points.clear()
        curve.keyframe_points.add(len(times))
        for key, time, value in zip(curve.keyframe_points, times, hidden, strict=True):
            key.co, key.interpolation = (time, float(value)), "CONSTANT"
        curve.update()


def _retire(obj: Object) -> None:
    """Remove a recovered person's objects, with what draws its controls; hide what the artist may have made."""
    own = {obj, *_moved_by(obj)}
    if roles.HEIGHT not in obj:
        for one in own:
            one.hide_viewport = one.hide_render = True
        return
    beside = {one for home in obj.users_collection for one in home.objects if roles.HEIGHT in one}
    used = [*(own | beside), *(_widgets({obj}) - _widgets({one for one in bpy.data.objects if one != obj}))]
    homes = [home for one in used for home in one.users_collection]
    data = [one.data for one in used if one.data is not None and one.data.users == 1]
    bpy.data.batch_remove([*used, *data])
    for home in dict.fromkeys(homes):
        if home.name in bpy.data.collections and not home.all_objects:
            bpy.data.collections.remove(home)


def _widgets(objects: set[Object]) -> set[Object]:
    """The objects that draw the controls of these armatures."""
    bones = (bone for obj in objects if obj.pose for bone in obj.pose.bones)
    return {bone.custom_shape for bone in bones if bone.custom_shape is not None}


def _moved_by(obj: Object) -> list[Object]:
    return [one for one in bpy.data.objects if one.type == "MESH" and one.find_armature() == obj]


def _frames(obj: Object) -> NDArray[np.int64]:
    """The whole frames (T,) of the object's action."""
    action_of(obj)
    first, last = action.frames_of(obj) or (0, 0)
    return np.arange(first, last + 1)


def _range(obj: Object, first: int, last: int) -> NDArray[np.int64]:
    """The frames from first to last, of the whole action where both are 0. Raises BadInput for less than three, and for
    those that lie outside the action."""
    whole = _frames(obj)
    chosen = np.arange(first, last + 1) if first or last else whole
    if len(chosen) < 3:
        raise BadInput("A range needs three frames at least.", "Choose a longer one.")
    if chosen[0] < whole[0] or chosen[-1] > whole[-1]:
        raise BadInput(
            f"Frames {first} to {last} are not all in the action, which has {whole[0]} to {whole[-1]}.",
            "Choose a range inside it.",
        )
    return chosen


def _moving(found: Sequence[Channel], frames: NDArray) -> list[str]:
    """The bones, and "" for the object, whose place changes."""
    placed = [channel for channel in found if channel.kind == "location"]
    return [channel.bone for channel in placed if np.ptp(channel.values(frames), axis=0).max() > 1e-4]


def _hips(obj: Object) -> str:
    """The bone whose way over the ground is the figure's."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    chain = rigs.map_bones([bone.name for bone in bones]).roles.get("hips")
    moving = [bone for bone in _moving(channels(obj), _frames(obj)) if bone]
    if not (chain or moving):
        raise BadInput(f"{obj.name} does not move from its place.", "Choose an armature that walks.")
    return chain[0] if chain else moving[0]


def _above(obj: Object, bone: str) -> set[str]:
    """What carries a bone: the bones above it, and "" for the object; nothing for the object."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    return {"", *(one.name for one in bones[bone].parent_recursive)} if bone else set()


def _topmost(obj: Object, bone: str) -> str:
    """The bone that carries the whole rig: the one above all, or "root", which carries a control rig by constraints."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    root = bones.get("root")
    if root is not None and root.parent is None and bones[bone].parent_recursive:
        return "root"
    return [bone, *(one.name for one in bones[bone].parent_recursive)][-1]


def _unit(obj: Object, bone: str) -> float:
    """World units in one of the lengths in which a bone, or ("") the object, moves."""
    return float(np.cbrt(abs(np.linalg.det(np.array(obj.matrix_world)[:3, :3])))) if bone else 1.0


def _worlds(obj: Object, frames: NDArray, scene: Scene) -> dict[str, NDArray[np.float64]]:
    """(T, 4, 4) of each bone in the world, without scale in its axes, and under "" of the object, whose parent is taken
    to stand still."""
    poses = retarget.read_poses(obj, frames.tolist(), scene)
    place = np.array(obj.matrix_world @ obj.matrix_basis.inverted_safe(), np.float64)
    named = {bone.name: poses[:, number] for number, bone in enumerate(obj.data.bones)}  # type: ignore[union-attr]
    return {"": place @ _basis(obj, "", channels(obj), frames), **named}


def _joints_of(obj: Object, worlds: dict[str, NDArray]) -> NDArray[np.float64]:
    """(T, 2 J, 3) heads and tails of the bones in the world."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    posed = np.stack([worlds[bone.name] for bone in bones], axis=1)
    lengths = np.array([bone.length for bone in bones]) * _unit(obj, "bone")
    heads = posed[..., :3, 3]
    return np.concatenate([heads, heads + posed[..., :3, 1] * lengths[:, None]], axis=1)


def _seen(obj: Object, animated: Set[str] = frozenset()) -> NDArray[np.bool_]:
    """(2 J,) the joints, as in `_joints_of`, of bones that deform or are animated; all where no bone deforms."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    chosen = np.array([bone.use_deform or bone.name in animated for bone in bones])
    return np.tile(chosen | (not any(bone.use_deform for bone in bones)), 2)


def _basis(obj: Object, bone: str, found: Sequence[Channel], frames: NDArray) -> NDArray[np.float64]:
    """(T, 4, 4) what a bone, or the object, adds to its place at rest; lengths in the world's units."""
    owner: Any = obj.pose.bones[bone] if bone else obj  # type: ignore[union-attr]
    known = {channel.kind: channel for channel in found if channel.bone == bone}

    def values(kind: str) -> NDArray:
        set_so = np.tile(np.array(getattr(owner, kind), np.float64), (len(frames), 1))
        return known[kind].values(frames) if kind in known else set_so

    basis = np.tile(np.eye(4), (len(frames), 1, 1))
    basis[:, :3, 3] = values("location") * _unit(obj, bone)
    mode = owner.rotation_mode
    turns = values(action.rotation_property(mode))
    if mode == "QUATERNION":
        basis[:, :3, :3] = rotation_matrices(turns)
    elif mode == "AXIS_ANGLE":
        axes = turns[:, 1:] / np.maximum(np.linalg.norm(turns[:, 1:], axis=1, keepdims=True), 1e-9)
        basis[:, :3, :3] = rotation_matrices(from_rotation_vector(axes * turns[:, :1]))
    else:
        basis[:, :3, :3] = [Euler(turn, mode).to_matrix() for turn in turns.tolist()]
    return basis


def _set_basis(obj: Object, bone: str, found: list[Channel], frames: NDArray, before: NDArray, basis: NDArray) -> None:
    """Key what `_basis` reads; a rotation that stays as it was is not keyed."""
    ensured(obj, found, bone, "location").write(frames, basis[:, :3, 3] / _unit(obj, bone))
    if np.abs(basis[:, :3, :3] - before[:, :3, :3]).max() > 1e-5:
        owner: Any = obj.pose.bones[bone] if bone else obj  # type: ignore[union-attr]
        mode = owner.rotation_mode
        ensured(obj, found, bone, action.rotation_property(mode)).write(frames, retarget._rotation_keys(mode, basis))


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
    """Of each channel the joints (as in `_joints_of`) that it moves, and by how many world units its unit, or a radian,
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
        reach = float(np.linalg.norm(joints[below] - start, axis=1).max()) * _unit(obj, "bone")
        carried.append(below if plain else everything)
        levers.append(_unit(obj, channel.bone) if channel.kind == "location" else max(reach, 1e-6))
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


def _own_copy(obj: Object, suffix: str) -> Action:
    """A copy of the action on the object; the action itself stays in the file."""
    used = action_of(obj)
    copy = used.copy()
    copy.name = f"{used.name}.{suffix}"
    transaction.change(used, use_fake_user=True)
    transaction.on_failure(lambda: compat.swap_action(obj, used))
    compat.swap_action(obj, copy)
    return copy
