# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel of jobs for a farm."""

from __future__ import annotations

from typing import Any, ClassVar

from bpy.types import UILayout

from ..shared.panel import SidebarPanel
from .settings import flamenco_manager


class FarmPanel(SidebarPanel):
    bl_label = "Flamenco"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return flamenco_manager() is not None

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        for name in ("task", "format", "folder", "frames", "chunk_size"):
            layout.prop(settings.farm, name)
        layout.operator("maquette.submit_to_flamenco", icon="EXPORT")
        layout.operator("maquette.save_job_type")
