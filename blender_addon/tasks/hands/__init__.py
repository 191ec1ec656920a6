# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands of a photo or clip: depth, masks, ID map and meshes."""

from __future__ import annotations

from ..shared.task import Command, Task
from .panel import HandsPanel, HandsSettingsPanel
from .settings import BUILD, SETTINGS

TASK = Task(
    "hands",
    40,
    SETTINGS,
    (HandsPanel, HandsSettingsPanel),
    operator="refine_hands",
    label="Find Hands",
    tooltip="Find the hands in the photo: depth, mask, and a mesh of each",
    package=__name__,
    built=BUILD.names,
    commands=(Command("hands", "depth, mask and meshes of the hands in a photo"),),
)
