# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes of a photo: edges, lines or shuffled content."""

from __future__ import annotations

from ..shared.task import Command, Task
from .panel import MapsPanel
from .settings import SETTINGS

TASK = Task(
    "maps",
    80,
    SETTINGS,
    (MapsPanel,),
    operator="make_map",
    label="Make Image Pass",
    tooltip="Make an image of the photo's edges or lines, or of its content shuffled",
    package=__name__,
    commands=(Command("maps", "edges, lines or shuffled content of a photo as an image"),),
)
