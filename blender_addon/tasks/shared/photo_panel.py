# SPDX-License-Identifier: GPL-3.0-or-later
"""Which photo, and how the last job went."""

from __future__ import annotations

from typing import Any, ClassVar

from bpy.types import UILayout

from ...core import jobs, roles
from ...packages.state import ready, status
from ...ui.job_display import draw_outcome, draw_running
from ...ui.text import characters, draw_lines
from .panel import SidebarPanel, has_layers, matched_camera


class PhotoPanel(SidebarPanel):
    """Which photo, and how the last job went."""

    bl_label = "Photo"

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        jobs.prepare()
        if not ready():
            _draw_packages(layout)
        row = layout.row()
        row.prop(settings, "source", expand=True)
        if settings.source == "IMAGE":
            layout.template_ID(settings, "image", open="image.open")
        else:
            layout.prop(settings, "filepath", text="")
        if has_layers(settings):
            layout.prop(settings, "layer", icon="RENDERLAYERS")
        draw_lens(layout, settings)
        draw_jobs(layout)


def _draw_packages(layout: UILayout) -> None:
    """What is wrong with the packages, and the button that solves it."""
    from ....installer.packages import status as package_status

    state = status().state
    box = layout.box()
    if state == package_status.NOT_INSTALLED:
        box.label(text="PyTorch is not installed", icon="ERROR")
        box.operator("maquette.install_packages", icon="IMPORT")
        return
    draw_lines(box, _PACKAGES.get(state, "The packages cannot be used"), characters(), "ERROR")
    box.operator("maquette.open_preferences", icon="PREFERENCES")


#: State of the core packages (see `installer.package_status`) -> how the panel tells it.
_PACKAGES = {
    "installing": "The packages are being installed",
    "broken": "The packages are damaged",
    "outdated": "The packages are of another version",
    "unfit": "Another add-on's PyTorch is in the way",
    "unsupported": "There are no packages for this Blender",
}


class PhotoOptionsPanel(SidebarPanel):
    bl_label = "Lens and Output"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}
    parent = PhotoPanel

    def draw_into(self, layout: UILayout, settings: Any) -> None:
        layout.prop(settings, "camera")
        column = layout.column(align=True)
        column.active = settings.camera is None
        column.prop(settings, "fx", text="Focal Length X")
        column.prop(settings, "fy", text="Y")
        layout.prop(settings, "match_render")
        layout.prop(settings, "folder")
        layout.prop(settings, "device")


def draw_lens(layout: UILayout, settings: Any) -> None:
    """The lens of the photo's matched camera, and what to do where it is a guess."""
    camera: Any = matched_camera(settings)
    if camera is None or roles.LENS_TEXT not in camera:
        return
    guessed = camera.get(roles.LENS) == "default"
    layout.label(text=f"Lens: {camera[roles.LENS_TEXT]}", icon="ERROR" if guessed else "OUTLINER_OB_CAMERA")
    if guessed:
        hint = layout.column()
        hint.scale_y = 0.8
        text = "Choose a camera or type the focal length under Lens and Output."
        draw_lines(hint, text, characters(), "BLANK1")


def draw_jobs(layout: UILayout) -> None:
    """Progress of what is running with its cancel button, or the last job's closing line and remedy."""
    for thread, cancel in ((jobs.TORCH, "maquette.cancel_job"), (jobs.LIBRARY, "maquette.cancel_library")):
        draw_running(layout, thread, cancel)
    if not jobs.active():
        draw_outcome(layout, characters())
