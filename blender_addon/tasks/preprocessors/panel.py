# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel of image passes."""

from __future__ import annotations

from typing import Any, ClassVar

from bpy.types import UILayout

from ..shared.panel import SidebarPanel
from .settings import TYPED


class MapsPanel(SidebarPanel):
    bl_label = "Image Pass"
    icon = "IMAGE_PLANE"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        self.rows(layout, settings, "model", "resolution")
        self.rows(layout.column(align=True), settings, *TYPED.get(settings.maps.model, ()))
        self.rows(layout, settings, "safe", "scribble", "seed")
        self.button(layout, settings, "IMAGE_PLANE")
