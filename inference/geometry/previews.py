# SPDX-License-Identifier: GPL-3.0-or-later
"""The 8-bit pictures beside the float maps, of the size that the reference nodes give them: `resolution` is their short
side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

#: Largest preview in pixels: a narrow strip enlarged to a wide short side would not fit into memory.
MAX_PIXELS = 1 << 28
#: The nodes pad their working pictures to a multiple of this.
MULTIPLE = 64
#: Grey of the farthest pixel that belongs to the subject; 0 is kept for what does not.
FARTHEST = 51


def preview_size(height: int, width: int, resolution: int) -> tuple[int, int]:
    """(height, width) of the preview: short side = `resolution`, sides rounded half to even; 0 = the photo's size.

    Raises `BadInput` where that picture would be too large for the memory.
    """
    if resolution == 0:
        return height, width
    scale = resolution / min(height, width)
    size = round(height * scale), round(width * scale)
    if size[0] * size[1] > MAX_PIXELS:
        raise BadInput(
            f"A preview of {size[1]} x {size[0]} pixels is too large.",
            "Choose a smaller resolution, or 0 for the photo's.",
        )
    return size


def network_size(shape: Sequence[int], resolution: int, limit: int) -> tuple[int, int]:
    """`preview_size` of a picture (H, W, ...) that a network works on, of `limit` pixels at most. Raises `BadInput`."""
    size = preview_size(shape[0], shape[1], resolution)
    pixels = size[0] * size[1]
    if pixels > limit:
        raise BadInput(
            f"That resolution needs a network input of {pixels / 1e6:.0f} megapixels (limit {limit / 1e6:.0f}).",
            f"Choose a resolution of at most {int(min(size) * (limit / pixels) ** 0.5)}.",
        )
    return size


def to_resolution(picture: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Scale a picture (H, W) or (H, W, 3) to `preview_size`: by area when it shrinks, cubic when it grows."""
    height, width = preview_size(picture.shape[0], picture.shape[1], resolution)
    if (height, width) == picture.shape[:2]:
        return picture
    method = cv2.INTER_CUBIC if resolution > min(picture.shape[:2]) else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def padded(picture: NDArray[Any], multiple: int = MULTIPLE) -> NDArray[Any]:
    """A picture (H, W, ...) whose last row and column are repeated until both sides are multiples of `multiple`."""
    rows, columns = (-side % multiple for side in picture.shape[:2])
    if rows == columns == 0:
        return picture
    return np.pad(picture, ((0, rows), (0, columns), *((0, 0),) * (picture.ndim - 2)), mode="edge")


def depth_preview(depth: NDArray[np.float32], valid: NDArray[np.bool_], resolution: int) -> NDArray[np.uint8]:
    """Metric depth as grey: nearest 255, farthest `FARTHEST`, linear in metres between them, 0 where not valid."""
    grey = np.zeros(depth.shape, np.uint8)
    if valid.any():
        metres = depth[valid]
        near, far = metres.min(), metres.max()
        share = (far - metres) / (far - near) if far > near else np.ones_like(metres)
        grey[valid] = np.rint(FARTHEST + (255 - FARTHEST) * share)
    return to_resolution(np.repeat(grey[..., None], 3, -1), resolution)


def height_preview(height: NDArray[np.float32], resolution: int) -> NDArray[np.uint8]:
    """Relief height 0..1 as grey 0..255."""
    return to_resolution(np.repeat(np.rint(height * 255).astype(np.uint8)[..., None], 3, -1), resolution)


def normal_preview(normals: NDArray[np.float32], resolution: int) -> NDArray[np.uint8]:
    """Unit normals in camera axes as an OpenGL-style map: red to the right, green upwards, blue towards the viewer.

    A surface that faces the viewer is (128, 128, 255).
    """
    picture = np.empty(normals.shape, np.uint8)
    for row in range(len(normals)):
        picture[row] = np.rint(127.5 + 127.5 * normals[row] * (1, -1, -1))
    return to_resolution(picture, resolution)
