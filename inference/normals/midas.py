# SPDX-License-Identifier: GPL-3.0-or-later
"""MiDaS (DPT-Hybrid): normals from the slopes of a relative inverse depth.

They are not geometry: how steep they are depends on `a`, on the resolution, and on the network's own scale. Their
strength is that they follow every detail, even where no metric depth can be had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from ..models.midas import NETWORK_SHARE, Relative, relative_inverse
from ..models.midas.picture import node_picture, surface_normals
from ..photo import Photo
from ..results import NormalMap
from ..runtime import Run
from ..runtime.passes import finished


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[NormalMap]:
    """Normals at the photos' size. `resolution` is the short side of what the network sees, and of the preview.

    The preview has the node's axes and order of channels (R towards the viewer, G down, B to the right). `valid` is the
    foreground; the background faces the viewer. Photos whose working pictures have one size pass the network together.
    """
    make = partial(_normal_map, a=options["a"], bg_threshold=options["bg_threshold"])
    return finished(run, NETWORK_SHARE, "Normals", make, photos, relative_inverse(photos, run, options["resolution"]))


def _normal_map(photo: Photo, relative: Relative, *, a: float, bg_threshold: float) -> NormalMap:
    """The node computes the background of the padded picture; the float normals only from what the photo shows."""
    height, width = photo.pixels.shape[:2]
    picture = node_picture(relative.padded, a, bg_threshold)
    preview = np.ascontiguousarray(picture[: relative.rows, : relative.columns])
    normals, foreground = surface_normals(relative.shown, a, bg_threshold)
    # Slopes point to where it is nearer, normals away from there; and the viewer is at -z of the camera.
    normals = cv2.resize(-normals, (width, height), interpolation=cv2.INTER_LINEAR)
    normals /= np.maximum(np.sqrt(np.einsum("...i,...i", normals, normals)), 1e-6)[..., None]
    valid = cv2.resize(foreground.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    normals[~valid] = (0, 0, -1)
    return NormalMap(normals, valid, photo.camera_or_default(), preview)
