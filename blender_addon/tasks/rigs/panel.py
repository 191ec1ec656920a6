# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of rigs: motion onto another armature with its bone map, poses as assets, and export."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.types import UILayout

from ..shared.panel import SidebarPanel
from .settings import FILE, RETARGET


class MAQUETTE_UL_bones(bpy.types.UIList):
    """One line a bone: the part of the body, and which bone it is."""

    def draw_item(  # type: ignore[override]
        self, context: Any, layout: UILayout, data: Any, item: Any, icon: int, active_data: Any, active_property: str
    ) -> None:
        row = layout.split(factor=0.42)
        row.label(text=_part(item.part))
        row.prop_search(item, "bone", data.data, "bones", text="")


class RigsPanel(SidebarPanel):
    bl_label = "Rigs"
    icon = "CON_ARMATURE"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        chosen: Any = settings.rigs
        for name in ("source", "target", *(option.name for option in RETARGET)):
            layout.prop(chosen, name)
        source, target = _chosen_rigs(chosen)
        if chosen.source is None or chosen.target is None:
            told = f"{source.name} onto {target.name}" if source and target else "Select two rigs, the target last"
            layout.label(text=told, icon="RESTRICT_SELECT_OFF")
        row = layout.row()
        row.scale_y = 1.3
        row.enabled = source is not None and target is not None
        button = row.operator("maquette.retarget", icon="CON_ARMATURE")
        button.source, button.target = (one.name if one else "" for one in (source, target))
        for option in RETARGET:
            setattr(button, option.name, getattr(chosen, option.name))


def _chosen_rigs(chosen: Any) -> tuple[Any, Any]:
    """Source and target: as chosen, or else the selected armatures, of which the active one is the target."""
    context: Any = bpy.context
    selected = [obj for obj in context.selected_objects or () if obj.type == "ARMATURE"]
    active = context.active_object if context.active_object in selected else None
    target = chosen.target or (active if active != chosen.source else None)
    return chosen.source or next((obj for obj in selected if obj != target), None), target


class BoneMapPanel(SidebarPanel):
    bl_label = "Bone Map"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = RigsPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        chosen: Any = settings.rigs
        target = chosen.target
        if target is None:
            layout.label(text="Choose a target first")
            return
        layout.prop(chosen, "preset")
        button = layout.operator("maquette.find_bones", icon="VIEWZOOM")
        button.armature, button.preset = target.name, chosen.preset
        if not target.maquette_bones:
            layout.label(text="Bones are found by their names", icon="INFO")
            return
        layout.template_list(
            "MAQUETTE_UL_bones", "", target, "maquette_bones", chosen, "active_bone", rows=6, maxrows=12
        )
        add = layout.operator("maquette.add_bone", icon="ADD")
        add.armature, add.entry = target.name, chosen.active_bone


class PosePanel(SidebarPanel):
    bl_label = "Pose and Export"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = RigsPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        active: Any = bpy.context.active_object
        layout.label(text=active.name if active else "No object is active", icon="OBJECT_DATA")
        column = layout.column()
        column.enabled = active is not None
        column.operator("maquette.save_pose", icon="ASSET_MANAGER")
        column.prop(settings.rigs, "format")
        chosen: Any = settings.rigs
        if chosen.objects:
            column.prop(chosen, "objects")
        column.prop(chosen, "animation")
        for option, kind in (("centimetres", "BVH"), ("from_zero", "GLTF")):
            if chosen.format == kind:
                column.prop(chosen, option)
        if chosen.format in ("FBX", "GLTF", "USD"):
            column.prop(chosen, "deform_only")
            column.prop(chosen, "max_influences")
        button = column.operator("maquette.export_person", icon="EXPORT")
        for option in FILE:
            setattr(button, option.name, getattr(chosen, option.name))


def _part(role: str) -> str:
    name, _, side = role.partition(".")
    return f"{name.replace('_', ' ').capitalize()}{' ' + side if side else ''}"
