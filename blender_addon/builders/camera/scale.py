# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that was built of one photo, made larger or smaller so that it still lies on the photo.

The matched camera's own scale is the photo's metre. What hangs on the camera takes it over; people, who stand in the
world, are multiplied about the same point; what is built later finds it there. Blender's cameras look through the same
lens whatever their scale. Meshes, caches, shape keys and actions stay as they are: only objects are scaled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import bpy
import numpy as np
from bpy.types import Image, Object
from mathutils import Matrix, Vector

from ....inference.errors import BadInput
from ...core import compat, photo_links, roles, transaction
from . import scene as scenes

#: How much larger or smaller at once is believed.
_MOST = 1e5


def scale_of(camera_object: Object) -> float:
    """By how much this matched camera's photo was rescaled in all."""
    return float(camera_object.get(roles.SCALE, 1.0))  # type: ignore[arg-type]


def about(camera_object: Object, *, floor: bool) -> Vector:
    """The point that stays where it is: on the floor (z = 0) below the camera, or the camera itself."""
    place = camera_object.matrix_world.translation.copy()
    if floor:
        place.z = 0.0
    return place


def check(camera_object: Object, ratio: float, *, floor: bool) -> None:
    """Raise BadInput where the photo cannot be rescaled so."""
    if not (math.isfinite(ratio) and 1 / _MOST < ratio < _MOST):
        raise BadInput(f"A scale of {ratio:g} is too far from 1.", "Check the two points and the distance.")
    held = [constraint.name for constraint in camera_object.constraints if not constraint.mute]
    if camera_object.library is not None:
        raise BadInput(f"{camera_object.name} is linked from another file.", "Make it local first.")
    if floor and held:
        raise BadInput(
            f"The constraint {held[0]} holds {camera_object.name} in place.",
            "Keep the camera in place instead of the floor.",
        )


def rescale(camera_object: Object, ratio: float, pivot: Vector) -> Matrix:
    """Multiply all that belongs to a matched camera's photo, and the camera's place, about `pivot`; returns (4, 4) the
    motion of its points. Images are `rescaled_image`'s matter. Undone where the transaction fails. Raises BadInput."""
    scenes.view_layer().update()
    moved = photo_links.objects_of(camera_object)
    motion = Matrix.Translation(pivot) @ Matrix.Scale(ratio, 4) @ Matrix.Translation(-pivot)
    for obj in (camera_object, *moved):
        _move(obj, motion, ratio, pivot)
    _scale_lens(camera_object, ratio)
    total = scale_of(camera_object)
    _set(camera_object, total * ratio, camera_object.get(roles.SCALE))
    scenes.view_layer().update()
    return motion


def settle(obj: Object, before: dict[Image, float]) -> None:
    """Bring an object that images of metres displace to the size of what they show now.

    before : image -> what its values were multiplied by when the object had its size. The camera's scale is in those
    values already, so the object takes it back: all of it where they push along the lines of sight, along z alone
    where a Displace modifier lifts a grid.
    """
    for modifier in obj.modifiers:
        shown = next((image for image in images_of(modifier) if image in before), None)
        if shown is None:
            continue
        share = before[shown] / metres_of(shown)
        whole = modifier.type == "NODES"
        x, y, z = obj.scale
        transaction.change(obj, scale=(x * share, y * share, z * share) if whole else (x, y, z * share))
        return


def images_of(modifier: Any) -> list[Image]:
    """The images that a modifier displaces by."""
    if modifier.type == "DISPLACE":
        picture = getattr(modifier.texture, "image", None)
        return [picture] if picture is not None else []
    if modifier.type != "NODES" or modifier.node_group is None:
        return []
    inputs = [compat.get_node_input(modifier, name) for name in compat.node_inputs(modifier)]
    sockets = [getattr(socket, "default_value", None) for node in modifier.node_group.nodes for socket in node.inputs]
    return [value for value in (*inputs, *sockets) if isinstance(value, bpy.types.Image)]


def metres_of(picture: Image) -> float:
    """By how much an image's metres were multiplied since the model gave them."""
    return float(picture.get(roles.METRES, 1.0))  # type: ignore[arg-type]


def _move(obj: Any, motion: Matrix, ratio: float, pivot: Vector) -> None:
    """Move one object and its keys. Without parents its own numbers are right even where the view layer leaves it
    out."""
    if obj.parent is None:
        transaction.change(obj, matrix_basis=motion @ obj.matrix_basis)
        local = pivot
    else:
        above = obj.parent.matrix_world @ obj.matrix_parent_inverse
        transaction.change(obj, matrix_world=motion @ obj.matrix_world)
        local = above.inverted_safe() @ pivot
    _scale_keys(obj, ratio, local)


def _scale_keys(obj: Any, ratio: float, pivot: Vector) -> None:
    """The object's own keys of place and size; those of bones are in its space."""
    action = obj.animation_data.action if obj.animation_data else None
    if action is None:
        return
    for curve in compat.channels_of(action, obj).fcurves:
        if curve.data_path == "location":
            _map_values(curve, lambda values, still=pivot[curve.array_index]: still + ratio * (values - still))
        elif curve.data_path == "scale":
            _map_values(curve, lambda values: values * ratio)


def _map_values(curve: Any, mapping: Callable[[np.ndarray], np.ndarray]) -> None:
    names = ("co", "handle_left", "handle_right")
    before = {}
    for name in names:
        flat = np.empty(2 * len(curve.keyframe_points), np.float32)
        curve.keyframe_points.foreach_get(name, flat)
        before[name] = flat.copy()
        flat[1::2] = mapping(flat[1::2])
        curve.keyframe_points.foreach_set(name, flat)
    transaction.on_failure(lambda: [curve.keyframe_points.foreach_set(name, flat) for name, flat in before.items()])
    curve.update()


def _scale_lens(camera_object: Object, ratio: float) -> None:
    """What a camera measures in the scene's units; its symbol stays as large as it was. Clipping only widens: the
    artist's own objects, which keep their places, stay in sight."""
    data: Any = camera_object.data
    transaction.change(
        data,
        clip_start=data.clip_start * min(ratio, 1.0),
        clip_end=data.clip_end * max(ratio, 1.0),
        display_size=data.display_size / ratio,
    )
    transaction.change(data.dof, focus_distance=data.dof.focus_distance * ratio)


def _set(camera_object: Any, total: float, before: float | None) -> None:
    def restore() -> None:
        if before is None:
            camera_object.pop(roles.SCALE, None)
        else:
            camera_object[roles.SCALE] = before

    transaction.on_failure(restore)
    camera_object[roles.SCALE] = total
