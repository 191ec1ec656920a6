# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels of the sidebar tab "Maquette" share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import bpy

from ... import properties
from ...core import roles

if TYPE_CHECKING:
    from bpy.types import Context, Image, Object, UILayout


#: Properties that an operator takes from the group of its task; the rest it takes from the choice of the photo.
TASKS = {
    "maquette.estimate_depth": ("depth", properties.DepthSettings),
    "maquette.estimate_normals": ("normals", properties.NormalsSettings),
    "maquette.refine_hands": ("hands", properties.HandsSettings),
    "maquette.recover_people": ("people", properties.PeopleSettings),
    "maquette.make_map": ("maps", properties.MapsSettings),
    "maquette.detail_mask": ("detail", properties.DetailSettings),
    "maquette.plan_detail": ("detail", properties.DetailSettings),
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


def task_button(
    layout: UILayout, settings: properties.MAQUETTE_PG_settings, operator: str, icon: Any, *, small: bool = False
) -> None:
    """The button of a task: an operator with the whole request in its properties."""
    group_name, declared = TASKS[operator]
    group = getattr(settings, group_name)
    row = layout.row()
    row.scale_y = 1.0 if small else 1.3
    button = row.operator(operator, icon=icon)
    for name in properties.names(declared):
        setattr(button, name, getattr(group, name))
    for name in properties.names(properties.Common):
        setattr(button, name, getattr(settings, name))
    button.camera = settings.camera.name if settings.camera else ""
    button.image = settings.image.name if settings.image and settings.source == "IMAGE" else ""
    button.filepath = settings.filepath if settings.source == "FILE" else ""


def matched_camera(settings: properties.MAQUETTE_PG_settings) -> Object | None:
    """The matched camera of the chosen photo, if it has one. Looks only at names and marks: see `is_clip`."""
    for obj in bpy.data.objects:
        image = obj.get(roles.IMAGE) if obj.type == "CAMERA" else None
        if isinstance(image, bpy.types.Image) and _is_chosen(image, settings):
            return obj
    return None


def _is_chosen(image: Image, settings: properties.MAQUETTE_PG_settings) -> bool:
    if settings.source == "IMAGE" and settings.image == image:
        return True
    chosen = settings.image if settings.source == "IMAGE" else None
    path = chosen.filepath if chosen else settings.filepath
    if not path:
        return False
    if image.filepath:
        return bpy.path.abspath(image.filepath) == bpy.path.abspath(path)
    return image.packed_file is not None and image.name == Path(path).stem  # a photo that EXIF data turn


def is_clip(settings: properties.MAQUETTE_PG_settings) -> bool:
    """Whether the chosen photo is likely a movie, an image sequence, or the pattern of one.

    Nothing of `inference` is imported while a panel is drawn: the worker may be importing it, and the two would wait
    for each other.
    """
    if settings.source == "IMAGE":
        return settings.image is not None and settings.image.source in {"MOVIE", "SEQUENCE"}
    file, known = Path(settings.filepath), cast("Any", bpy.path)
    return file.suffix.lower() in known.extensions_movie or "%" in file.name or "#" in file.name


def draw_masks(layout: UILayout, group: properties.HandsSettings | properties.PeopleSettings) -> None:
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
