# SPDX-License-Identifier: GPL-3.0-or-later
"""The scale of the photo, by a length that is known."""

from __future__ import annotations

from typing import Any, ClassVar

from bpy.types import UILayout

from ...core import roles
from ..shared.chosen import matched_camera
from ..shared.panel import SidebarPanel
from ..shared.photo_panel import PhotoPanel
from .draw import drawn
from .settings import SETTINGS


class LinesPanel(SidebarPanel):
    bl_label = "Lens by Lines"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PhotoPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        lines = drawn(settings.calibrate)
        counts = ", ".join(f"{len(some)} {axis.upper()}" for axis, some in lines.items() if some)
        layout.operator("maquette.draw_lines", icon="GREASEPENCIL")
        layout.label(text=f"Lines: {counts}" if counts else "None drawn: the photo's own edges count")
        self.button(layout, settings, "CAMERA_DATA", "maquette.calibrate_lens", small=True)


class CalibratePanel(SidebarPanel):
    bl_label = "Scale"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PhotoPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        camera = matched_camera(settings)
        if camera is None:
            layout.label(text="Build depth or people first", icon="INFO")
            return
        scale = settings.calibrate
        layout.prop(scale, "known")
        if scale.known == "DISTANCE":
            layout.prop(scale, "points")
            if scale.points != "SELECTION":
                pair = ("pixel_a", "pixel_b") if scale.points == "PIXELS" else ("point_a", "point_b")
                for letter, name in zip("AB", pair, strict=True):
                    row = layout.row(align=True)
                    row.prop(scale, name)
                    pick = row.operator("maquette.pick_point", text="", icon="EYEDROPPER")
                    pick.which, pick.camera = letter, camera.name
        layout.prop(scale, "distance", text={"PERSON": "Height", "CAMERA": "Height"}.get(scale.known, "Length"))
        if scale.known != "CAMERA":
            layout.prop(scale, "keep")
        layout.prop(scale, "rewrite")
        button = layout.operator("maquette.calibrate_distance", icon="DRIVER_DISTANCE")
        button.camera = camera.name
        for name in SETTINGS.names:
            setattr(button, name, getattr(scale, name))
        total = camera.get(roles.SCALE, 1.0)
        if total != 1.0:
            layout.label(text=f"Rescaled by {total:.4g} so far")
