# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel of image passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..shared.panel import SidebarPanel, task_button
from .settings import SAFE, SCRIBBLED, THRESHOLDS

if TYPE_CHECKING:
    from bpy.types import UILayout

    from ... import properties


class MapsPanel(SidebarPanel):
    bl_label = "Image Pass"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw_into(self, layout: UILayout, settings: properties.MAQUETTE_PG_settings) -> None:
        maps = settings.maps
        layout.prop(maps, "model")
        layout.prop(maps, "resolution")
        column = layout.column(align=True)
        for name in THRESHOLDS.get(maps.model, ()):
            column.prop(maps, name)
        if maps.model in SAFE:
            layout.prop(maps, "safe")
        if maps.model in SCRIBBLED:
            layout.prop(maps, "scribble")
        if maps.model == "content-shuffle":
            layout.prop(maps, "seed")
        task_button(layout, settings, "maquette.make_map", "IMAGE_PLANE")
