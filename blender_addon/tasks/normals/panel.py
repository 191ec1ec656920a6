# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of normals."""

from __future__ import annotations

from typing import Any, ClassVar

from bpy.types import UILayout

from ...library.choice import draw_choice
from ..shared.chosen import is_clip
from ..shared.panel import SidebarPanel


class NormalsPanel(SidebarPanel):
    bl_label = "Normals"
    icon = "NORMALS_FACE"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        draw_choice(layout, settings.normals, "normals")
        if is_clip(settings):
            self.rows(layout, settings, "frames")
        self.rows(layout, settings, "output")
        if settings.normals.output == "MATERIAL":
            self.rows(layout, settings, "space")
        self.button(layout, settings, "NORMALS_FACE")


class NormalsSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = NormalsPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        normals = settings.normals
        self.rows(layout, settings, "strength" if normals.output == "MATERIAL" else "green_down")
        self.rows(layout.column(align=True), settings, "a", "bg_threshold")
        if normals.frames == "CLIP" and is_clip(settings):
            self.rows(layout, settings, "start_frame")
        else:
            self.rows(layout, settings, "keep_preview")
        self.rows(layout, settings, "resolution")
