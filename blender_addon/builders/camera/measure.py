# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist knows the true length of: two points of the scene or of the photo, a person, the camera's height."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from bpy.types import Object
from mathutils import Matrix, Vector

from ....inference.camera import Camera
from ....inference.errors import BadInput
from ...core import axes, photo_links, roles
from ..images import image
from ..surfaces import meshes
from . import matched
from .scale import metres_of

_SELECT = "Select two vertices, bones or objects; or one, and set the 3D cursor on the other point."


def selected_points(context: Any) -> tuple[Vector, Vector]:
    """World places of the two selected vertices (Edit Mode), bones' heads (Pose Mode) or objects; of a single one and
    of the 3D cursor. Raises BadInput for any other number."""
    points = _selected(context)
    if len(points) == 1:
        points.append(context.scene.cursor.location.copy())
    if len(points) != 2:
        raise BadInput(f"Two points are needed; {len(points)} are selected.", _SELECT)
    return points[0], points[1]


def uses_cursor(context: Any) -> bool:
    """Whether one of the two points is the 3D cursor."""
    return len(_selected(context)) == 1


def selected_objects(context: Any) -> list[Object]:
    """The selected objects of the view layer."""
    layer = context.view_layer
    return [obj for obj in layer.objects if obj.select_get(view_layer=layer)]


def _selected(context: Any) -> list[Vector]:
    edited = [obj for obj in context.view_layer.objects if obj.mode == "EDIT" and obj.type == "MESH"]
    if edited:
        return [point for obj in edited for point in _selected_vertices(obj)]
    if context.mode == "POSE":
        return [bone.id_data.matrix_world @ bone.head for bone in context.selected_pose_bones]
    return [obj.matrix_world.translation.copy() for obj in selected_objects(context)]


def pixel_point(camera_object: Object, pixel: tuple[float, float]) -> Vector:
    """World place of what the photo shows at a pixel (u, v), v down: on the nearest surface that was built of it, else
    by its depth image. Raises BadInput outside the picture, and where nothing is known."""
    intrinsics = matched.known_intrinsics(camera_object)
    u, v = pixel
    if intrinsics is None or not (0 <= u <= intrinsics.width and 0 <= v <= intrinsics.height):
        size = f" ({intrinsics.width} x {intrinsics.height})" if intrinsics else ""
        raise BadInput(f"The pixel {u:g}, {v:g} lies outside the photo{size}.", "Choose another pixel.")
    ray = Vector(((u - intrinsics.cx) / intrinsics.fx, (v - intrinsics.cy) / intrinsics.fy, 1.0))
    world = Matrix(axes.world_from_camera_of(camera_object).tolist())
    place, direction = world.translation, world.to_3x3() @ ray
    found = surface_point(camera_object, place, direction)
    if found is not None:
        return found
    depth = _depth_at(camera_object, intrinsics, u, v)
    if depth is None:
        raise BadInput(
            f"Nothing built from the photo is at the pixel {u:g}, {v:g}.",
            "Estimate the depth first, or choose a pixel that has depth.",
        )
    return place + direction * depth


def surface_point(camera_object: Object, origin: Vector, direction: Vector) -> Vector | None:
    """Where a ray in the world first meets what was built of the photo and shows; None where it meets nothing."""
    hits = [hit for obj in photo_links.all_of(camera_object) if (hit := _hit(obj, origin, direction)) is not None]
    return min(hits, key=lambda point: (point - origin).length_squared, default=None)


def pixel_of(camera_object: Object, point: Vector) -> tuple[float, float] | None:
    """The pixel (u, v) of the photo at which a place in the world lies; None behind the camera."""
    intrinsics = matched.known_intrinsics(camera_object)
    seen = np.linalg.inv(axes.world_from_camera_of(camera_object)) @ np.array([*point, 1.0])
    if intrinsics is None or seen[2] <= 0:
        return None
    u, v = intrinsics.project(seen[:3])
    return float(u), float(v)


def chosen_person(context: Any, camera_object: Object) -> Object:
    """The body of the selected person, or of the only one of the photo. Raises BadInput."""
    people = [obj for obj in photo_links.all_of(camera_object) if roles.HEIGHT in obj and obj.type == "MESH"]
    if not people:
        raise BadInput("This photo has no body of known height.", "Recover the people first.")
    chosen = set(selected_objects(context))
    if context.view_layer.objects.active is not None:
        chosen.add(context.view_layer.objects.active)
    named = [obj for obj in people if obj in chosen or obj.parent in chosen]
    if len(named) == 1 or (not named and len(people) == 1):
        return (named or people)[0]
    raise BadInput(
        f"{len(named)} people are selected." if named else "No person is selected.",
        "Select the body or rig of the person whose height you know.",
    )


def height_of(body: Object) -> float:
    """Height of a body standing straight, in the scene's units: as it was recovered, and as its sliders change it."""
    own: Any = body
    size = float(np.cbrt(abs(np.linalg.det(np.array(body.matrix_world)[:3, :3]))))
    return own[roles.HEIGHT] * size * _sliders_share(own.data)


def _sliders_share(mesh: Any) -> float:
    """By how much the body's sliders make it taller at rest."""
    keys = mesh.shape_keys
    if keys is None or not keys.use_relative:
        return 1.0
    rest = meshes.positions(mesh)
    mixed = rest.copy()
    for block in keys.key_blocks[1:]:
        if block.value and not block.mute:
            flat = np.empty(rest.size, np.float32)
            block.data.foreach_get("co", flat)
            mixed += block.value * (flat.reshape(-1, 3) - rest)
    return float(np.ptp(mixed[:, 2]) / np.ptp(rest[:, 2]))


def _selected_vertices(obj: Any) -> list[Vector]:
    """World places of the selected vertices, where the modifiers that show in Edit Mode put them."""
    import bmesh

    edited = bmesh.from_edit_mesh(obj.data)
    chosen = [vertex.index for vertex in edited.verts if vertex.select]
    places = {vertex.index: vertex.co.copy() for vertex in edited.verts if vertex.select}
    if any(modifier.show_viewport and modifier.show_in_editmode for modifier in obj.modifiers):
        context: Any = bpy.context
        seen = obj.evaluated_get(context.evaluated_depsgraph_get())
        shown = seen.to_mesh()
        if shown is not None and len(shown.vertices) == len(edited.verts):
            places = {index: shown.vertices[index].co.copy() for index in chosen}
        seen.to_mesh_clear()
    return [obj.matrix_world @ places[index] for index in chosen]


def _hit(obj: Any, place: Vector, direction: Vector) -> Vector | None:
    """Where a ray from `place` meets what an object shows."""
    if obj.type != "MESH" or not obj.visible_get():
        return None
    context: Any = bpy.context
    seen = obj.evaluated_get(context.evaluated_depsgraph_get())
    if not len(seen.data.polygons):
        return None
    inward = seen.matrix_world.inverted_safe()
    found, point, _, _ = seen.ray_cast(inward @ place, inward.to_3x3() @ direction)
    return seen.matrix_world @ point if found else None


def _depth_at(camera_object: Object, intrinsics: Camera, u: float, v: float) -> float | None:
    """The depth (z, in the camera object's own units) that the photo's depth images have at a pixel."""
    for picture in photo_links.metres_of(camera_object):
        if picture.source == "SEQUENCE" or not picture.size[0]:
            continue
        width, height = picture.size
        column = min(int(u * width / intrinsics.width), width - 1)
        row = min(int(v * height / intrinsics.height), height - 1)
        value = float(image.image_array(picture)[row, column, 0])
        if np.isfinite(value) and value > 0:
            return value / metres_of(picture)
    return None
