# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions: F-curves in bulk, and the scene's frame rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import ID, Action, Scene
    from numpy.typing import NDArray


def new_action(datablock: ID, name: str) -> Action:
    """A new action, assigned to the datablock (in its own slot from Blender 4.4 on)."""


def add_fcurve(action: Action, datablock: ID, path: str, index: int, frames: NDArray, values: NDArray) -> None:
    """One F-curve with a linear key for each of `frames` (T,) and `values` (T,)."""


def set_frame_rate(scene: Scene, fps: float) -> None:
    """The scene's frame rate, fractions included (29.97 becomes 30 / 1.001)."""
