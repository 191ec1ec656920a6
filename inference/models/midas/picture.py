# SPDX-License-Identifier: GPL-3.0-or-later
"""Around the network: the picture that it sees, and what its relative inverse depth says of surfaces."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...geometry.previews import padded, to_resolution

#: The node's short side where none, or none that it can work with, is given.
_DEFAULT_SIDE, _LEAST_SIDE = 512, 64
#: Most pixels of the picture that the network sees; at that size it takes about 5 GB.
_MOST_PIXELS = 4 << 20


def working_side(resolution: int, height: int, width: int) -> int:
    """Short side of the picture to work on: `resolution`, below 64 the node's 512, and for 0 the photo's own.

    Raises `BadInput` where the picture would be too large for the network.
    """
    side = min(height, width) if resolution == 0 else resolution
    side = side if side >= _LEAST_SIDE else _DEFAULT_SIDE
    pixels = side * side * max(height, width) / min(height, width)
    if pixels > _MOST_PIXELS:
        raise BadInput(
            f"A resolution of {side} needs a network input of {pixels / 1e6:.0f} megapixels (limit 4).",
            f"Choose a resolution of at most {max(int(side * (_MOST_PIXELS / pixels) ** 0.5), _LEAST_SIDE)}."
            if pixels * (_LEAST_SIDE / side) ** 2 <= _MOST_PIXELS
            else "Crop the photo: it is too long for its width.",
        )
    return side


def working_picture(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The photo with this short side, its last row and column repeated to multiples of 64."""
    return padded(to_resolution(pixels, side))


def node_picture(inverse: NDArray[np.float32], a: float, bg_threshold: float) -> NDArray[np.uint8]:
    """The reference node's normal picture (h, w, 3): R, G, B are z, y and x of 127.5 n + 127.5, cut off."""
    normals, _ = surface_normals(inverse, a, bg_threshold)
    return np.clip(127.5 * normals + 127.5, 0, 255).astype(np.uint8)[..., ::-1]


def surface_normals(
    inverse: NDArray[np.float32], a: float, bg_threshold: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Unit vectors (H, W, 3) float32 as the node reckons them, and where there is a surface rather than background.

    inverse : (H, W) relative inverse depth.  x and y are its slopes towards right and bottom (Sobel's sums of 8
    pixels), so they point to where it is nearer; z = a. A constant depth, which the node divides by zero, has no
    background; a normal of no length, which it divides by too, faces the viewer.
    """
    low, high = float(inverse.min()), float(inverse.max())
    span = high - low
    foreground = (inverse - low) / np.float32(span) >= bg_threshold if span > 0 else np.ones(inverse.shape, bool)
    normals = np.empty((*inverse.shape, 3), np.float32)
    for axis, steps in enumerate(((1, 0), (0, 1))):
        slope = cv2.Sobel(inverse, cv2.CV_32F, *steps, ksize=3)
        normals[..., axis] = np.where(foreground, slope, 0)
    normals[..., 2] = a
    length = np.sqrt(np.sum(normals * normals, axis=2))
    normals[length == 0] = (0, 0, 1)
    normals /= np.where(length == 0, 1, length)[..., None]
    return normals, foreground
