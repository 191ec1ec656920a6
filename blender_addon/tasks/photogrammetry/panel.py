# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of cameras from several photos."""

from __future__ import annotations

from typing import Any, ClassVar

from bpy.types import UILayout

from ...library.choice import draw_choice
from ..shared.panel import SidebarPanel


class PhotogrammetryPanel(SidebarPanel):
    bl_label = "Several Photos"
    icon = "CON_CAMERASOLVER"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        draw_choice(layout, settings.photogrammetry, "depth")
        self.button(layout, settings, "CON_CAMERASOLVER")


class PhotogrammetrySettingsPanel(SidebarPanel):
    bl_label = "Settings"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PhotogrammetryPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        self.rows(layout, settings, "most_photos", "long_side", "cameras", "point_size", "start_frame")
