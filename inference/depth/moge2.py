# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth by MoGe-2: metres of any photo, and the lens of one that does not say its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..geometry.relative import near_is_bright
from ..models.moge2 import NETWORK_SHARE, Answer, surface, surfaces
from ..photo import Photo
from ..results import DepthMap
from ..runtime import Run
from ..runtime.passes import finished


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[DepthMap]:
    """Metres along z of whole photos, of any sizes. See `inference.estimate_depth`."""

    def depth_map(pair: tuple[Photo, Answer]) -> DepthMap:
        found = surface(*pair, options["fx"], options["fy"])
        inverse = np.divide(1, found.depth, out=np.zeros_like(found.depth), where=found.valid)
        preview = near_is_bright(inverse, options["resolution"])
        return DepthMap(found.depth, found.valid, found.normals, found.camera, True, preview)

    answered = surfaces(photos, run.part(0.0, NETWORK_SHARE), options)
    return finished(run, NETWORK_SHARE, "Depth", depth_map, answered)
