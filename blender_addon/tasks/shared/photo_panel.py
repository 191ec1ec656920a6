# SPDX-License-Identifier: GPL-3.0-or-later
"""Which photo, how the last job went, and what the last ones made."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.types import UILayout

from ...core import jobs, roles
from ...packages.state import ready, status, unsupported
from ...ui.job_display import draw_outcome, draw_running, draw_status, is_there, opening
from ...ui.text import characters, draw_lines
from .chosen import chosen_name, has_layers, matched_camera
from .panel import SidebarPanel
from .photo_operators import shown_image


class PhotoPanel(SidebarPanel):
    """Which photo, and how the last job went: in one row, so that no button moves when it changes."""

    bl_label = "Photo"
    icon = "IMAGE_DATA"

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        jobs.prepare()
        if not ready():
            _draw_packages(layout)
        draw_photo(layout, settings)
        draw_status(layout, chosen_name(settings))


def draw_photo(layout: UILayout, settings: Any) -> None:
    """The photo and its thumbnail, or the ways to choose one."""
    image = settings.image if settings.source == "IMAGE" else None
    column = layout.column(align=True)
    if image is not None:
        column.template_icon(icon_value=layout.icon(image), scale=5.0)  # type: ignore[arg-type]
    row = column.row(align=True)
    if settings.source == "FILE":
        row.prop(settings, "filepath", text="")
    else:
        row.template_ID(settings, "image")
        row.operator("maquette.choose_photo", text="", icon="FILEBROWSER")
    editors = shown_image(bpy.context)
    if editors is not None and editors != image:
        column.operator("maquette.use_image", icon="EYEDROPPER")
    if image is None and settings.source == "IMAGE":
        column.operator("maquette.choose_photo", text="Choose Photo or Clip...", icon="FILE_FOLDER")
        column.operator("maquette.sample_photo", icon="USER")
    if has_layers(settings):
        layout.prop(settings, "layer", icon="RENDERLAYERS")


def _draw_packages(layout: UILayout) -> None:
    """What is wrong with the packages, and the button that solves it."""
    from ....installer.packages import status as package_status

    state = status().state
    box = layout.box()
    if state == package_status.NOT_INSTALLED:
        draw_lines(box, "Set up first: PyTorch is not installed", characters(), "INFO")
        box.operator("maquette.install_packages", icon="IMPORT")
        return
    if state == "installing":
        draw_lines(box, _PACKAGES[state], characters(), "TIME")
        return
    draw_lines(box, unsupported() or _PACKAGES.get(state, "The packages cannot be used"), characters(), "ERROR")
    box.operator("maquette.open_preferences", icon="PREFERENCES")


#: State of the core packages (see `installer.package_status`) -> how the panel tells it.
_PACKAGES = {
    "installing": "The packages are being installed",
    "broken": "The packages are damaged",
    "outdated": "The packages are of another version",
    "unfit": "Another add-on's PyTorch is in the way",
}


class PhotoOptionsPanel(SidebarPanel):
    bl_label = "Lens and Output"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PhotoPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        draw_lens(layout, settings)
        row = layout.row()
        row.prop(settings, "source", expand=True)
        layout.prop(settings, "camera")
        column = layout.column(align=True)
        column.active = settings.camera is None
        column.prop(settings, "lens_mm")
        column.prop(settings, "fx", text="In Pixels X")
        column.prop(settings, "fy", text="Y")
        layout.prop(settings, "match_render")
        layout.prop(settings, "replace")
        layout.prop(settings, "folder")
        layout.prop(settings, "device")


def draw_lens(layout: UILayout, settings: Any) -> None:
    """The lens of the photo's matched camera, and what to do where it is a guess."""
    camera: Any = matched_camera(settings)
    if camera is None or roles.LENS_TEXT not in camera:
        return
    guessed = camera.get(roles.LENS) == "default"
    layout.label(text=f"Lens: {camera[roles.LENS_TEXT]}", icon="ERROR" if guessed else "OUTLINER_OB_CAMERA")
    layout.operator(
        "maquette.match_render", text="Set Render to Photo", icon="RESTRICT_RENDER_OFF"
    ).camera = camera.name


class ResultsPanel(SidebarPanel):
    """What runs and waits, and what the last jobs made: at the end, where its coming and going moves nothing."""

    bl_label = "Results"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    icon = "PRESET"

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        draw_running(layout)
        draw_outcome(layout, characters())
        drawn: set[object] = set()
        for index, outcome in enumerate(jobs.history()):
            if outcome.made and outcome.made not in drawn and is_there(outcome):  # else replaced by a later one
                self._draw_result(layout.row(align=True), index, outcome)
                drawn.add(outcome.made)

    def _draw_result(self, row: UILayout, index: int, outcome: jobs.Outcome) -> None:
        images = [bpy.data.images.get(name) for kind, name in outcome.made if kind == "images"]
        picture = next((image for image in (*images, bpy.data.images.get(outcome.photo)) if image is not None), None)
        if picture is not None:
            row.label(text="", icon_value=row.icon(picture))  # type: ignore[arg-type]
        row.label(text=opening(outcome.line))
        row.operator("maquette.show_result", text="", icon="VIEWZOOM").index = index
        if outcome.again is not None:
            row.operator("maquette.build_again", text="", icon="FILE_REFRESH").index = index
