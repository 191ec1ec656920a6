# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals by MoGe-2: from the same pass of the network as its depth, which is remembered for either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..geometry.previews import normal_preview
from ..models.moge2 import NETWORK_SHARE, Answer, surface, surfaces
from ..photo import Photo
from ..results import NormalMap
from ..runtime import Run
from ..runtime.passes import finished


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[NormalMap]:
    """Normals of whole photos, of any sizes."""

    def normal_map(pair: tuple[Photo, Answer]) -> NormalMap:
        found = surface(*pair)
        preview = normal_preview(found.normals, options["resolution"])
        return NormalMap(found.normals, found.valid, found.camera, preview)

    answered = surfaces(photos, run.part(0.0, NETWORK_SHARE), options)
    return finished(run, NETWORK_SHARE, "Normals", normal_map, answered)
