# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of cutting out."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.types import UILayout

from ...library.choice import draw_choice
from ..shared.chosen import is_clip, matched_camera
from ..shared.panel import SidebarPanel, draw_masks


class SegmentPanel(SidebarPanel):
    bl_label = "Cut Out"
    icon = "MOD_MASK"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        segment = settings.segment
        draw_choice(layout, segment, "segment")
        camera = matched_camera(settings)
        row = layout.row(align=True)
        row.operator("maquette.pick_segment", icon="EYEDROPPER").camera = camera.name if camera else ""
        layout.prop_search(segment, "mask", bpy.data, "images", icon="IMAGE_DATA")
        if is_clip(settings):
            self.rows(layout, settings, "frames")
        self.rows(layout, settings, "edges", "masks", "card")
        self.button(layout, settings, "MOD_MASK")


class SegmentSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = SegmentPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        self.rows(layout.column(align=True), settings, "points", "box")
        draw_masks(layout, settings.segment)
        if settings.segment.frames == "CLIP" and is_clip(settings):
            self.rows(layout, settings, "start_frame")
