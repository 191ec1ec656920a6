# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import bpy

from ...library.page import draw_choice
from ..shared.panel import SidebarPanel, draw_masks, is_clip, task_button

if TYPE_CHECKING:
    from bpy.types import UILayout

    from ... import properties


class HandsPanel(SidebarPanel):
    bl_label = "Hands"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        hands = settings.hands
        draw_choice(layout, hands, "hands")
        if is_clip(settings):
            layout.prop(hands, "frames")
        layout.prop(hands, "depth")
        column = layout.column(heading="Make")
        column.prop(hands, "build_meshes")
        column.prop(hands, "control_image")
        column.prop(hands, "id_map")
        layout.prop(hands, "masks")
        if hands.masks not in {"NONE", "STENCIL"}:
            layout.prop(hands, "mask_split")
        task_button(layout, settings, "maquette.refine_hands", "VIEW_PAN")


class HandsSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = HandsPanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        hands = settings.hands
        if hands.masks != "NONE":
            column = layout.column()
            column.prop(hands, "mask_type")
            if hands.mask_type == "original":
                column.prop(hands, "mask_bbox_padding")
            column.prop(hands, "mask_expand")
        draw_masks(layout, hands)
        if hands.frames == "CLIP" and is_clip(settings):
            layout.prop(hands, "start_frame")
            if hands.build_meshes:
                layout.prop(hands, "mesh_cache")
        layout.prop(hands, "resolution")
        layout.prop_search(hands, "scene_depth", bpy.data, "images", icon="IMAGE_DATA")
        layout.prop(hands, "boxes")
        if not hands.boxes:
            column = layout.column(align=True)
            column.prop(hands, "detect_thr")
            column.prop(hands, "presence_thr")
        if hands.model != "builtin":
            layout.prop(hands, "exact")
            layout.prop(hands, "rand_seed")
