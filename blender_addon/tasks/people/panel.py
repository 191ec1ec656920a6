# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of people."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.types import UILayout

from ....inference.options.common import AUTO
from ....inference.options.people import SAM3D
from ...builders.bodies.rig_choices import has_root
from ...core import roles
from ...library.choice import draw_choice
from ..shared.chosen import is_clip
from ..shared.panel import SidebarPanel, draw_masks


class PeoplePanel(SidebarPanel):
    bl_label = "People"
    icon = "OUTLINER_OB_ARMATURE"

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        people = settings.people
        draw_choice(layout, people, "people")
        if is_clip(settings):
            self.rows(layout, settings, "frames")
        self.rows(layout, settings, "surface")
        self.rows(layout, settings, "bodies")
        if people.bodies == "ARMATURE":
            self.rows(layout, settings, "rig")
            if people.rig == "RIGIFY":
                self.rows(layout, settings, "limbs", "max_influences", "game_skeleton")
            elif people.rig != "OWN":
                self.rows(layout.column(align=True), settings, "rig_unit", "max_influences")
            if people.rig != "OWN" and has_root(people.rig):
                self.rows(layout, settings, "root_motion")
            if people.model not in ("builtin", AUTO) and (people.model not in SAM3D or people.surface == "OWN"):
                self.rows(layout, settings, "correctives")
        self.rows(layout, settings, "masks", "skeleton_image")
        self.button(layout, settings, "OUTLINER_OB_ARMATURE")
        active = bpy.context.active_object
        if active is not None and roles.MEASURED in active:
            self.button(layout, settings, "FILE_REFRESH", "maquette.solve_people_again", small=True)


class PeopleSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PeoplePanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        people = settings.people
        if people.masks != "NONE":
            self.rows(layout, settings, "mask_grow")
        draw_masks(layout, people)
        self.rows(layout.column(align=True), settings, "det_confidence_thresh", "det_iou_thresh")
        self.rows(layout.column(align=True), settings, "det_batch_size", "hmr_batch_size")
        self.rows(layout, settings, "boxes")
        self.rows(layout, settings, "body", "smpl_body", "hands", "mask_prompts")
        self.rows(layout.column(heading="Fit"), settings, "refine", "track")
        if people.track and people.frames == "CLIP":
            self.rows(layout.column(align=True), settings, "smoothing", "plant", "capture_fps", "camera_motion")
            self.rows(layout.column(align=True), settings, "floor_height", "floor_pitch", "floor_roll")
        if not people.boxes:
            self.rows(layout, settings, "detector")
        self.rows(layout, settings, "start_frame")
