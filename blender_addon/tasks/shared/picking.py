# SPDX-License-Identifier: GPL-3.0-or-later
"""Clicking on photos: the pixel under the mouse, in an Image Editor that shows the photo, or in a viewport, through its
camera; which events are the view's, or end the clicking; and what has been drawn so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import bpy

Colour = tuple[float, float, float, float]

_NAVIGATION = ("MIDDLEMOUSE", "WHEEL", "TRACKPAD", "NDOF")
_END = {"RET", "NUMPAD_ENTER", "ESC", "RIGHTMOUSE"}


def navigates(event: Any) -> bool:
    """Whether the event moves the view, so that it is passed on."""
    return event.type.startswith(_NAVIGATION)


def ends(event: Any) -> bool:
    """Whether the event says that all is clicked."""
    return event.value == "PRESS" and event.type in _END


def looks_through(context: Any, camera: str) -> bool:
    """Whether a viewport looks through the camera of that name."""
    view, own = context.space_data.region_3d, context.scene.camera
    return view.view_perspective == "CAMERA" and own is not None and own.name == camera


def pixel_under(context: Any, event: Any, camera: Any) -> tuple[float, float] | None:
    """(u, v) of the photo, v down; None where the mouse is not over it. camera : the photo's matched one, or None."""
    region = next(region for region in context.area.regions if region.type == "WINDOW")
    x, y = event.mouse_x - region.x, event.mouse_y - region.y
    if not (0 <= x < region.width and 0 <= y < region.height):
        return None
    if context.area.type == "IMAGE_EDITOR":
        image = context.space_data.image
        if image is None or not image.size[0]:
            return None
        u, v = region.view2d.region_to_view(x, y)
        return photo_pixel(image, (u, v)) if 0 <= u <= 1 and 0 <= v <= 1 else None
    return _through_camera(context, region, (x, y), camera) if camera is not None else None


def photo_pixel(image: Any, place: tuple[float, float]) -> tuple[float, float]:
    """The pixel (u, v) of the photo, v down, at a place of an Image Editor's view (0..1, v up). Blender shows a file as
    it is stored; the photo is upright, as its EXIF data say."""
    width, height = image.size
    return _turned((place[0] * width, (1 - place[1]) * height), (width, height), _orientation(image))


def upright_place(image: Any, place: tuple[float, float]) -> tuple[float, float]:
    """The place in the upright photo (0..1, v up) of one in an Image Editor's view."""
    width, height = tuple(image.size)[:: -1 if _orientation(image) > 4 else 1]
    u, v = photo_pixel(image, place)
    return u / width, 1 - v / height


def shown_place(image: Any, pixel: tuple[float, float]) -> tuple[float, float]:
    """Where an Image Editor's view shows a pixel of the photo: the inverse of `photo_pixel`."""
    width, height = image.size
    orientation = _orientation(image)
    size = (height, width) if orientation > 4 else (width, height)
    u, v = _turned(pixel, size, {6: 8, 8: 6}.get(orientation, orientation))
    return u / width, 1 - v / height


def _turned(place: tuple[float, float], size: tuple[int, int], orientation: int) -> tuple[float, float]:
    """A place of a picture of this size after it was turned upright by EXIF's orientation (1..8)."""
    (u, v), (width, height) = place, size
    u, v = (width - u if orientation in (2, 3, 7, 8) else u), (height - v if orientation in (3, 4, 6, 7) else v)
    return (v, u) if orientation > 4 else (u, v)


def _orientation(image: Any) -> int:
    """Of the file that Blender shows as it is stored; 1 of a picture that is read by its pixels, as it is shown."""
    if image.source != "FILE" or image.packed_file is not None or image.is_dirty or not image.filepath:
        return 1
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    return _orientation_of(path, path.stat().st_mtime_ns) if path.is_file() else 1


@lru_cache(maxsize=8)
def _orientation_of(path: Path, _changed: int) -> int:
    from ....inference.photo.decode import orientation_of

    return orientation_of(path)


def _through_camera(context: Any, region: Any, mouse: tuple[int, int], camera: Any) -> tuple[float, float] | None:
    from bpy_extras import view3d_utils

    from ...builders.camera import matched, measure

    view = context.space_data.region_3d
    origin = view3d_utils.region_2d_to_origin_3d(region, view, mouse)
    direction = view3d_utils.region_2d_to_vector_3d(region, view, mouse)
    point = measure.surface_point(camera, origin, direction)
    if point is None and view.view_perspective == "CAMERA" and context.scene.camera == camera:
        point = origin + direction * 10.0
    pixel = measure.pixel_of(camera, point) if point is not None else None
    known = matched.known_intrinsics(camera)
    if pixel is None or known is None:
        return None
    return pixel if 0 <= pixel[0] <= known.width and 0 <= pixel[1] <= known.height else None


def draw_on_photo(strokes: Iterable[tuple[Colour, list[tuple[float, float]]]]) -> None:
    """In a draw handler of an Image Editor: straight strokes, from each odd pixel (u, v) of the photo to the next."""
    import gpu
    from gpu_extras.batch import batch_for_shader

    context: Any = bpy.context
    space, region = context.space_data, context.region
    if space is None or space.image is None or not space.image.size[0]:
        return
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    gpu.state.line_width_set(2.0)
    for colour, ends in strokes:
        places = [region.view2d.view_to_region(*shown_place(space.image, end), clip=False) for end in ends]
        if places:
            shader.uniform_float("color", colour)
            batch_for_shader(shader, "LINES", {"pos": places}).draw(shader)
    gpu.state.line_width_set(1.0)
