# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab "Maquette", the same in the 3D viewport and the image editor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import bpy

from .. import jobs, properties
from ..operators.packages import ready

if TYPE_CHECKING:
    from bpy.types import Context, UILayout

#: Properties that an operator takes from the group of its task; the rest it takes from the choice of the photo.
_TASKS = {
    "maquette.estimate_depth": ("depth", properties.DepthSettings),
    "maquette.estimate_normals": ("normals", properties.NormalsSettings),
    "maquette.refine_hands": ("hands", properties.HandsSettings),
    "maquette.recover_people": ("people", properties.PeopleSettings),
}


class SidebarPanel:
    """What all our panels share; a subclass draws, and `panel_classes` puts it into each editor."""

    bl_region_type = "UI"
    bl_category = "Maquette"
    layout: UILayout

    def draw(self, context: Context) -> None:
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        self.draw_into(self.layout, context.scene.maquette)  # type: ignore[attr-defined]

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        raise NotImplementedError


class PhotoPanel(SidebarPanel):
    """Which photo, and how the last job went."""

    bl_label = "Photo"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        jobs.prepare()
        if not ready():
            box = layout.box()
            box.label(text="PyTorch is not installed", icon="ERROR")
            box.operator("maquette.install_packages", icon="IMPORT")
        row = layout.row()
        row.prop(settings, "source", expand=True)
        if settings.source == "IMAGE":
            layout.template_ID(settings, "image", open="image.open")
        else:
            layout.prop(settings, "filepath", text="")
        _draw_jobs(layout)


class PhotoOptionsPanel(SidebarPanel):
    bl_label = "Lens and Output"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PhotoPanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        layout.prop(settings, "camera")
        column = layout.column(align=True)
        column.active = settings.camera is None
        column.prop(settings, "fx", text="Focal Length X")
        column.prop(settings, "fy", text="Y")
        layout.prop(settings, "match_render")
        layout.prop(settings, "folder")
        layout.prop(settings, "device")


class DepthPanel(SidebarPanel):
    bl_label = "Depth"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        layout.prop(settings.depth, "model")
        if _is_clip(settings):
            layout.prop(settings.depth, "frames")
        layout.prop(settings.depth, "output")
        _task_button(layout, settings, "maquette.estimate_depth", "MOD_DISPLACE")


class DepthSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = DepthPanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        depth = settings.depth
        if depth.output in {"AUTO", "GRID", "RELIEF"}:
            layout.prop(depth, "mesh_resolution")
        if depth.output in {"AUTO", "RELIEF"}:
            column = layout.column(align=True)
            column.prop(depth, "tear")
            column.prop(depth, "grazing")
        if depth.output in {"AUTO", "GRID"}:
            column = layout.column()
            column.prop(depth, "grid_method")
            column.prop(depth, "grid_width")
        if depth.output in {"AUTO", "GRID", "MATERIAL"}:
            layout.prop(depth, "strength")
        if depth.frames == "CLIP" and _is_clip(settings):
            layout.prop(depth, "start_frame")
        layout.prop(depth, "resolution")


class NormalsPanel(SidebarPanel):
    bl_label = "Normals"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        layout.prop(settings.normals, "model")
        if _is_clip(settings):
            layout.prop(settings.normals, "frames")
        layout.prop(settings.normals, "output")
        if settings.normals.output == "MATERIAL":
            layout.prop(settings.normals, "space")
        _task_button(layout, settings, "maquette.estimate_normals", "NORMALS_FACE")


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
        if normals.frames == "CLIP" and _is_clip(settings):
            layout.prop(normals, "start_frame")
        else:
            layout.prop(normals, "keep_preview")
        layout.prop(normals, "resolution")


class HandsPanel(SidebarPanel):
    bl_label = "Hands"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        hands = settings.hands
        layout.prop(hands, "model")
        if _is_clip(settings):
            layout.prop(hands, "frames")
        layout.prop(hands, "depth")
        column = layout.column(heading="Make")
        column.prop(hands, "build_meshes")
        column.prop(hands, "control_image")
        column.prop(hands, "id_map")
        layout.prop(hands, "masks")
        if hands.masks not in {"NONE", "STENCIL"}:
            layout.prop(hands, "mask_split")
        _task_button(layout, settings, "maquette.refine_hands", "VIEW_PAN")


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
        _draw_masks(layout, hands)
        if hands.frames == "CLIP" and _is_clip(settings):
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


class PeoplePanel(SidebarPanel):
    bl_label = "People"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        layout.prop(settings.people, "model")
        layout.prop(settings.people, "bodies")
        layout.prop(settings.people, "masks")
        _task_button(layout, settings, "maquette.recover_people", "OUTLINER_OB_ARMATURE")


class PeopleSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PeoplePanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        people = settings.people
        if people.masks != "NONE":
            layout.prop(people, "mask_grow")
        _draw_masks(layout, people)
        column = layout.column(align=True)
        column.prop(people, "det_confidence_thresh")
        column.prop(people, "det_iou_thresh")
        column = layout.column(align=True)
        column.prop(people, "det_batch_size")
        column.prop(people, "hmr_batch_size")
        layout.prop(people, "boxes")
        column = layout.column(heading="Fit")
        column.prop(people, "refine")
        column.prop(people, "track")
        layout.prop(people, "start_frame")


class MemoryPanel(SidebarPanel):
    bl_label = "Memory"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        kept = jobs.models_in_memory()
        for key in kept:
            layout.label(text=" ".join(word for word in key if isinstance(word, str)), icon="DOT")
        if not kept:
            layout.label(text="No model is in memory")
        layout.operator("maquette.free_memory", icon="TRASH")


def _task_button(layout: UILayout, settings: properties.MAQUETTE_PG_settings, operator: str, icon: Any) -> None:
    """The button of a task: an operator with the whole request in its properties."""
    group_name, declared = _TASKS[operator]
    group = getattr(settings, group_name)
    row = layout.row()
    row.scale_y = 1.3
    button = row.operator(operator, icon=icon)
    for name in properties.names(declared):
        setattr(button, name, getattr(group, name))
    for name in properties.names(properties.Common):
        setattr(button, name, getattr(settings, name))
    button.camera = settings.camera.name if settings.camera else ""
    button.image = settings.image.name if settings.image and settings.source == "IMAGE" else ""
    button.filepath = settings.filepath if settings.source == "FILE" else ""


def _is_clip(settings: properties.MAQUETTE_PG_settings) -> bool:
    """Whether the chosen photo is likely a movie, an image sequence, or the pattern of one.

    Nothing of `inference` is imported while a panel is drawn: the worker may be importing it, and the two would wait
    for each other.
    """
    if settings.source == "IMAGE":
        return settings.image is not None and settings.image.source in {"MOVIE", "SEQUENCE"}
    file, known = Path(settings.filepath), cast("Any", bpy.path)
    return file.suffix.lower() in known.extensions_movie or "%" in file.name or "#" in file.name


def _draw_masks(layout: UILayout, group: properties.HandsSettings | properties.PeopleSettings) -> None:
    """The settings of masks that act on what is chosen to be made of them."""
    if group.masks == "NONE":
        return
    column = layout.column()
    column.prop(group, "mask_feather")
    if group.mask_feather > 0:
        column.prop(group, "mask_edge")
    if group.masks in {"PAINT_SLOT", "STENCIL"}:
        layout.prop(group, "mask_mapping")
    if group.masks in {"ATTRIBUTE", "VERTEX_GROUP"}:
        layout.prop(group, "visible_only")
    if group.masks in {"PAINT_SLOT", "GREASE_PENCIL"}:
        layout.prop(group, "mask_colour")


def _draw_jobs(layout: UILayout) -> None:
    """Progress of the running job with its cancel button, or the last one's closing line and remedy."""
    active = list(jobs.active())
    if active:
        column = layout.column(align=True)
        waiting = f" (+{len(active) - 1})" if len(active) > 1 else ""
        column.label(text=f"{active[0].label}{waiting}", icon="SORTTIME")
        row = column.row(align=True)
        message = "Stopping" if active[0].cancelled else active[0].message
        row.progress(factor=active[0].fraction, type="BAR", text=message)
        row.operator("maquette.cancel_job", text="", icon="X")
        return
    outcome = jobs.outcome()
    if outcome is None:
        return
    box = layout.box()
    box.scale_y = 0.8
    icon = "ERROR" if outcome.failed else "CHECKMARK"
    width = _characters()
    for number, line in enumerate([*_wrapped(outcome.line, width), *_wrapped(outcome.remedy, width)]):
        box.label(text=line, icon="BLANK1" if number else icon)
    if outcome.operator:
        box.operator(outcome.operator)


def _characters() -> int:
    """How many characters of text fit into the sidebar beside an icon."""
    context: Any = bpy.context
    scale = context.preferences.system.ui_scale
    return max(16, int((context.region.width / scale - 75) / 6.2))


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, width)


_PANELS = (
    PhotoPanel,
    PhotoOptionsPanel,
    DepthPanel,
    DepthSettingsPanel,
    NormalsPanel,
    NormalsSettingsPanel,
    HandsPanel,
    HandsSettingsPanel,
    PeoplePanel,
    PeopleSettingsPanel,
    MemoryPanel,
)


def panel_classes(space: str, prefix: str) -> list[type]:
    """All panels as classes for one editor."""
    classes = []
    for panel in _PANELS:
        attributes = {"bl_space_type": space, "bl_idname": f"{prefix}_{panel.__name__}"}
        parent = getattr(panel, "parent", None)
        if parent is not None:
            attributes["bl_parent_id"] = f"{prefix}_{parent.__name__}"
        classes.append(type(f"{prefix}_{panel.__name__}", (panel, bpy.types.Panel), attributes))
    return classes
