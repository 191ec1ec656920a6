# SPDX-License-Identifier: GPL-3.0-or-later
"""Relative depth by MiDaS (DPT-Hybrid): the inverse depth that its normals are made from, with the same network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.relative import inverse_at_photo_size, near_is_bright, relative_map
from ..models.midas import NETWORK_SHARE, relative_inverse

if TYPE_CHECKING:
    from ..photo import Photo
    from ..results import DepthMap
    from ..runtime import Run


def estimate(photo: Photo, run: Run, *, fx: float | None, fy: float | None, resolution: int) -> DepthMap:
    """Height of the whole photo. `resolution` is the short side of what the network sees, and of the preview."""
    return estimate_batch([photo], run, fx=fx, fy=fy, resolution=resolution)[0]


def estimate_batch(
    photos: Sequence[Photo], run: Run, *, fx: float | None, fy: float | None, resolution: int
) -> list[DepthMap]:
    """`estimate` of several photos; those whose working pictures have one size pass the network together."""
    cameras = [photo.camera_or_default(fx, fy) for photo in photos]
    maps = []
    for camera, relative in zip(cameras, relative_inverse(photos, run, resolution), strict=True):
        run.report(NETWORK_SHARE + (1 - NETWORK_SHARE) * len(maps) / len(photos), "Bringing depth to the photo's size")
        whole = inverse_at_photo_size(relative.shown, camera.height, camera.width)
        # The node reckons its greys from the padded picture.
        preview = near_is_bright(relative.padded, 0)[: relative.rows, : relative.columns]
        maps.append(relative_map(whole, camera, np.ascontiguousarray(preview)))
    run.report(1.0, "Depth made")
    return maps
