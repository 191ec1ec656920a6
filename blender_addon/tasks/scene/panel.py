# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of a scene from a photo."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.types import UILayout

from ...library.choice import draw_choice
from ..shared.panel import SidebarPanel


class ScenePanel(SidebarPanel):
    bl_label = "Scene"
    icon = "SCENE_DATA"

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        draw_choice(layout, settings.scene, "depth")
        self.button(layout, settings, "SCENE_DATA")


class SceneSettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = ScenePanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        self.rows(layout, settings, "people_model", "rig", "person_masks")
        layout.prop_search(settings.scene, "scene_depth", bpy.data, "images", icon="IMAGE_DATA")
        self.rows(layout, settings, "mesh_resolution", "max_distance")
        self.rows(layout.column(align=True), settings, "tear", "grazing")
        self.rows(layout, settings, "specks")
