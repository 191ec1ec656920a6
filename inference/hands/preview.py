# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference node's picture of the hands' depth, for any model: per hand, nearest white, farthest dark grey."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..geometry.previews import to_resolution


def depth_levels(depth: NDArray) -> NDArray[np.uint8]:
    """One hand's depth (H, W) in metres, 0 outside, as grey levels uint8, 0 outside.

    255 (1 - 0.8 (z - z_min) / (z_max - z_min)), cut to whole levels as the reference cuts them: the nearest point is
    255 and the farthest, which is 51 but for rounding, 50. A hand of one single depth, for which the reference divides
    by zero, is 255 throughout.
    """
    levels = np.zeros(depth.shape, np.uint8)
    inside = depth > 0
    if inside.any():
        z = depth[inside].astype(np.float64)
        low, high = z.min(), z.max()
        levels[inside] = 255.0 * (1.0 - 0.8 * (z - low) / (high - low)) if high > low else 255
    return levels


def paint(depths: Sequence[NDArray], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Grey levels (H, W) uint8 of all hands; `depths` from far to near, later ones over earlier ones."""
    picture = np.zeros(shape, np.uint8)
    for depth in depths:
        levels = depth_levels(depth)
        np.copyto(picture, levels, where=levels > 0)
    return picture


def resize(picture: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """The preview (h, w, 3) of grey levels (H, W)."""
    return to_resolution(np.repeat(picture[..., None], 3, axis=-1), resolution)
