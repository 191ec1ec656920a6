# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of detailing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import bpy

from ...builders.materials.paint_layers import layers
from ...ui.text import characters, draw_lines
from ..shared.panel import SidebarPanel, task_button
from . import plan_shown

if TYPE_CHECKING:
    from bpy.types import UILayout

    from ... import properties


class DetailPanel(SidebarPanel):
    bl_label = "Detail"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        detail = settings.detail
        row = layout.row(align=True)
        row.menu("MAQUETTE_MT_detail_presets")
        row.operator("maquette.add_detail_preset", text="", icon="ADD")
        row.operator("maquette.add_detail_preset", text="", icon="REMOVE").remove_active = True
        layout.prop(detail, "source")
        column = layout.column()
        column.prop(detail, "mask")
        _draw_mask_name(column, detail)
        _draw_model(layout, detail, "model")
        if detail.model != "builtin":
            column = layout.column()
            column.prop(detail, "prompt")
            column.prop(detail, "negative_prompt")
            column.prop(detail, "steps")
        layout.prop(detail, "denoise", slider=True)
        row = layout.row(align=True)
        row.active = not detail.randomise
        row.prop(detail, "seed")
        row.operator("maquette.new_detail_seed", text="", icon="FILE_REFRESH")
        layout.prop(detail, "output")
        task_button(layout, settings, "maquette.detail_mask", "BRUSH_DATA")
        _draw_plan(layout, settings)


class DetailComparePanel(SidebarPanel):
    bl_label = "Before and After"
    parent = DetailPanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        context: Any = bpy.context
        obj = context.active_object
        if obj is not None and obj.active_material is not None:
            for image, shown in layers(obj.active_material):
                layout.prop(shown, "default_value", text=image.name, slider=True)
        layout.operator("maquette.toggle_detail", icon="ARROW_LEFTRIGHT")
        layout.operator("maquette.load_detail_settings", icon="IMPORT")


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
        column.prop(detail, "contour_fill")
        column.prop(detail, "bbox_fill")
        column.prop(detail, "combined")
        column.prop(detail, "mask_mode")
        column = layout.column()
        column.prop(detail, "guide_size")
        column.prop(detail, "guide_size_for")
        column.prop(detail, "max_size")
        column.prop(detail, "crop_factor")
        column.prop(detail, "drop_size")
        column = layout.column()
        column.prop(detail, "batch_size")
        column.prop(detail, "randomise")
        column.prop(detail, "mapping")
        column.prop(detail, "compatibility")


class DetailModelPanel(SidebarPanel):
    bl_label = "Model"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = DetailPanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        detail = settings.detail
        layout.active = detail.model != "builtin"
        column = layout.column()
        for name in ("cfg", "sampler", "scheduler", "cycle", "fill", "match_colours"):
            column.prop(detail, name)
        column = layout.column()
        column.prop(detail, "control")
        if detail.control != "NONE":
            if detail.control == "IMAGE":
                column.prop_search(detail, "control_image", bpy.data, "images", icon="IMAGE_DATA")
            _draw_model(column, detail, "controlnet")
            column.prop(detail, "control_strength")
            column.prop(detail, "control_start")
            column.prop(detail, "control_end")
        column = layout.column()
        _draw_model(column, detail, "lora")
        if detail.lora:
            column.prop(detail, "lora_strength")
        column.prop(detail, "loras")
        column = layout.column()
        _draw_model(column, detail, "refiner")
        if detail.refiner:
            column.prop(detail, "refiner_ratio")
        column = layout.column()
        column.prop(detail, "config")
        column.prop(detail, "tiling")
        column.prop(detail, "offload")


def _draw_mask_name(layout: UILayout, detail: Any) -> None:
    """What names the mask, by its kind."""
    context: Any = bpy.context
    obj = context.active_object
    if detail.mask == "IMAGE":
        layout.prop_search(detail, "mask_name", bpy.data, "images", text="Image", icon="IMAGE_DATA")
    elif detail.mask == "SPLINES":
        layout.prop_search(detail, "mask_name", bpy.data, "masks", text="Splines", icon="MOD_MASK")
    elif detail.mask == "VERTEX_GROUP" and obj is not None:
        layout.prop_search(detail, "mask_name", obj, "vertex_groups", text="Group")
    elif detail.mask == "ATTRIBUTE" and obj is not None and obj.type == "MESH":
        layout.prop_search(detail, "mask_name", obj.data, "attributes", text="Attribute")
    if detail.mask in {"IMAGE", "PAINT_SLOT", "STENCIL"}:
        layout.prop(detail, "mask_channel")


def _draw_model(layout: UILayout, detail: Any, name: str) -> None:
    row = layout.row(align=True)
    row.prop(detail, name)
    row.operator("maquette.choose_detail_model", text="", icon="FILE_FOLDER").target = name


def _draw_plan(layout: UILayout, settings: Any) -> None:
    """What detailing will take, as last worked out; greyed where the settings have changed since."""
    task_button(layout, settings, "maquette.plan_detail", "INFO", small=True)
    plan = plan_shown.last()
    if plan is None:
        return
    box = layout.box()
    box.scale_y = 0.8
    box.active = plan.asked == plan_shown.signature(settings.detail)
    for line in plan.lines:
        draw_lines(box, line, characters(), "DOT")
