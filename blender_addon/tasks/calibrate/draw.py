# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawing lines on the photo in the Image Editor, along edges that are parallel in the world.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import json
from typing import Any

import bpy
from bpy.props import EnumProperty

from ..shared.picking import draw_on_photo, ends, navigates, photo_pixel
from ..shared.shown import open_image

#: The colours of the scene's axes, by direction.
COLOURS = {"x": (1.0, 0.25, 0.3, 1.0), "y": (0.5, 0.9, 0.2, 1.0), "z": (0.3, 0.55, 1.0, 1.0)}
_HELP = "Drag along edges that run {direction}   X, Y, Z: direction   Backspace: remove the last   Enter: done"
_RUNS = {"x": "to one side", "y": "to another side, at right angles to X", "z": "straight up"}

Line = list[float]


def drawn(settings: Any) -> dict[str, list[Line]]:
    """Direction -> its lines, in pixels of the photo. Anything but a list of lines counts as none."""
    found = {}
    for axis in "xyz":
        try:
            lines = json.loads(getattr(settings, f"lines_{axis}") or "[]")
            found[axis] = [[float(value) for value in line] for line in lines if len(line) == 4]
        except (ValueError, TypeError):
            found[axis] = []
    return found


class MAQUETTE_OT_draw_lines(bpy.types.Operator):
    """Draw lines on the photo along edges that are parallel in the world, two or more in two or three directions"""

    bl_idname = "maquette.draw_lines"
    bl_label = "Draw Lines"
    bl_options = {"INTERNAL"}

    axis: EnumProperty(name="Direction", items=[(axis.upper(), axis.upper(), _RUNS[axis]) for axis in "xyz"])

    @classmethod
    def poll(cls, context: Any) -> bool:
        if not _size_shown(context) and context.scene.maquette.image is None:
            cls.poll_message_set("Choose a photo first")
            return False
        return True

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if not _size_shown(context):
            open_image(context.scene.maquette.image, context.scene, "draw_lines")
            return {"FINISHED"}
        self._start: tuple[float, float] | None = None
        self._end = (0.0, 0.0)
        space: Any = bpy.types.SpaceImageEditor
        self._handle = space.draw_handler_add(_draw, (self, context.scene), "WINDOW", "POST_PIXEL")
        context.window_manager.modal_handler_add(self)
        self._tell(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[Any]:
        if navigates(event):
            return {"PASS_THROUGH"}
        if event.value == "PRESS" and event.type in {"X", "Y", "Z"}:
            self.axis = event.type
        elif event.value == "PRESS" and event.type == "BACK_SPACE":
            self._change(context, lambda lines: lines[:-1])
        elif ends(event):
            self._done(context)
            return {"FINISHED"}
        elif event.type == "LEFTMOUSE" and event.value == "PRESS":
            self._start = self._end = _pixel(context, event)
        elif event.type == "MOUSEMOVE":
            self._end = _pixel(context, event)
        elif event.type == "LEFTMOUSE" and self._start is not None:
            line = [*self._start, *_pixel(context, event)]
            if abs(line[2] - line[0]) + abs(line[3] - line[1]) > 4:
                self._change(context, lambda lines: [*lines, [round(value, 2) for value in line]])
            self._start = None
        self._tell(context)
        return {"RUNNING_MODAL"}

    def cancel(self, context: Any) -> None:
        self._done(context)

    def _change(self, context: Any, change: Any) -> None:
        settings, axis = context.scene.maquette.calibrate, self.axis.lower()
        setattr(settings, f"lines_{axis}", json.dumps(change(drawn(settings)[axis])))

    def _tell(self, context: Any) -> None:
        told = _HELP.format(direction=_RUNS[self.axis.lower()])
        context.workspace.status_text_set(told)
        context.area.header_text_set(told)  # a window of its own has no status bar
        context.area.tag_redraw()

    def _done(self, context: Any) -> None:
        space: Any = bpy.types.SpaceImageEditor
        space.draw_handler_remove(self._handle, "WINDOW")
        context.workspace.status_text_set(None)
        context.area.header_text_set(None)
        context.area.tag_redraw()


def _size_shown(context: Any) -> int:
    """Width of the photo that the editor shows; 0 where it shows none."""
    space = context.space_data
    image = space.image if space is not None and space.type == "IMAGE_EDITOR" else None
    return image.size[0] if image is not None else 0


def _pixel(context: Any, event: Any) -> tuple[float, float]:
    """The pixel (u, v) of the photo under the mouse, v down."""
    region = next(region for region in context.area.regions if region.type == "WINDOW")
    place = region.view2d.region_to_view(event.mouse_x - region.x, event.mouse_y - region.y)
    return photo_pixel(context.space_data.image, place)


def _draw(operator: MAQUETTE_OT_draw_lines, scene: Any) -> None:
    """The lines drawn so far, and the one under the mouse."""
    strokes = []
    for axis, lines in drawn(scene.maquette.calibrate).items():
        if axis == operator.axis.lower() and operator._start is not None:
            lines = [*lines, [*operator._start, *operator._end]]
        strokes.append((COLOURS[axis], [(u, v) for line in lines for u, v in (line[:2], line[2:])]))
    draw_on_photo(strokes)
