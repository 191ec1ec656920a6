# SPDX-License-Identifier: GPL-3.0-or-later
"""Photos and clips on a Flamenco farm, where its add-on is enabled."""

from __future__ import annotations

from ..shared.task import Task
from .operators import OPERATORS
from .panel import FarmPanel
from .settings import SETTINGS

TASK = Task("farm", 95, SETTINGS, (FarmPanel,), classes=OPERATORS)
