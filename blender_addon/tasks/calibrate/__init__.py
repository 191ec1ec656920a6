# SPDX-License-Identifier: GPL-3.0-or-later
"""The scale of a photo by a known length, and its lens by straight lines."""

from __future__ import annotations

from ....inference.options import Options
from ..shared.task import Task
from .draw import MAQUETTE_OT_draw_lines
from .lens import MAQUETTE_OT_calibrate_lens
from .operator import MAQUETTE_OT_calibrate_distance
from .panel import CalibratePanel, LinesPanel
from .pick import MAQUETTE_OT_pick_point
from .settings import LINES, SETTINGS

TASK = Task(
    "calibrate",
    10,
    Options(*SETTINGS, *LINES),
    (LinesPanel, CalibratePanel),
    kept=False,
    classes=(
        MAQUETTE_OT_calibrate_distance,
        MAQUETTE_OT_pick_point,
        MAQUETTE_OT_calibrate_lens,
        MAQUETTE_OT_draw_lines,
    ),
)
