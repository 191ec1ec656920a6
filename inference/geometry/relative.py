# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth maps of models that know the inverse depth only up to a factor and an offset.

The result is that inverse depth as a height from 0 (farthest) to 1 (nearest). It is the right relief to lift: whatever
factor and offset, it is a perspective image of the scene, so what is plane stays plane and what is straight straight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..results import DepthMap
from .normals_from_depth import normals_from_height
from .previews import to_resolution
from .relief_grid import RELIEF_HEIGHT
from .resample import at_photo_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..camera import Camera

#: Ratio of the farthest to the nearest of the depths that an inverse depth is taken for, to find its edges.
_RATIO = 10.0


def relative_map(inverse: NDArray[np.float32], camera: Camera, preview: NDArray[np.uint8]) -> DepthMap:
    """The depth map of a relative inverse depth (H, W) >= 0 at the photo's size. There is no surface at 0, far away."""
    height = unit(inverse)
    valid = inverse > 0
    height[~valid] = 0
    normals = normals_from_height(height, RELIEF_HEIGHT * height.shape[1])
    return DepthMap(height, valid, normals, camera, False, preview)


def inverse_at_photo_size(inverse: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A relative inverse depth (h, w) at (height, width), without values between an edge's two sides."""
    depth = 1 / (unit(inverse) + np.float32(1 / (_RATIO - 1)))
    return at_photo_size(depth, [inverse], height, width)[1][0]


def near_is_bright(inverse: NDArray[np.float32], resolution: int) -> NDArray[np.uint8]:
    """Relative inverse depth as the nodes draw it: the smallest 0, the largest 255, cut off to whole levels."""
    return grey(unit(inverse), resolution)


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values brought to 0..1; a constant to 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def grey(share: NDArray[np.float32], resolution: int) -> NDArray[np.uint8]:
    """0..1 as a picture (h, w, 3), cut off to whole levels."""
    levels = np.clip(share * 255, 0, 255).astype(np.uint8)
    return to_resolution(np.repeat(levels[..., None], 3, -1), resolution)
