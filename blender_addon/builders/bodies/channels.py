# SPDX-License-Identifier: GPL-3.0-or-later
"""The transform channels of an object's action: values of every frame read in bulk, and keys written in bulk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from bpy.types import Action, Object
from numpy.typing import NDArray

from ....inference.errors import BadInput
from ....inference.rigs import cleanup
from ...core import compat
from . import action

_PATH = re.compile(
    r'^(?:pose\.bones\["(?P<bone>.*)"\]\.)?(?P<kind>location|scale|rotation_(?:quaternion|euler|axis_angle))$'
)
_LINEAR, _BEZIER = 1, 2  # the numbers of Keyframe.interpolation in foreach_set
_FREE, _ALIGNED = 0, 3  # and of the handles' types
#: What a key has, and how many numbers each.
_KEY = {
    "co": (2, np.float32), "handle_left": (2, np.float32), "handle_right": (2, np.float32),
    "interpolation": (1, np.int32), "handle_left_type": (1, np.int32), "handle_right_type": (1, np.int32),
    "easing": (1, np.int32),
}  # fmt: skip


@dataclass(frozen=True)
class Channel:
    """One animated property: place, rotation or scale of a bone, or (bone "") of the object.

    owner : what has the property.  curves : element -> F-curve.
    """

    owner: Any
    bone: str
    kind: str
    path: str
    curves: dict[int, Any]

    def values(self, frames: NDArray) -> NDArray[np.float64]:
        """(T, C) at these frames; elements without a curve stay as they are set."""
        found = np.tile(np.array(getattr(self.owner, self.kind), np.float64), (len(frames), 1))
        for index, curve in self.curves.items():
            found[:, index] = [curve.evaluate(frame) for frame in frames]
        return cleanup.continuous(found, self.kind)

    def write(
        self, frames: NDArray, values: NDArray, slopes: NDArray | None = None, keep: tuple[float, float] | None = None
    ) -> None:
        """Keys at these frames with values (K, C): linear, or with slopes (K, C) a frame smooth, with aligned handles.

        keep : existing keys before the first and after the second of these frames stay; None: none does.
        """
        for index, curve in self.curves.items():
            bend = None if slopes is None else slopes[:, index]
            _write(curve, np.asarray(frames, np.float64), values[:, index], bend, keep)

    def around(self, first: int, last: int) -> tuple[float, float]:
        """The keys next to a range, outside it; infinitely far where there are none."""
        times = np.concatenate([_times(curve) for curve in self.curves.values()])
        before, after = times[times < first], times[times > last]
        return float(before.max(initial=-np.inf)), float(after.min(initial=np.inf))

    @property
    def count(self) -> int:
        """Number of keys."""
        return sum(len(curve.keyframe_points) for curve in self.curves.values())


def action_of(obj: Object) -> Action:
    """The object's own action. Raises BadInput where it has none that can be edited."""
    data: Any = obj.animation_data
    if data is None or data.action is None or (compat.SLOTTED_ACTIONS and data.action_slot is None):
        raise BadInput(
            f"{obj.name} has no action.", "Recover or retarget a motion onto it, or choose another armature."
        )
    action.check_free(obj)
    if data.action.library is not None:
        raise BadInput(f"The action {data.action.name} is linked from another file.", "Make it local first.")
    return data.action


def channels(obj: Object) -> list[Channel]:
    """The transform channels of the object's action. Raises BadInput where there is none.

    Curves that are muted or locked, or have modifiers other than Cycles, are left alone, with their whole property.
    """
    found: dict[str, Channel] = {}
    left: set[str] = set()
    bones: Any = obj.pose.bones if obj.pose else {}
    for curve in compat.channels_of(action_of(obj), obj).fcurves:
        match = _PATH.match(curve.data_path)
        if not match:
            continue
        bone = bpy.utils.unescape_identifier(match["bone"] or "")
        owner = bones.get(bone) if bone else obj
        if owner is None or curve.mute or curve.lock or any(one.type != "CYCLES" for one in curve.modifiers):
            left.add(curve.data_path)
            continue
        new = Channel(owner, bone, match["kind"], curve.data_path, {})
        found.setdefault(curve.data_path, new).curves[curve.array_index] = curve
    usable = [channel for path, channel in found.items() if path not in left]
    if not usable:
        raise BadInput(f"Nothing in the action of {obj.name} can be edited.", "Unlock and unmute its channels.")
    return usable


def ensured(obj: Object, found: list[Channel], bone: str, kind: str) -> Channel:
    """The channel of a property, with curves for all its elements; a new one is added to those that were found."""
    owner: Any = obj.pose.bones[bone] if bone else obj  # type: ignore[union-attr]
    path = action.bone_path(bone, kind) if bone else kind
    known = next((channel for channel in found if channel.path == path), None)
    if known is None:
        known = Channel(owner, bone, kind, path, {})
        found.append(known)
    container = compat.channels_of(action_of(obj), obj)
    for index in set(range(len(getattr(owner, kind)))) - set(known.curves):
        known.curves[index] = container.fcurves.new(path, index=index)
    return known


def make_cyclic(channel: Channel, offset: bool) -> None:
    """Have a channel go on for ever: the same again, or (offset) from where it ended."""
    for curve in channel.curves.values():
        for old in [one for one in curve.modifiers if one.type == "CYCLES"]:
            curve.modifiers.remove(old)
        cycles = curve.modifiers.new("CYCLES")
        cycles.mode_before = cycles.mode_after = "REPEAT_OFFSET" if offset else "REPEAT"
        curve.update()


def _times(curve: Any) -> NDArray[np.float32]:
    keys = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", keys)
    return keys[::2]


def _write(
    curve: Any, frames: NDArray, values: NDArray, slopes: NDArray | None, keep: tuple[float, float] | None
) -> None:
    points = curve.keyframe_points
    keys = {name: np.zeros((len(frames), size), kind) for name, (size, kind) in _KEY.items()}
    keys["co"][:] = np.stack([frames, values], axis=1)
    reach = np.diff(frames, prepend=frames[0] - 1, append=frames[-1] + 1) / 3
    rise = np.zeros(len(frames)) if slopes is None else slopes
    keys["handle_left"][:] = np.stack([frames - reach[:-1], values - rise * reach[:-1]], axis=1)
    keys["handle_right"][:] = np.stack([frames + reach[1:], values + rise * reach[1:]], axis=1)
    keys["interpolation"][:] = _LINEAR if slopes is None else _BEZIER
    for side in ("handle_left_type", "handle_right_type"):
        keys[side][:] = _FREE if slopes is None else _ALIGNED
    if keep is not None:
        before = {name: np.empty((len(points), size), kind) for name, (size, kind) in _KEY.items()}
        for name, array in before.items():
            flat = array.ravel()
            points.foreach_get(name, flat)
            before[name] = flat.reshape(array.shape)
        low, high = before["co"][:, 0] < keep[0], before["co"][:, 0] > keep[1]
        keys = {name: np.concatenate([before[name][low], keys[name], before[name][high]]) for name in keys}
    points.clear()
    points.add(len(keys["co"]))
    for name, array in keys.items():
        points.foreach_set(name, np.ascontiguousarray(array).ravel())
    curve.update()
