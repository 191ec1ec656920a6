# SPDX-License-Identifier: GPL-3.0-or-later
"""The normals of the built-in depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..geometry.previews import normal_preview
from ..options.depth import OPTIONS as DEPTH_OPTIONS
from ..photo import Clip, Photo
from ..registry import model_module
from ..results import DepthMap, NormalMap
from ..runtime import Run


def estimate(photo: Photo, run: Run, options: Mapping[str, Any]) -> NormalMap:
    """Normals of the built-in depth. Raises `NothingFound` where there is nobody in the photo."""
    return _normals(model_module("depth", "builtin").estimate(photo, run, _depth_options()), options)


def estimate_film(clip: Clip, run: Run, options: Mapping[str, Any]) -> Callable[[int, Run], NormalMap]:
    """The same of a film; see `depth.from_people.estimate_film`."""
    depth = model_module("depth", "builtin").estimate_film(clip, run, _depth_options())
    return lambda number, part: _normals(depth(number, part), options)


def _depth_options() -> dict[str, Any]:
    return DEPTH_OPTIONS.checked({"resolution": 0})


def _normals(depth: DepthMap, options: Mapping[str, Any]) -> NormalMap:
    assert depth.normals is not None
    return NormalMap(depth.normals, depth.valid, depth.camera, normal_preview(depth.normals, options["resolution"]))
