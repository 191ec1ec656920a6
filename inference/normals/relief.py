# SPDX-License-Identifier: GPL-3.0-or-later
"""The normals of a material's surface, from its relief: a photo taken from straight above."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..geometry.previews import normal_preview
from ..options.depth import RELIEF
from ..photo import Photo
from ..registry import model_module
from ..results import NormalMap
from ..runtime import Run


def estimate(photo: Photo, run: Run, options: Mapping[str, Any]) -> NormalMap:
    """Normals of the whole photo; options as for `depth.relief.height`."""
    given = {name: options[name] for name in (*RELIEF, "resolution")}
    found = model_module("depth", "relief").estimate(photo, run, {**given, "fx": None, "fy": None})
    assert found.normals is not None
    return NormalMap(found.normals, found.valid, found.camera, normal_preview(found.normals, options["resolution"]))
