# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels of the sidebar tab "Maquette" share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import bpy

from ...core import roles
from .settings import COMMON

if TYPE_CHECKING:
    from bpy.types import Context, Image, Object, UILayout

    from .task import Task


class SidebarPanel:
    """What all our panels share; a subclass draws, and `panel_classes` puts it into each editor.

    task : whose panel it is; None for those of all tasks.  parent : the panel that it lies in.
    """

    bl_region_type = "UI"
    bl_category = "Maquette"
    layout: UILayout
    task: Task | None = None
    parent: type[SidebarPanel] | None = None

    def draw(self, context: Context) -> None:
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        self.draw_into(self.layout, context.scene.maquette)  # type: ignore[attr-defined]

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        """settings : `Scene.maquette`."""
        raise NotImplementedError

    def rows(self, layout: UILayout, settings: Any, *names: str) -> None:
        """A row for each of these settings of the task that acts on the chosen model."""
        assert self.task is not None
        group = getattr(settings, self.task.name)
        for name in names:
            if self.task.acts(name, group.model):
                layout.prop(group, name)

    def button(self, layout: UILayout, settings: Any, icon: Any, operator: str = "", *, small: bool = False) -> None:
        """The button of the task, or of another operator with its settings: the whole choice in its properties."""
        assert self.task is not None
        group = getattr(settings, self.task.name)
        row = layout.row()
        row.scale_y = 1.0 if small else 1.3
        button = row.operator(operator or f"maquette.{self.task.operator}", icon=icon)
        for declared, values in ((self.task.settings, group), (COMMON, settings)):
            for option in declared:
                if option.blender and hasattr(button, option.name):  # another operator may have a part of them
                    setattr(button, option.name, getattr(values, option.name))
        button.layer = settings.layer if has_layers(settings) else ""
        button.camera = settings.camera.name if settings.camera else ""
        button.image = settings.image.name if settings.image and settings.source == "IMAGE" else ""
        button.filepath = settings.filepath if settings.source == "FILE" else ""


def panel_classes(
    panels: Iterable[type[SidebarPanel]], space: str, prefix: str, task: Task | None = None
) -> list[type]:
    """Panels as classes for one editor."""
    classes = []
    for panel in panels:
        attributes = {"bl_space_type": space, "bl_idname": f"{prefix}_{panel.__name__}", "task": task}
        if panel.parent is not None:
            attributes["bl_parent_id"] = f"{prefix}_{panel.parent.__name__}"
        classes.append(type(f"{prefix}_{panel.__name__}", (panel, bpy.types.Panel), attributes))
    return classes


def matched_camera(settings: Any) -> Object | None:
    """The matched camera of the chosen photo, if it has one. Looks only at names and marks: see `is_clip`."""
    for obj in bpy.data.objects:
        image = obj.get(roles.IMAGE) if obj.type == "CAMERA" else None
        if isinstance(image, bpy.types.Image) and _is_chosen(image, settings):
            return obj
    return None


def _is_chosen(image: Image, settings: Any) -> bool:
    if settings.source == "IMAGE" and settings.image == image:
        return True
    chosen = settings.image if settings.source == "IMAGE" else None
    path = chosen.filepath if chosen else settings.filepath
    if not path:
        return False
    if image.filepath:
        return bpy.path.abspath(image.filepath) == bpy.path.abspath(path)
    return image.packed_file is not None and image.name == Path(path).stem  # a photo that EXIF data turn


def is_clip(settings: Any) -> bool:
    """Whether the chosen photo is likely a movie, an image sequence, or the pattern of one.

    Nothing that needs numpy is imported while a panel is drawn: the worker may be importing it, and the two would wait
    for each other.
    """
    if settings.source == "IMAGE":
        return settings.image is not None and settings.image.source in {"MOVIE", "SEQUENCE"}
    file, known = Path(settings.filepath), cast("Any", bpy.path)
    suffix = file.suffix.lower()
    return suffix in known.extensions_movie or suffix in {".gif", ".webp"} or "%" in file.name or "#" in file.name


def chosen_path(settings: Any) -> str:
    """The whole path of the chosen photo's file, "" where it has none."""
    image = settings.image if settings.source == "IMAGE" else None
    path = image.filepath if image is not None else settings.filepath if settings.source == "FILE" else ""
    return bpy.path.abspath(path, library=image.library if image is not None else None)


def has_layers(settings: Any) -> bool:
    """Whether the chosen photo is a file that may have layers."""
    return chosen_path(settings).lower().endswith(".exr")


def draw_masks(layout: UILayout, group: Any) -> None:
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
