# SPDX-License-Identifier: GPL-3.0-or-later
"""Relative depth by MiDaS (DPT-Hybrid): the inverse depth that its normals are made from, with the same network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..camera import Camera
from ..geometry.relative import inverse_at_photo_size, near_is_bright, relative_map
from ..models.midas import NETWORK_SHARE, Relative, relative_inverse
from ..photo import Photo
from ..results import DepthMap
from ..runtime import Run
from ..runtime.passes import finished


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[DepthMap]:
    """Height of whole photos. `resolution` is the short side of what the network sees, and of the preview.

    Photos whose working pictures have one size pass the network together.
    """
    cameras = [photo.camera_or_default(options["fx"], options["fy"]) for photo in photos]
    return finished(
        run, NETWORK_SHARE, "Depth", _depth_map, relative_inverse(photos, run, options["resolution"]), cameras
    )


def _depth_map(relative: Relative, camera: Camera) -> DepthMap:
    """The node's greys are those of the padded picture."""
    whole = inverse_at_photo_size(relative.shown, camera.height, camera.width)
    preview = near_is_bright(relative.padded, 0)[: relative.rows, : relative.columns]
    return relative_map(whole, camera, np.ascontiguousarray(preview))
