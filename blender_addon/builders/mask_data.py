# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks on a mesh's vertices: a point attribute, or a vertex group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import meshes, paint, skin

if TYPE_CHECKING:
    from bpy.types import Attribute, Object, VertexGroup
    from numpy.typing import NDArray

    from ...inference.camera import Camera

#: Weights of a vertex group are set in batches of equal ones, so a soft mask is rounded to this many steps.
_STEPS = 255


def mask_attribute(obj: Object, mask: NDArray, camera: Camera, camera_object: Object, name: str = "mask") -> Attribute:
    """The mask (H, W) 0..1 as FLOAT point attribute: each vertex takes the value of the photo's pixel it falls on,
    0 outside the picture and behind the camera. An attribute of this name and kind is filled anew."""
    return meshes.set_point_attribute(paint.mesh_of(obj), name, sampled(obj, mask, camera, camera_object))


def mask_vertex_group(
    obj: Object, mask: NDArray, camera: Camera, camera_object: Object, name: str = "mask"
) -> VertexGroup:
    """The mask as a new vertex group, sampled as in `mask_attribute`, weights in 255 steps."""
    values = sampled(obj, mask, camera, camera_object)
    group = skin.add_weights(obj, (name,), values[:, None], _STEPS)[0]
    obj.vertex_groups.active = group
    return group


def sampled(obj: Object, mask: NDArray, camera: Camera, camera_object: Object) -> NDArray[np.float32]:
    """(V,) the mask (H, W) where each vertex of the object falls in the photo; its shape need not be the camera's."""
    pixels, in_front = paint.project_vertices(obj, camera, camera_object)
    height, width = mask.shape
    column = np.floor(pixels[:, 0] * width / camera.width).astype(np.int64)
    row = np.floor(pixels[:, 1] * height / camera.height).astype(np.int64)
    inside = in_front & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    values = np.zeros(len(pixels), np.float32)
    values[inside] = mask[row[inside], column[inside]]
    return values
