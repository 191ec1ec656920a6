# SPDX-License-Identifier: GPL-3.0-or-later
"""Clicking on what is to be cut out, or drawing a box around it.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import json
from typing import Any

import bpy
from bpy.props import StringProperty

from ..shared.picking import draw_on_photo, ends, looks_through, navigates, pixel_under
from ..shared.shown import open_image

_HELP = "Click on it; Ctrl-click on what is not; drag a box around it   Backspace: start over   Enter: done"
#: Pixels of the photo by which a mouse may slip in a click.
_SLIP = 6.0
#: Colours of what is wanted (its box too) and of what is not.
_WANTED, _UNWANTED = (0.4, 1.0, 0.3, 1.0), (1.0, 0.25, 0.3, 1.0)


class MAQUETTE_OT_pick_segment(bpy.types.Operator):
    """Click on what is to be cut out, and with Ctrl on what is not, or drag a box around it"""

    bl_idname = "maquette.pick_segment"
    bl_label = "Click or Box"
    bl_options = {"INTERNAL"}

    camera: StringProperty(name="Camera", description="Name of the photo's matched camera")

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background or context.area is None or context.area.type not in {"VIEW_3D", "IMAGE_EDITOR"}:
            self.report({"ERROR"}, "Show the photo in an Image Editor, or look through its camera")
            return {"CANCELLED"}
        photo = context.scene.maquette.image
        if context.area.type == "VIEW_3D" and photo is not None and not looks_through(context, self.camera):
            open_image(photo, context.scene, "pick_segment")  # the photo is not to be seen in the viewport
            return {"FINISHED"}
        self._start = None
        space: Any = bpy.types.SpaceImageEditor
        self._handle = space.draw_handler_add(_draw, (context.scene,), "WINDOW", "POST_PIXEL")
        context.window.cursor_modal_set("CROSSHAIR")
        context.window_manager.modal_handler_add(self)
        self._tell(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[Any]:
        if navigates(event):
            return {"PASS_THROUGH"}
        if ends(event):
            self._done(context)
            return {"FINISHED"}
        settings = context.scene.maquette.segment
        if event.value == "PRESS" and event.type == "BACK_SPACE":
            settings.points = settings.box = ""
        elif event.type == "LEFTMOUSE":
            pixel = pixel_under(context, event, bpy.data.objects.get(self.camera))
            if event.value == "PRESS":
                self._start = pixel
            elif self._start is not None and pixel is not None:
                marked(settings, self._start, pixel, wanted=not event.ctrl)
                self._start = None
        self._tell(context)
        return {"RUNNING_MODAL"}

    def cancel(self, context: Any) -> None:
        self._done(context)

    def _tell(self, context: Any) -> None:
        settings = context.scene.maquette.segment
        count = len(_numbers(settings.points))
        told = f"   {count} click{'' if count == 1 else 's'}{', a box' if settings.box else ''}"
        context.workspace.status_text_set(_HELP + told)
        context.area.header_text_set(_HELP + told)  # a window of its own has no status bar
        context.area.tag_redraw()

    def _done(self, context: Any) -> None:
        space: Any = bpy.types.SpaceImageEditor
        space.draw_handler_remove(self._handle, "WINDOW")
        context.window.cursor_modal_restore()
        context.workspace.status_text_set(None)
        context.area.header_text_set(None)
        for area in context.window.screen.areas:
            area.tag_redraw()


def marked(settings: Any, start: tuple[float, float], end: tuple[float, float], *, wanted: bool) -> None:
    """Add a click to the settings, or put the box there that was drawn."""
    if max(abs(end[0] - start[0]), abs(end[1] - start[1])) > _SLIP:
        settings.box = json.dumps([round(value, 1) for value in (*start, *end)])
        return
    settings.points = json.dumps([*_numbers(settings.points), [round(start[0], 1), round(start[1], 1), int(wanted)]])


def _numbers(text: str) -> list[Any]:
    """A list in a text field; empty where there is none."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _draw(scene: Any) -> None:
    """The clicks so far as crosses, and the box."""
    settings, image = scene.maquette.segment, getattr(bpy.context.space_data, "image", None)
    if image is None:
        return
    arm = max(image.size) / 80
    strokes = [
        (_UNWANTED if kind == [0] else _WANTED, [(u - arm, v), (u + arm, v), (u, v - arm), (u, v + arm)])
        for u, v, *kind in _numbers(settings.points)
    ]
    if len(box := _numbers(settings.box)) == 4:
        u0, v0, u1, v1 = box
        corners = [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
        strokes.append((_WANTED, [end for side in range(4) for end in (corners[side], corners[(side + 1) % 4])]))
    draw_on_photo(strokes)
