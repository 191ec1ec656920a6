# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of detailing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import bpy
from bpy.types import UILayout

from ....inference.options.detail import FILLING, ignored
from ...builders.materials.paint_layers import layers
from ...core.remembered import remembered
from ...ui.text import characters, draw_lines
from ..shared.chosen import is_clip
from ..shared.panel import SidebarPanel
from . import plan_shown
from .models import located


class _ModelPanel(SidebarPanel):
    """Settings that the chosen model does not use are greyed, and the reason stands below them."""

    def rows(self, layout: UILayout, settings: Any, *names: str) -> None:
        reasons = _ignored(settings.detail.model)
        for name in names:
            row = layout.column()
            row.active = name not in reasons
            super().rows(row, settings, name)
        for reason in dict.fromkeys(reasons[name] for name in names if name in reasons):
            draw_lines(layout, f"Not used: {reason}", characters(), "INFO")


class DetailPanel(_ModelPanel):
    bl_label = "Detail"
    icon = "BRUSH_DATA"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        detail = settings.detail
        row = layout.row(align=True)
        row.menu("MAQUETTE_MT_detail_presets")
        row.operator("maquette.add_detail_preset", text="", icon="ADD")
        row.operator("maquette.add_detail_preset", text="", icon="REMOVE").remove_active = True
        self.rows(layout, settings, "source")
        column = layout.column()
        self.rows(column, settings, "mask")
        _draw_mask_name(column, detail)
        if detail.mask in {"HANDS", "FACES", "PEOPLE"}:
            self.rows(column, settings, "each")
            if detail.each and detail.model not in FILLING:
                self.rows(column, settings, "prompts")
            if is_clip(settings) and (detail.each or detail.frames == "CLIP"):
                self.rows(column, settings, "frames")
                if detail.frames == "CLIP":
                    self.rows(column, settings, "steady", "start_frame")
        _draw_model(layout, detail, "model")
        self.rows(layout.column(), settings, "prompt", "negative_prompt", "steps")
        if detail.model != "builtin":  # which fills
            layout.prop(detail, "denoise", slider=True)
        row = layout.row(align=True)
        row.active = not detail.randomise
        row.prop(detail, "seed")
        row.operator("maquette.new_detail_seed", text="", icon="FILE_REFRESH")
        self.rows(layout, settings, "output")
        self.button(layout, settings, "BRUSH_DATA")
        self.button(layout, settings, "INFO", "maquette.plan_detail", small=True)
        _draw_plan(layout, detail)


class DetailComparePanel(SidebarPanel):
    bl_label = "Before and After"
    parent = DetailPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
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

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        column = layout.column()
        self.rows(column, settings, "feather", "grain", "noise_mask_feather", "mask_grow", "mask_invert")
        self.rows(column, settings, "contour_fill", "bbox_fill", "combined", "mask_mode")
        self.rows(layout.column(), settings, "guide_size", "guide_size_for", "max_size", "crop_factor", "drop_size")
        column = layout.column()
        self.rows(column, settings, "batch_size", "cycle", "randomise", "mapping", "compatibility")
        if settings.detail.compatibility and settings.detail.model not in FILLING:
            self.rows(column, settings, "inpaint_model")


class DetailModelPanel(_ModelPanel):
    bl_label = "Model"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = DetailPanel

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.scene.maquette.detail.model not in FILLING

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        detail = settings.detail
        self.rows(layout.column(), settings, "cfg", "sampler", "scheduler", "clip_skip", "fill")
        self.rows(layout, settings, "match_colours")
        column = layout.column()
        self.rows(column, settings, "control")
        if detail.control != "NONE":
            if detail.control == "IMAGE":
                column.prop_search(detail, "control_image", bpy.data, "images", icon="IMAGE_DATA")
            _draw_model(column, detail, "controlnet")
            self.rows(column, settings, "control_strength", "control_start", "control_end")
        column = layout.column()
        _draw_model(column, detail, "lora")
        if detail.lora:
            self.rows(column, settings, "lora_strength")
        self.rows(column, settings, "loras")
        column = layout.column()
        _draw_model(column, detail, "refiner")
        if detail.refiner:
            self.rows(column, settings, "refiner_ratio")
        self.rows(layout.column(), settings, "config", "tiling", "offload")


def _ignored(model: str) -> dict[str, str]:
    """Setting -> why this model does not use it."""
    return remembered(("ignored", model), lambda: ignored(Path(located(model, "checkpoint"))))


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


def _draw_plan(layout: UILayout, detail: Any) -> None:
    """What detailing will take, as last worked out; greyed where the settings have changed since."""
    plan = plan_shown.last()
    if plan is None:
        return
    box = layout.box()
    box.scale_y = 0.8
    box.active = plan.asked == plan_shown.signature(detail)
    for line in plan.lines:
        draw_lines(box, line, characters(), "DOT")
