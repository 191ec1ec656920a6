# SPDX-License-Identifier: GPL-3.0-or-later
"""How a picture lies on the active object: through its UV map, or seen from a camera."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.types import Image, Object, Scene

from ....inference.camera import Camera
from ....inference.errors import BadInput
from ...builders.camera import matched as cameras
from ...builders.materials import paint_slots
from ...builders.materials.paint_slots import Slot
from ...builders.surfaces import surface_values
from ...core import roles
from ...core.exchange import TexturedSurface
from ...core.photo_links import camera_of


def mapping_of(properties: Any, obj: Any, image: Image | None) -> str:
    """ "UV" or "CAMERA": as chosen, else "UV" for what is a texture of the object, and "CAMERA" for anything else."""
    if properties.mapping != "AUTO":
        return properties.mapping
    if properties.source == "PAINT_SLOT":
        return "UV"
    if properties.source == "VIEW" or obj is None or image is None:
        return "CAMERA"
    return "UV" if paint_slots.slot_of(obj.active_material, image) is not None else "CAMERA"


def camera_for(properties: Any, scene: Scene, photo: Image | None) -> Object:
    """The camera that the picture is seen from: the one that is named, else the photo's, else the scene's. Raises
    BadInput where there is none."""
    obj = bpy.data.objects.get(properties.camera) if properties.camera else None
    if obj is None and photo is not None:
        obj = camera_of(photo)
    obj = obj or scene.camera
    if obj is None or obj.type != "CAMERA":
        raise BadInput(
            "There is no camera to see the object from.", "Add one to the scene, or build the photo's depth or people."
        )
    return obj


def view_size(camera_object: Object, scene: Scene) -> tuple[int, int]:
    """Width and height of what a camera sees: its photo's, else the render's."""
    photo: Any = camera_object.get(roles.IMAGE)
    if photo is not None and photo.size[0]:
        return photo.size[0], photo.size[1]
    render = scene.render
    share = render.resolution_percentage / 100
    return max(1, int(render.resolution_x * share)), max(1, int(render.resolution_y * share))


def seen_surface(
    obj: Object | None, scene: Scene, camera_object: Object, size: tuple[int, int], slot: Slot | None = None
) -> tuple[TexturedSurface, Camera]:
    """The active object as a camera sees it in a picture of this size, with the UV map of a texture of it."""
    camera = cameras.intrinsics_of(camera_object, *size, scene)
    uv_name = paint_slots.uv_name(slot) if slot is not None else ""
    return surface_values.surface_of(_mesh_object(obj), uv_name, camera=camera, camera_object=camera_object), camera


def flat_surface(obj: Object | None, slot: Slot | None = None) -> TexturedSurface:
    """The active object as it lies in a texture of it."""
    return surface_values.surface_of(_mesh_object(obj), paint_slots.uv_name(slot) if slot is not None else "")


def _mesh_object(obj: Object | None) -> Object:
    if obj is None:
        raise BadInput("No mesh object is active.", "Select the mesh that the picture lies on.")
    return obj
