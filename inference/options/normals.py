# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of normals."""

from __future__ import annotations

import math

from . import Number, Options
from .common import RESOLUTION

_RELATIVE = ("midas", "midas-384")

OPTIONS = Options(
    Number(
        "a",
        2 * math.pi,
        "Depth Strength",
        "How steep the slopes become that a relative depth map has",
        models=_RELATIVE,
        low=0.0,
        high=5 * math.pi,
    ),
    Number(
        "bg_threshold",
        0.1,
        "Background Threshold",
        "Relative depth below which the background is left flat",
        models=_RELATIVE,
        low=0.0,
        high=1.0,
    ),
    RESOLUTION,
)
