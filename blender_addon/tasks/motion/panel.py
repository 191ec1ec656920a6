# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel of cleaning up motion, for the active armature."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.types import UILayout

from ....inference.options import Options
from ..shared.panel import SidebarPanel
from .settings import LOOP, REDUCE, ROOT, SMOOTH, STRIP


class MotionPanel(SidebarPanel):
    bl_label = "Motion"
    icon = "ACTION"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        active: Any = bpy.context.active_object
        rig = active if active is not None and active.type == "ARMATURE" else None
        layout.label(text=rig.name if rig else "Select a rig", icon="ARMATURE_DATA")
        column = layout.column()
        column.enabled = rig is not None
        steps: tuple[tuple[str, Options], ...] = (
            ("smooth_motion", SMOOTH), ("make_loop", LOOP), ("move_root", ROOT), ("reduce_keys", REDUCE),
            ("push_to_nla", STRIP),
        )  # fmt: skip
        drawn: set[str] = set()
        for operator, options in steps:
            for option in options:
                if option.name not in drawn:
                    column.prop(settings.motion, option.name)
            drawn |= {option.name for option in options}
            button = column.operator(f"maquette.{operator}")
            for option in options:
                setattr(button, option.name, getattr(settings.motion, option.name))
            column.separator()
        column.prop(settings.motion, "other")
        button = column.operator("maquette.join_tracks")
        button.other = settings.motion.other.name if settings.motion.other else ""  # type: ignore[attr-defined]
