# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of detailing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import bpy

from .common import SidebarPanel, task_button

if TYPE_CHECKING:
    from bpy.types import UILayout

    from .. import properties


class DetailPanel(SidebarPanel):
    bl_label = "Detail"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        detail = settings.detail
        layout.prop(detail, "source")
        layout.prop(detail, "mask")
        if detail.mask == "IMAGE":
            layout.prop_search(detail, "mask_name", bpy.data, "images", icon="IMAGE_DATA")
        layout.prop(detail, "model")
        if detail.model != "builtin":
            layout.prop(detail, "prompt")
            layout.prop(detail, "negative_prompt")
        layout.prop(detail, "seed")
        layout.prop(detail, "denoise")
        layout.prop(detail, "output")
        task_button(layout, settings, "maquette.detail_mask", "BRUSH_DATA")


class DetailSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = DetailPanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        detail = settings.detail
        column = layout.column()
        column.prop(detail, "feather")
        column.prop(detail, "noise_mask_feather")
        column.prop(detail, "mask_grow")
        column.prop(detail, "mask_invert")
