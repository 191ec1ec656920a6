# SPDX-License-Identifier: GPL-3.0-or-later
"""Repainting what is under a mask, in more detail."""

from __future__ import annotations

from ..shared.task import Command, Task
from .operators import CLASSES, PlanOperator, fill_whole
from .panel import DetailComparePanel, DetailModelPanel, DetailPanel, DetailSettingsPanel
from .settings import SETTINGS

TASK = Task(
    "detail",
    55,
    SETTINGS,
    (DetailPanel, DetailComparePanel, DetailSettingsPanel, DetailModelPanel),
    operator="detail_mask",
    label="Repaint Under Mask",
    tooltip="Repaint what is under the mask in more detail, as a new image or paint layer above the old one",
    package=__name__,
    commands=(Command("detail", "a part of a photo, texture or render repainted", needs_photo=False),),
    replaces=False,
    kept=False,  # it has presets of its own
    adjust=fill_whole,
    classes=CLASSES,
    variants={"plan_detail": ("Plan", "List the parts, sizes, steps and memory that detailing takes", PlanOperator)},
)
