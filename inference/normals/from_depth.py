# SPDX-License-Identifier: GPL-3.0-or-later
"""The normals of the built-in depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..geometry.previews import normal_preview
from ..options.depth import OPTIONS as DEPTH_OPTIONS
from ..photo import Photo
from ..registry import model_module
from ..results import NormalMap
from ..runtime import Run


def estimate(photo: Photo, run: Run, options: Mapping[str, Any]) -> NormalMap:
    """Normals of the built-in depth. Raises `NothingFound` where there is nobody in the photo."""
    depth_map = model_module("depth", "builtin").estimate(photo, run, DEPTH_OPTIONS.checked({"resolution": 0}))
    normals, valid = depth_map.normals, depth_map.valid
    return NormalMap(normals, valid, depth_map.camera, normal_preview(normals, options["resolution"]))
