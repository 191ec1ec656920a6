# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric3D v2: depth in metres and normals of any photo, from one pass of one network.

The network sees every photo as if a lens of 1000 pixels had taken it; its canonical depth becomes metres through the
photo's own focal length (Yin et al., "Metric3D", ICCV 2023, section 3.2). It never sees the focal length itself, nor
where the principal point lies: depth runs along the camera's z axis whatever those are, and where fx and fy differ
their mean counts. An off-centre principal point (a cropped or shifted photo) needs nothing but the right camera.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..camera import Camera
from ..geometry.normals_from_depth import normalise
from ..geometry.resample import at_photo_size
from ..models.metric3d import NETWORK_SHARE, Canonical, check_photos, predict, surface
from ..models.metric3d.picture import Placement, depth_preview
from ..photo import Photo
from ..results import DepthMap
from ..runtime import Run
from ..runtime.passes import finished

#: Focal length in pixels of the lens of the canonical depth.
CANONICAL_FOCAL = 1000.0


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[DepthMap]:
    """Metres along z of whole photos, of any sizes, in one pass of the network. See `inference.estimate_depth`."""
    cameras = [photo.camera_or_default(options["fx"], options["fy"]) for photo in photos]
    resolution = options["resolution"]
    check_photos(photos, resolution)
    predicted = predict(photos, run.part(0.0, NETWORK_SHARE))
    return finished(run, NETWORK_SHARE, "Depth", partial(_depth_map, resolution=resolution), photos, cameras, predicted)


def _depth_map(photo: Photo, camera: Camera, canonical: Canonical, *, resolution: int) -> DepthMap:
    height, width = photo.pixels.shape[:2]
    depth, (confidence, normals) = at_photo_size(
        canonical.depth, [canonical.confidence, canonical.normals], height, width
    )
    normalise(normals)
    valid = surface(depth, confidence)
    depth *= metres_per_unit(camera)
    depth[~valid] = 0
    preview = depth_preview(canonical.depth, (height, width), resolution)
    return DepthMap(depth, valid, normals, camera, True, preview, confidence)


def metres_per_unit(camera: Camera) -> np.float32:
    """Metres of one unit of canonical depth: the focal length in the network's picture, over the canonical one."""
    scale = Placement.of(camera.height, camera.width).scale
    return np.float32(scale * (camera.fx + camera.fy) / 2 / CANONICAL_FOCAL)
