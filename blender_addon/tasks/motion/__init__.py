# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning up motion: fewer keys, smoothed ranges, loops, root motion, strips, and tracks joined."""

from __future__ import annotations

import bpy
from bpy.props import PointerProperty

from ....inference.options import Options
from ..rigs.settings import is_armature
from ..shared.task import Task
from .operators import OPERATORS
from .panel import MotionPanel
from .settings import LOOP, REDUCE, ROOT, SMOOTH, STRIP

TASK = Task(
    "motion",
    61,
    Options(*{option.name: option for part in (SMOOTH, LOOP, ROOT, REDUCE, STRIP) for option in part}.values()),
    (MotionPanel,),
    classes=OPERATORS,
    remembered={
        "other": PointerProperty(
            name="Other",
            description="Armature that shows the same person at another time",
            type=bpy.types.Object,
            poll=is_armature,
        )
    },
)
