# SPDX-License-Identifier: GPL-3.0-or-later
"""The normals of the built-in depth."""

from __future__ import annotations

import math
import reprlib
from typing import TYPE_CHECKING

from ..errors import BadInput
from ..geometry.previews import check_resolution, normal_preview
from ..registry import model_module
from ..results import NormalMap

if TYPE_CHECKING:
    from ..photo import Photo
    from ..runtime import Run

#: Longest z part of a normal made from slopes; a little more than 5 pi, which float32 rounds up.
_MOST_A = 5 * math.pi + 1e-5


def estimate(photo: Photo, run: Run, *, a: float, bg_threshold: float, resolution: int) -> NormalMap:
    """Normals of the built-in depth. `a` and `bg_threshold` act only on models of relative depth.

    Raises `NothingFound` where there is nobody in the photo.
    """
    check_resolution(resolution)
    check_parameters(a, bg_threshold)
    depth_map = model_module("depth", "builtin").estimate(photo, run, fx=None, fy=None, resolution=0)
    normals, valid = depth_map.normals, depth_map.valid
    return NormalMap(normals, valid, depth_map.camera, normal_preview(normals, resolution))


def check_parameters(a: float, bg_threshold: float) -> None:
    """Raise `BadInput` unless 0 <= a <= 5 pi and 0 <= bg_threshold <= 1, the node's ranges."""
    try:
        inside = bool(0 <= a <= _MOST_A and 0 <= bg_threshold <= 1)
    except (TypeError, ValueError):  # no numbers, or several
        inside = False
    if not inside:
        raise BadInput(
            f"a = {reprlib.repr(a)} and bg_threshold = {reprlib.repr(bg_threshold)} are out of range.",
            "Give a from 0 to 5 pi (15.7) and bg_threshold from 0 to 1.",
        )
