# SPDX-License-Identifier: GPL-3.0-or-later
"""Clicking the points that a known distance lies between, on what was built of the photo or on the photo itself.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ..shared.picking import navigates, upright_place

if TYPE_CHECKING:
    from bpy.types import Object
    from mathutils import Vector

#: Events that go on moving the view while a point is being picked.


class MAQUETTE_OT_pick_point(bpy.types.Operator):
    """Click a point: on what was built from the photo in the 3D Viewport, or on the photo in the Image Editor"""

    bl_idname = "maquette.pick_point"
    bl_label = "Pick Point"
    bl_options = {"UNDO", "INTERNAL"}

    which: EnumProperty(
        name="Point",
        description="Which of the two points to pick",
        items=[("A", "A", "The first point"), ("B", "B", "The second point")],
    )
    camera: StringProperty(name="Camera", description="Name of the photo's matched camera")

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background or context.area is None or context.area.type not in {"VIEW_3D", "IMAGE_EDITOR"}:
            self.report({"ERROR"}, "Points can only be picked in the 3D Viewport or the Image Editor")
            return {"CANCELLED"}
        context.window.cursor_modal_set("EYEDROPPER")
        context.workspace.status_text_set(f"Click point {self.which}; Esc cancels")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[Any]:
        if navigates(event):
            return {"PASS_THROUGH"}
        if event.type in {"ESC", "RIGHTMOUSE"}:
            return self._done(context, {"CANCELLED"})
        if event.type != "LEFTMOUSE" or event.value != "PRESS":
            return {"RUNNING_MODAL"}
        camera = bpy.data.objects.get(self.camera)
        picked = _picked(context, event, camera) if camera is not None else None
        if picked is None:
            self.report({"WARNING"}, "Nothing built from the photo is there")
            return self._done(context, {"CANCELLED"})
        place, pixel = picked
        settings, letter = context.scene.maquette.calibrate, self.which.lower()
        if place is not None:
            setattr(settings, f"point_{letter}", place)
        if pixel is not None:
            setattr(settings, f"pixel_{letter}", pixel)
        return self._done(context, {"FINISHED"})

    def cancel(self, context: Any) -> None:
        self._done(context, {"CANCELLED"})

    def _done(self, context: Any, result: set[Any]) -> set[Any]:
        context.window.cursor_modal_restore()
        context.workspace.status_text_set(None)
        for area in context.window.screen.areas:
            area.tag_redraw()
        return result


def _picked(context: Any, event: Any, camera: "Object") -> "tuple[Vector | None, tuple[float, float] | None] | None":
    """The place in the world and the pixel of the photo under the mouse, either of which may be unknown; None where
    there is nothing at all."""
    x, y = event.mouse_x, event.mouse_y
    for area in context.window.screen.areas:
        for region in area.regions:
            inside = 0 <= x - region.x < region.width and 0 <= y - region.y < region.height
            if region.type == "WINDOW" and inside and not _covered(area, x, y):
                if area.type == "VIEW_3D":
                    return _on_surface(area, region, (x - region.x, y - region.y), camera)
                if area.type == "IMAGE_EDITOR" and area.spaces.active.image is not None:
                    place = region.view2d.region_to_view(x - region.x, y - region.y)
                    return _on_photo(upright_place(area.spaces.active.image, place), camera)
    return None


def _covered(area: Any, x: int, y: int) -> bool:
    """Whether a sidebar or a header lies over the area there."""
    return any(
        region.type != "WINDOW" and 0 <= x - region.x < region.width and 0 <= y - region.y < region.height
        for region in area.regions
        if region.width > 1 and region.height > 1
    )


def _on_surface(area: Any, region: Any, mouse: tuple[int, int], camera: "Object") -> tuple | None:
    from bpy_extras import view3d_utils

    from ...builders.camera import measure

    view = area.spaces.active.region_3d
    origin = view3d_utils.region_2d_to_origin_3d(region, view, mouse)
    point = measure.surface_point(camera, origin, view3d_utils.region_2d_to_vector_3d(region, view, mouse))
    return None if point is None else (point, measure.pixel_of(camera, point))


def _on_photo(place: tuple[float, float], camera: "Object") -> tuple | None:
    from ....inference.errors import BadInput
    from ...builders.camera import measure
    from ...builders.camera.matched import known_intrinsics

    intrinsics = known_intrinsics(camera)
    if intrinsics is None or not (0 <= place[0] <= 1 and 0 <= place[1] <= 1):
        return None
    pixel = place[0] * intrinsics.width, (1 - place[1]) * intrinsics.height
    try:
        return measure.pixel_point(camera, pixel), pixel
    except BadInput:
        return None, pixel
