# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of depth."""

from __future__ import annotations

from typing import Any, ClassVar

from bpy.types import UILayout

from ....inference.options.common import AUTO
from ....installer.models import catalogue
from ...library.choice import draw_choice
from ..shared.chosen import is_clip
from ..shared.panel import SidebarPanel


class DepthPanel(SidebarPanel):
    bl_label = "Depth"
    icon = "MOD_DISPLACE"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        draw_choice(layout, settings.depth, "depth")
        if is_clip(settings):
            self.rows(layout, settings, "frames")
        self.rows(layout, settings, "output")
        self.button(layout, settings, "MOD_DISPLACE")


class DepthSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = DepthPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        depth = settings.depth
        output, metric = depth.output, _is_metric(depth.model)
        heights = not metric or depth.model == AUTO
        if output in {"AUTO", "GRID", "RELIEF", "LIVE"}:
            self.rows(layout, settings, "mesh_resolution")
        if output in {"AUTO", "RELIEF", "LIVE"} and metric:
            self.rows(layout.column(align=True), settings, "tear", "grazing")
            self.rows(layout, settings, "specks")
        if output != "IMAGE" and metric:
            self.rows(layout, settings, "max_distance")
        if output == "GRID" and metric:
            self.rows(layout, settings, "grid_method")
        if output != "IMAGE" and heights:
            self.rows(layout, settings, *(("strength",) if output == "MATERIAL" else ("grid_width", "strength")))
        if output == "MATERIAL":
            self.rows(layout, settings, "adaptive")
            row = layout.row()
            row.active = depth.adaptive
            self.rows(row, settings, "dicing")
        if depth.frames == "CLIP" and is_clip(settings):
            self.rows(layout, settings, "start_frame", *(("steady",) if metric else ()))
        self.rows(layout, settings, "resolution")


def _is_metric(model: str) -> bool:
    """Whether a model gives metres, rather than heights without unit."""
    return all(known.options.get("metres", True) for known in catalogue.models("depth") if known.id == model)
