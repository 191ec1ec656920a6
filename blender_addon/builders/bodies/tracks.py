# SPDX-License-Identifier: GPL-3.0-or-later
"""Two tracks of one person, who was lost in between, as one."""

from __future__ import annotations

import json

import bpy
import numpy as np
from bpy.types import Action, Object, Scene
from numpy.typing import NDArray

from ....inference.errors import BadInput
from ....inference.rigs import cleanup
from ...core import compat, roles
from . import action, keying, reading
from .channels import action_of, channels
from .motion import own_copy
from .pose_space import above, basis_of, frames_of, moving_bones, unit_of, worlds_of


def join_tracks(obj: Object, other: Object, scene: Scene) -> Action:
    """The motion of another armature of the same person after, or before, that of this one: a new action for this one,
    faded where they overlap and crossed in between. The other one is removed with what it moves, where it is a
    recovered person, else hidden. Raises BadInput where both are in sight for most of the time, and so are not one."""
    if obj == other:
        raise BadInput("Both are the same armature.", "Choose two.")
    own, theirs = frames_of(obj), frames_of(other)
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
    own_copy(obj, "joined")
    for channel in channels(obj):
        later = copied.get(channel.path, mine[channel.path][-1:].repeat(len(theirs), 0))
        frames, whole = cleanup.joined((int(own[0]), mine[channel.path]), (int(theirs[0]), later), channel.kind)
        channel.write(frames, whole)
    for one in (obj, *_moved_by(obj), action_of(obj)):
        if roles.FRAMES in one:
            one[roles.FRAMES] = [int(min(own[0], theirs[0])), int(max(own[-1], theirs[-1]))]
    _remember(obj, other)
    for mesh, lost in zip(_moved_by(obj), _moved_by(other), strict=False):
        _join_visibility(mesh, lost)
    _retire(other)
    return action_of(obj)


def _remember(obj: Object, other: Object) -> None:
    """Write on a person's objects which tracks are theirs now; those of different clips are not solved again."""
    clips = {json.loads(str(one.get(roles.MEASURED, "{}"))).get("file") for one in (obj, other)}
    tracks = [int(track) for one in (obj, other) for track in one.get(roles.JOINED, [one.get(roles.TRACK, -1)])]
    for one in (obj, *_moved_by(obj)):
        if len(clips) == 1 and roles.MEASURED in one:
            one[roles.JOINED] = tracks
        elif roles.MEASURED in one:
            del one[roles.MEASURED]


def _standing(
    obj: Object, other: Object, own: NDArray, theirs: NDArray, scene: Scene
) -> dict[str, NDArray[np.float64]]:
    """Path -> values (T, C) by which the bones that go about stand where the other armature's stand, turned from rest
    as they are: the armatures stand elsewhere, and their bones rest a little differently."""
    found, far = channels(obj), worlds_of(other, theirs, scene)
    here = {bone: world[:1] for bone, world in worlds_of(obj, own[:1], scene).items()}
    rests = [dict(zip(names, rest, strict=True)) for names, _, rest in (reading.at_rest(obj), reading.at_rest(other))]
    values = {}
    for bone in dict.fromkeys([*moving_bones(found, own), *moving_bones(channels(other), theirs)]):
        if not bone or above(obj, bone) & {*moving_bones(found, own)}:
            continue
        mode = obj.pose.bones[bone].rotation_mode  # type: ignore[union-attr]
        wanted = far[bone].copy()
        wanted[:, :3, :3] = wanted[:, :3, :3] @ rests[1][bone][:3, :3].T @ rests[0][bone][:3, :3]
        basis = basis_of(obj, bone, found, own[:1]) @ np.linalg.inv(here[bone]) @ wanted
        values[action.bone_path(bone, "location")] = basis[:, :3, 3] / unit_of(obj, bone)
        values[action.bone_path(bone, action.rotation_property(mode))] = keying.rotation_keys(mode, basis)
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
    return [one for one in bpy.data.objects if one.type == "MESH" and action.controls_of(one) == obj]
