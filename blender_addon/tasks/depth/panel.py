# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...library.page import draw_choice
from ..shared.panel import SidebarPanel, is_clip, task_button

if TYPE_CHECKING:
    from bpy.types import UILayout

    from ... import properties


class DepthPanel(SidebarPanel):
    bl_label = "Depth"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        draw_choice(layout, settings.depth, "depth")
        if is_clip(settings):
            layout.prop(settings.depth, "frames")
        layout.prop(settings.depth, "output")
        task_button(layout, settings, "maquette.estimate_depth", "MOD_DISPLACE")


class DepthSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = DepthPanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        depth = settings.depth
        output, metric = depth.output, depth.model != "relief"
        if output in {"AUTO", "GRID", "RELIEF", "LIVE"}:
            layout.prop(depth, "mesh_resolution")
        if output in {"AUTO", "RELIEF", "LIVE"} and metric:
            column = layout.column(align=True)
            column.prop(depth, "tear")
            column.prop(depth, "grazing")
            layout.prop(depth, "specks")
        if output != "IMAGE" and metric:
            layout.prop(depth, "max_distance")
        if output in {"AUTO", "GRID"}:
            layout.prop(depth, "grid_method")
        if output in {"AUTO", "GRID", "LIVE"}:
            layout.prop(depth, "grid_width")
        if output in {"AUTO", "GRID", "LIVE", "MATERIAL"}:
            layout.prop(depth, "strength")
        if output == "MATERIAL":
            layout.prop(depth, "adaptive")
            row = layout.row()
            row.active = depth.adaptive
            row.prop(depth, "dicing")
        if depth.frames == "CLIP" and is_clip(settings):
            layout.prop(depth, "start_frame")
        layout.prop(depth, "resolution")
