# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals by Metric3D v2: from the same pass of the network as its depth, which is remembered for either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..geometry.normals_from_depth import normalise
from ..geometry.resample import at_photo_size
from ..models.metric3d import NETWORK_SHARE, Canonical, check_photos, predict, surface
from ..models.metric3d.picture import normal_preview
from ..photo import Photo
from ..results import NormalMap
from ..runtime import Run
from ..runtime.passes import finished


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[NormalMap]:
    """Normals of whole photos, of any sizes, in one pass of the network."""
    check_photos(photos, options["resolution"])
    predicted = predict(photos, run.part(0.0, NETWORK_SHARE))
    make = partial(_normal_map, resolution=options["resolution"])
    return finished(run, NETWORK_SHARE, "Normals", make, photos, predicted)


def _normal_map(photo: Photo, canonical: Canonical, *, resolution: int) -> NormalMap:
    """The last iteration's normals; the preview, as the node's, shows the first iteration's."""
    size = photo.pixels.shape[0], photo.pixels.shape[1]
    depth, (confidence, normals) = at_photo_size(canonical.depth, [canonical.confidence, canonical.normals], *size)
    normalise(normals)
    preview = normal_preview(canonical.first_normals, size, resolution)
    return NormalMap(normals, surface(depth, confidence), photo.camera_or_default(), preview)
