# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of normals."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...library.page import draw_choice
from ..shared.panel import SidebarPanel, is_clip, task_button

if TYPE_CHECKING:
    from bpy.types import UILayout

    from ... import properties


class NormalsPanel(SidebarPanel):
    bl_label = "Normals"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        draw_choice(layout, settings.normals, "normals")
        if is_clip(settings):
            layout.prop(settings.normals, "frames")
        layout.prop(settings.normals, "output")
        if settings.normals.output == "MATERIAL":
            layout.prop(settings.normals, "space")
        task_button(layout, settings, "maquette.estimate_normals", "NORMALS_FACE")


class NormalsSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = NormalsPanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        normals = settings.normals
        if normals.output == "MATERIAL":
            layout.prop(normals, "strength")
        else:
            layout.prop(normals, "green_down")
        if normals.model.startswith("midas"):
            column = layout.column(align=True)
            column.prop(normals, "a")
            column.prop(normals, "bg_threshold")
        if normals.frames == "CLIP" and is_clip(settings):
            layout.prop(normals, "start_frame")
        else:
            layout.prop(normals, "keep_preview")
        layout.prop(normals, "resolution")
