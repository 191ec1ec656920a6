# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of people."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...library.page import draw_choice
from ..shared.panel import SidebarPanel, draw_masks, task_button

if TYPE_CHECKING:
    from bpy.types import UILayout

    from ... import properties


class PeoplePanel(SidebarPanel):
    bl_label = "People"

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        draw_choice(layout, settings.people, "people")
        layout.prop(settings.people, "bodies")
        if settings.people.bodies == "ARMATURE":
            layout.prop(settings.people, "rig")
            if settings.people.model != "builtin":
                layout.prop(settings.people, "correctives")
        layout.prop(settings.people, "masks")
        layout.prop(settings.people, "skeleton_image")
        task_button(layout, settings, "maquette.recover_people", "OUTLINER_OB_ARMATURE")


class PeopleSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PeoplePanel

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        people = settings.people
        if people.masks != "NONE":
            layout.prop(people, "mask_grow")
        draw_masks(layout, people)
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
        if people.track:
            column = layout.column(align=True)
            column.prop(people, "smoothing")
            column.prop(people, "plant")
        if people.model == "hmr2" and not people.boxes:
            layout.prop(people, "detector")
        layout.prop(people, "start_frame")
