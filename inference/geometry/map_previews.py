# SPDX-License-Identifier: GPL-3.0-or-later
"""The 8-bit pictures beside the float maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .previews import to_resolution

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Grey of the farthest pixel that belongs to the subject; 0 is kept for what does not.
FARTHEST = 51


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
