# SPDX-License-Identifier: GPL-3.0-or-later
"""The scale of a photo by a known length."""

from __future__ import annotations

from ..shared.task import Task
from .operator import MAQUETTE_OT_calibrate_distance
from .panel import CalibratePanel
from .pick import MAQUETTE_OT_pick_point
from .settings import SETTINGS

TASK = Task(
    "calibrate", 10, SETTINGS, (CalibratePanel,), classes=(MAQUETTE_OT_calibrate_distance, MAQUETTE_OT_pick_point)
)
