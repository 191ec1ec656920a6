# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions: F-curves in bulk."""

from __future__ import annotations

import math
from typing import Any

import bpy
import numpy as np
from bpy.types import ID, Action
from numpy.typing import NDArray

from ....inference.errors import BadInput
from ...core import compat, roles

_CONSTANT, _LINEAR = 0, 1  # the numbers of Keyframe.interpolation in foreach_set


def new_action(datablock: ID, name: str) -> Action:
    """A new action, assigned to the datablock (in its own slot from Blender 4.4 on)."""
    action = bpy.data.actions.new(name)
    compat.assign_action(datablock, action)
    return action


def controls_of(obj: Any) -> Any:
    """The armature whose action moves an object: a mesh's (None: it has none), an armature itself, and in place of a
    skeleton for engines the control rig that it follows."""
    rig = obj.find_armature() if obj.type == "MESH" else obj
    if rig is None or rig.get(roles.RIG) != roles.GAME_SKELETON:
        return rig
    copies = (copy for bone in rig.pose.bones for copy in bone.constraints if copy.type == "COPY_TRANSFORMS")
    return next((copy.target for copy in copies if copy.target is not None), rig)


def frames_of(datablock: Any) -> tuple[int, int] | None:
    """First and last whole frame of a datablock's action, else of its strips; None where it has neither."""
    data = datablock.animation_data
    if data is None:
        return None
    if data.action is not None:
        first, last = compat.frame_range(datablock)
    else:
        strips = [strip for track in data.nla_tracks if not track.mute for strip in track.strips if not strip.mute]
        if not strips:
            return None
        first, last = min(strip.frame_start for strip in strips), max(strip.frame_end for strip in strips)
    return math.floor(first), max(math.ceil(last), math.floor(first))


def name_of(obj: Any) -> str:
    """The name of what moves an object: its action, else that of its one strip, else its own."""
    data = obj.animation_data
    if data is not None and data.action is not None:
        return data.action.name
    strips = [strip for track in data.nla_tracks for strip in track.strips] if data is not None else []
    return strips[0].action.name if len(strips) == 1 and strips[0].action else obj.name


def check_free(datablock: Any) -> None:
    """Raise BadInput where a strip of the datablock's is being tweaked: until that ends its action cannot change."""
    data = datablock.animation_data
    if data is not None and data.use_tweak_mode:
        raise BadInput(
            f"{datablock.name} is in NLA tweak mode.",
            "Leave tweak mode in the Nonlinear Animation editor (Tab).",
        )


def rotation_property(mode: str) -> str:
    """The property that turns an object or bone of this rotation mode."""
    return {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")


def bone_path(bone: str, attribute: str) -> str:
    """The data path of a pose bone's property ("location"), or of a custom one ("[IK_FK]")."""
    escape = bpy.utils.escape_identifier
    own = f'["{escape(attribute[1:-1])}"]' if attribute.startswith("[") else f".{attribute}"
    return f'pose.bones["{escape(bone)}"]{own}'


def add_fcurves(action: Action, datablock: ID, path: str, frames: NDArray, values: NDArray, group: str = "") -> None:
    """One F-curve a column: a linear key for each of `frames` (T,) with `values` (T, C) of the property's C elements.

    Values that never change get one key. `group` gathers the channels in the editors.
    """
    values = np.asarray(values, np.float32)
    if np.ptp(values, axis=0).max() < 1e-6:
        frames, values = frames[:1], values[:1]
    channels = compat.channels_of(action, datablock)
    owner = (channels.groups.get(group) or channels.groups.new(group)) if group else None
    points = np.empty((len(frames), 2), np.float32)
    points[:, 0] = frames
    interpolation = np.full(len(frames), _LINEAR, np.int32)
    for index, column in enumerate(values.T):
        points[:, 1] = column
        fcurve = channels.fcurves.new(path, index=index)
        if owner is not None:
            fcurve.group = owner
        fcurve.keyframe_points.add(len(frames))
        fcurve.keyframe_points.foreach_set("co", points.ravel())
        fcurve.keyframe_points.foreach_set("interpolation", interpolation)
        fcurve.update()


def add_switch(action: Action, datablock: ID, path: str, frames: NDArray, values: NDArray) -> None:
    """One F-curve of a property that is on or off: it keeps each of `values` (T,) until the next of `frames` (T,)."""
    fcurve = compat.channels_of(action, datablock).fcurves.new(path)
    fcurve.keyframe_points.add(len(frames))
    fcurve.keyframe_points.foreach_set("co", np.stack([frames, values], axis=1).astype(np.float32).ravel())
    fcurve.keyframe_points.foreach_set("interpolation", np.full(len(frames), _CONSTANT, np.int32))
    fcurve.update()
