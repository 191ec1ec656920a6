# SPDX-License-Identifier: GPL-3.0-or-later
"""Anything of a photo or clip cut out by clicks, a box or a rough mask: masks, and a cut-out card."""

from __future__ import annotations

from ..shared.task import Command, Task
from .panel import SegmentPanel, SegmentSettingsPanel
from .pick import MAQUETTE_OT_pick_segment
from .settings import SETTINGS

TASK = Task(
    "segment",
    50,
    SETTINGS,
    (SegmentPanel, SegmentSettingsPanel),
    operator="cut_out",
    label="Cut Out",
    tooltip="Cut one thing out of the photo: what was clicked on, boxed, or roughly painted",
    package=__name__,
    commands=(Command("segment", "one thing cut out of a photo"),),
    classes=(MAQUETTE_OT_pick_segment,),
)
