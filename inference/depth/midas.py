# SPDX-License-Identifier: GPL-3.0-or-later
"""Relative depth by MiDaS (DPT-Hybrid): the inverse depth that its normals are made from, with the same network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry.relative import inverse_at_photo_size, near_is_bright, relative_map
from ..models.midas import NETWORK_SHARE, relative_inverse

if TYPE_CHECKING:
    from ..photo import Photo
    from ..results import DepthMap
    from ..runtime import Run


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[DepthMap]:
    """Height of whole photos. `resolution` is the short side of what the network sees, and of the preview.

    Photos whose working pictures have one size pass the network together.
    """
    cameras = [photo.camera_or_default(options["fx"], options["fy"]) for photo in photos]
    maps = []
    for camera, relative in zip(cameras, relative_inverse(photos, run, options["resolution"]), strict=True):
        run.report(NETWORK_SHARE + (1 - NETWORK_SHARE) * len(maps) / len(photos), "Bringing depth to the photo's size")
        whole = inverse_at_photo_size(relative.shown, camera.height, camera.width)
        # The node reckons its greys from the padded picture.
        preview = near_is_bright(relative.padded, 0)[: relative.rows, : relative.columns]
        maps.append(relative_map(whole, camera, np.ascontiguousarray(preview)))
    run.report(1.0, "Depth made")
    return maps
