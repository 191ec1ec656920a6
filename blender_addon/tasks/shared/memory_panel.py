# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models are in memory."""

from __future__ import annotations

from typing import Any, ClassVar

from bpy.types import UILayout

from ...core import jobs
from .panel import SidebarPanel


class MemoryPanel(SidebarPanel):
    bl_label = "Memory"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        kept = jobs.models_in_memory()
        for key in kept:
            layout.label(text=" ".join(word for word in key if isinstance(word, str)), icon="DOT")
        if not kept:
            layout.label(text="No model is in memory")
        layout.operator("maquette.free_memory", icon="TRASH")
