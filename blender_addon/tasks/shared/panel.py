# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels of the sidebar tab "Maquette" share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import bpy

from ...core import jobs
from ...ui.job_display import draw_progress
from .manual import draw_help
from .operator import fill

if TYPE_CHECKING:
    from bpy.types import Context, UILayout

    from .task import Task


class SidebarPanel:
    """What all our panels share; a subclass draws, and `panel_classes` puts it into each editor.

    task : whose panel it is; None for those of all tasks.  parent : the panel that it lies in.  icon : in its header.
    """

    bl_region_type = "UI"
    bl_category = "Maquette"
    layout: UILayout
    task: Task | None = None
    parent: type[SidebarPanel] | None = None
    icon: str = "NONE"

    def draw_header(self, context: Context) -> None:
        if self.icon != "NONE":
            self.layout.label(text="", icon=self.icon)  # type: ignore[arg-type]

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
        row = layout.row()
        row.scale_y = 1.0 if small else 1.3
        name = operator or f"maquette.{self.task.operator}"
        running = next((job for job in jobs.active() if job.operator == name), None)
        if running is not None:  # in the button's place, so that nothing moves
            draw_progress(row, running)
        else:
            fill(row.operator(name, icon=icon), settings, self.task)


def panel_classes(
    panels: Iterable[type[SidebarPanel]], space: str, prefix: str, task: Task | None = None
) -> list[type]:
    """Panels as classes for one editor."""
    classes = []
    for panel in panels:
        attributes: dict[str, Any] = {"bl_space_type": space, "bl_idname": f"{prefix}_{panel.__name__}", "task": task}
        if panel.parent is not None:
            attributes["bl_parent_id"] = f"{prefix}_{panel.parent.__name__}"
        elif task is not None:
            attributes["draw_header_preset"] = _draw_header_preset
        classes.append(type(f"{prefix}_{panel.__name__}", (panel, bpy.types.Panel), attributes))
    return classes


def _draw_header_preset(self: Any, _context: Context) -> None:
    """The page of the manual, and the task's presets, at the right of the header."""
    self.layout.emboss = "NONE"
    draw_help(self.layout, self.task.name)
    if self.task.presets is not None:
        self.layout.popover(panel=self.task.presets.__name__, icon="PRESET", text="")


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
