# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of normals."""

from __future__ import annotations

import math

from . import Number, Options
from .common import RESOLUTION, TOKENS
from .depth import OPTIONS as DEPTH
from .depth import RELIEF

_RELATIVE = ("midas", "midas-384")

# fmt: off
OPTIONS = Options(
    Number("a", 2 * math.pi, "Depth Strength", "Larger values flatten the normals that a relative depth map gives", 0.0,
           5 * math.pi, models=_RELATIVE),
    Number("bg_threshold", 0.1, "Background Threshold", "Relative depth below which the background is left flat", 0.0,
           1.0, models=_RELATIVE),
    RESOLUTION,
    TOKENS,
    *(DEPTH[name] for name in RELIEF),
)
# fmt: on
