# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of hands."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.types import UILayout

from ...library.choice import draw_choice
from ..shared.chosen import is_clip
from ..shared.panel import SidebarPanel, draw_masks


class HandsPanel(SidebarPanel):
    bl_label = "Hands"
    icon = "VIEW_PAN"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        hands = settings.hands
        draw_choice(layout, hands, "hands")
        if is_clip(settings):
            self.rows(layout, settings, "frames")
        self.rows(layout, settings, "depth")
        self.rows(layout.column(heading="Make"), settings, "build_meshes", "control_image", "id_map")
        self.rows(layout, settings, "masks")
        if hands.masks not in {"NONE", "STENCIL"}:
            self.rows(layout, settings, "mask_split")
        self.button(layout, settings, "VIEW_PAN")


class HandsSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = HandsPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        hands = settings.hands
        if hands.masks != "NONE":
            column = layout.column()
            self.rows(column, settings, "mask_type")
            if hands.mask_type == "original":
                self.rows(column, settings, "mask_bbox_padding")
            self.rows(column, settings, "mask_expand")
        draw_masks(layout, hands)
        if hands.frames == "CLIP" and is_clip(settings):
            self.rows(layout, settings, "start_frame")
            if hands.build_meshes:
                self.rows(layout, settings, "mesh_cache")
        self.rows(layout, settings, "resolution")
        layout.prop_search(hands, "scene_depth", bpy.data, "images", icon="IMAGE_DATA")
        self.rows(layout, settings, "boxes")
        if not hands.boxes:
            self.rows(layout.column(align=True), settings, "detect_thr", "presence_thr")
        self.rows(layout, settings, "exact")
