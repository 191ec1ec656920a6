# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines of masks as Grease Pencil: closed, filled strokes that lie over the photo when seen from its camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Material, Object
from numpy.typing import NDArray

from ....inference.camera import Camera
from ....inference.errors import NothingFound
from ...core import axes, compat
from ...core.exchange import TracedMask
from ..camera import matched, scene

#: Width of the line, as a part of the photo's long side.
_LINE = 0.003
#: The fill is as strong as this part of the line, so that the photo shows through.
_FILL = 0.35


def outlines(
    layers: Mapping[str, Mapping[int, TracedMask]],
    photo_camera: Camera,
    *,
    name: str,
    colour: Sequence[float] = (0.8, 0.1, 0.05, 1.0),
    camera_object: Object | None = None,
    parent: Collection | None = None,
) -> Object:
    """A Grease Pencil object, a child of `camera_object`, with the outlines of masks.

    layers : layer name -> frame of the scene -> the outlines at that frame, each set in the plane at its own distance
        before the camera; a frame without outlines is empty. The farthest layer is below.
    colour : linear RGBA of line and fill; the fill shows the photo through.
    Holes are strokes of their own, with a material that cuts them out of the fill.
    Raises NothingFound where there is no outline at all.
    """
    if not any(traced.outlines for frames in layers.values() for traced in frames.values()):
        raise NothingFound("The mask is empty, so it has no outline.", "Choose another mask type, or expand the mask.")
    data: Any = getattr(bpy.data, compat.GREASE_PENCILS).new(name)
    for material in _materials(name, colour):
        data.materials.append(material)
    for layer_name, frames in sorted(layers.items(), key=lambda item: -_distance(item[1])):
        layer = data.layers.new(layer_name)
        for number, traced in sorted(frames.items()):
            _draw(layer.frames.new(number), traced, photo_camera)
    obj = bpy.data.objects.new(name, data)
    matched.adopt(obj, camera_object)
    scene.link(obj, parent)
    return obj


def _draw(frame: Any, traced: TracedMask, photo_camera: Camera) -> None:
    if not traced.outlines:
        return
    sizes = np.array([len(outline.points) for outline in traced.outlines], np.int32)
    holes = np.array([outline.hole for outline in traced.outlines], bool)
    pixels = np.concatenate([outline.points for outline in traced.outlines])
    long_side = max(photo_camera.width, photo_camera.height)
    radius = 0.5 * _LINE * long_side * traced.distance / photo_camera.fx
    compat.add_outlines(frame, _placed(pixels, photo_camera, traced.distance), sizes, holes, radius)


def _placed(pixels: NDArray, photo_camera: Camera, distance: float) -> NDArray[np.float32]:
    """Pixels (N, 2) of the photo in the plane at `distance` metres, in the camera object's space (N, 3)."""
    points = np.empty((len(pixels), 3))
    points[:, 0] = (pixels[:, 0] - photo_camera.cx) / photo_camera.fx * distance
    points[:, 1] = (pixels[:, 1] - photo_camera.cy) / photo_camera.fy * distance
    points[:, 2] = distance
    return axes.to_camera_space(points)


def _distance(frames: Mapping[int, TracedMask]) -> float:
    return min(traced.distance for traced in frames.values())


def _materials(name: str, colour: Sequence[float]) -> tuple[Material, Material]:
    """The material of outer outlines, and that of holes."""
    made = []
    for suffix, is_hole in (("", False), (".hole", True)):
        material = bpy.data.materials.new(name + suffix)
        bpy.data.materials.create_gpencil_data(material)
        style: Any = material.grease_pencil
        style.color = colour
        style.show_fill = True
        style.fill_color = (0.0, 0.0, 0.0, 1.0) if is_hole else (*colour[:3], colour[3] * _FILL)
        style.use_fill_holdout = is_hole
        made.append(material)
    return made[0], made[1]
