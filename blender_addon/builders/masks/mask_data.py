# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks on a mesh's vertices: a point attribute, or a vertex group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..bodies import skin
from ..surfaces import meshes, projection

if TYPE_CHECKING:
    from bpy.types import Attribute, Object, VertexGroup
    from numpy.typing import NDArray

    from ....inference.camera import Camera

#: Weights of a vertex group are set in batches of equal ones, so a soft mask is rounded to this many steps.
_STEPS = 255


def mask_attribute(
    obj: Object,
    mask: NDArray,
    camera: Camera,
    camera_object: Object,
    name: str = "mask",
    *,
    visible_only: bool = False,
) -> Attribute:
    """The mask (H, W) 0..1 as FLOAT point attribute: each vertex takes the value of the photo's pixel it falls on,
    0 outside the picture and behind the camera. An attribute of this name and kind is refilled.

    visible_only : 0 also where the object hides the vertex from the camera (see `projection.in_view`).
    """
    values = sampled(obj, mask, camera, camera_object, visible_only=visible_only)
    return meshes.set_point_attribute(projection.mesh_of(obj), name, values)


def mask_vertex_group(
    obj: Object,
    mask: NDArray,
    camera: Camera,
    camera_object: Object,
    name: str = "mask",
    *,
    visible_only: bool = False,
) -> VertexGroup:
    """The mask as a new vertex group, sampled as in `mask_attribute`, weights in 255 steps."""
    values = sampled(obj, mask, camera, camera_object, visible_only=visible_only)
    group = skin.add_weights(obj, (name,), values[:, None], _STEPS)[0]
    obj.vertex_groups.active = group
    return group


def sampled(
    obj: Object, mask: NDArray, camera: Camera, camera_object: Object, *, visible_only: bool = False
) -> NDArray[np.float32]:
    """(V,) the mask (H, W) where each vertex of the object falls in the photo; its shape need not be the camera's."""
    pixels, in_front = projection.project_vertices(obj, camera, camera_object)
    height, width = mask.shape
    column = np.floor(pixels[:, 0] * width / camera.width).astype(np.int64)
    row = np.floor(pixels[:, 1] * height / camera.height).astype(np.int64)
    inside = in_front & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    values = np.zeros(len(pixels), np.float32)
    values[inside] = mask[row[inside], column[inside]]
    if visible_only:
        values[~projection.in_view(obj, camera, camera_object, values > 0)] = 0
    return values
