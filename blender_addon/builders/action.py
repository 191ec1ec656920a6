# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions: F-curves in bulk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from .. import compat

if TYPE_CHECKING:
    from bpy.types import ID, Action
    from numpy.typing import NDArray

_CONSTANT, _LINEAR = 0, 1  # the numbers of Keyframe.interpolation in foreach_set


def new_action(datablock: ID, name: str) -> Action:
    """A new action, assigned to the datablock (in its own slot from Blender 4.4 on)."""
    action = bpy.data.actions.new(name)
    compat.assign_action(datablock, action)
    return action


def frames_of(datablock: Any) -> tuple[int, int] | None:
    """First and last whole frame of a datablock's action; None where it has none."""
    data = datablock.animation_data
    if data is None or data.action is None:
        return None
    first, last = data.action.frame_range
    return math.floor(first), max(math.ceil(last), math.floor(first))


def rotation_property(mode: str) -> str:
    """The property that turns an object or bone of this rotation mode."""
    return {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")


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
