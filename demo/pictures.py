# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's pictures: photo, bodies and relief in a row, and the clip beside the animated body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
import numpy as np
from mathutils import Vector
from PIL import Image

from ..inference import load_clip
from . import raster, render, sheet

if TYPE_CHECKING:
    from bpy.types import Object
    from numpy.typing import NDArray

    from .scenes import ClipScene, PhotoScene

#: Pixels: height of the preview's panels, width of its views in 3D, height of the movie's panels.
_PANEL, _WIDE, _MOVIE = 420, 380, 320


def photo_row(made: PhotoScene) -> NDArray[np.uint8]:
    """The photo, the bodies over it through the matched camera, the bodies and the relief from the side."""
    scene = made.scene
    render.light_scene(scene, _view(made.camera))
    bodies = [obj for child in made.people.children for obj in child.objects if obj.type == "MESH"]
    photo = np.asarray(Image.open(bpy.path.abspath(made.photo.filepath)).convert("RGB"))
    width = round(photo.shape[1] * _PANEL / photo.shape[0])
    photo = sheet.resize(photo, width, _PANEL)
    floor = render.add_floor(scene)
    _show_only(scene.objects, [*bodies, floor])
    floor.is_shadow_catcher = True
    over = render.render(scene, made.camera, width, _PANEL, transparent=True)
    floor.is_shadow_catcher = False
    aside = render.render(scene, _side_camera(made, bodies, 0.75, 2.9), _WIDE, _PANEL)
    _show_only(scene.objects, [made.relief])
    relief = render.render(scene, _side_camera(made, [made.relief], 0.5, 2.4), _WIDE, _PANEL)
    _show_only(scene.objects, [*bodies, made.relief])
    bpy.data.objects.remove(floor)
    count = len(made.people.children)
    return sheet.row(
        [
            (photo, f"photo: {scene.name}"),
            (sheet.over(over, photo), f"{count} rigged {'body' if count == 1 else 'bodies'}, matched camera"),
            (aside[..., :3], "the same in 3D, feet on the ground"),
            (relief[..., :3], "metric relief, mask as paint layer"),
        ]
    )


def clip_movie(made: ClipScene, path: Path) -> None:
    """The clip beside the body recovered from it, and the body from the side, as an H.264 movie."""
    scene = made.scene
    clip = load_clip(made.path)
    view = _view(made.camera)
    render.light_scene(scene, view)
    bodies = [obj for child in made.people.children for obj in child.objects if obj.type == "MESH"]
    render.add_floor(scene)
    sun = np.array(render.sunlight(view), np.float32)
    width = round(scene.render.resolution_x * _MOVIE / scene.render.resolution_y)
    over = raster.View(made.camera, width, _MOVIE, sun, over=True)
    aside = raster.View(_clip_side_camera(made, bodies), width, _MOVIE, sun)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for index, photo in enumerate(clip):
            scene.frame_set(scene.frame_start + index)
            still = sheet.resize(photo.pixels, width, _MOVIE)
            body = raster.body_of(bodies[0])
            light = raster.Light(body, sun)
            both = sheet.over(over.picture(body, light), still), aside.picture(body, light)[..., :3]
            yield sheet.row([(still, "clip"), (both[0], "recovered body"), (both[1], "from the side")])

    render.write_movie(frames(), path, clip.fps or 24.0)
    scene.frame_set(scene.frame_start)


def _view(camera: Object) -> Vector:
    """Where the camera looks."""
    return -camera.matrix_world.col[2].xyz  # type: ignore[union-attr]


def _corners(objects: Iterable[Object]) -> list[Vector]:
    """Corners of the objects' bounding boxes as they stand now, world space."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    evaluated = [obj.evaluated_get(depsgraph) for obj in objects]
    return [obj.matrix_world @ Vector(corner) for obj in evaluated for corner in obj.bound_box]


def _side_camera(made: PhotoScene, objects: list[Object], turn: float, radii: float) -> Object:
    """A camera `radii` of the objects' size away, that sees them from beside the photo's and a little from above."""
    bpy.context.view_layer.update()  # type: ignore[union-attr]
    corners = _corners(objects)
    target = sum(corners, Vector()) / len(corners)
    radius = max((corner - target).length for corner in corners)
    view = _view(made.camera)
    beside = Vector((view.y, -view.x, 0)).normalized()
    direction = (-view - beside * turn + Vector((0, 0, 0.25))).normalized()
    name = f"{made.scene.name}.aside"
    return render.add_camera(made.scene, name, target + direction * radius * radii, target, lens=50.0)


def _clip_side_camera(made: ClipScene, bodies: list[Object]) -> Object:
    """A camera at a right angle to the walk's view that keeps the whole walk in the picture."""
    scene, corners = made.scene, []
    for frame in (scene.frame_start, (scene.frame_start + scene.frame_end) // 2, scene.frame_end):
        scene.frame_set(frame)
        corners += _corners(bodies)
    target = sum(corners, Vector()) / len(corners)
    radius = max((corner - target).length for corner in corners)
    view = _view(made.camera)
    beside = Vector((view.y, -view.x, 0)).normalized()
    direction = (beside - view * 0.35 + Vector((0, 0, 0.2))).normalized()
    return render.add_camera(scene, "clip.aside", target + direction * radius * 2.6, target, lens=42.0)


def _show_only(objects: Iterable[Object], shown: list[Object]) -> None:
    for obj in objects:
        if obj.type == "MESH":
            obj.hide_render = obj not in shown
