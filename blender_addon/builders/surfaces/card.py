# SPDX-License-Identifier: GPL-3.0-or-later
"""A cut-out card: a plane before the matched camera that shows the photo where a mask is white."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

from ...core import axes, compat
from ..camera import matched, scene
from ..materials import materials
from . import meshes

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Object
    from numpy.typing import NDArray

    from ....inference.camera import Camera

#: Distance (m) of a card that stands on no floor, and those between which one may stand.
_USUAL, _NEAREST, _FARTHEST = 3.0, 0.3, 100.0
#: Pixels of margin around the mask, but below it, and what is seen of a soft edge.
_MARGIN, _SEEN = 4, 0.02


def cut_out_card(
    mask: NDArray[np.float32],
    camera: Camera,
    photo_image: Image,
    mask_image: Image,
    camera_object: Object,
    *,
    name: str,
    whole: bool = False,
    parent: Collection | None = None,
) -> Object:
    """A plane parallel to the picture, with its lower edge where the camera sees the floor (z = 0) under the mask.

    whole : it covers the whole picture, for a mask that moves.
    """
    rows, columns = np.flatnonzero((mask > 0.5).any(1)), np.flatnonzero((mask > 0.5).any(0))
    soft = np.flatnonzero((mask > _SEEN).any(1)), np.flatnonzero((mask > _SEEN).any(0))
    bounds = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else (0, 0, camera.width, camera.height)
    depth = _standing(camera, camera_object, (bounds[0] + bounds[2]) / 2, bounds[3])
    if whole or not len(rows):
        bounds = (0, 0, camera.width, camera.height)
    else:
        bounds = _grown((soft[1][0], soft[0][0], soft[1][-1] + 1, bounds[3]), camera)
    obj = photo_card(camera, depth, photo_image, camera_object, name=name, bounds=bounds, parent=parent)
    material = obj.active_material
    assert material is not None
    tree, shader = compat.node_tree_of(material), materials.principled(material)
    texture = materials.add_image(tree, mask_image, shader, "Alpha", offset=(-320, -320))
    texture.extension = "EXTEND"
    return obj


def photo_card(
    camera: Camera,
    depth: float,
    photo_image: Image,
    camera_object: Object,
    *,
    name: str,
    bounds: tuple | None = None,
    parent: Collection | None = None,
) -> Object:
    """A plane parallel to the picture, `depth` along the view, that shows the photo or the part of it in `bounds`
    (u0, v0, u1, v1)."""
    u0, v0, u1, v1 = bounds or (0, 0, camera.width, camera.height)
    corners = np.array([(u0, v1), (u1, v1), (u1, v0), (u0, v0)], float)
    rays = np.column_stack([(corners - (camera.cx, camera.cy)) / (camera.fx, camera.fy), np.ones(4)])
    uvs = np.column_stack([corners[:, 0] / camera.width, 1 - corners[:, 1] / camera.height])
    mesh = meshes.new_mesh(name, axes.to_camera_space(rays * depth), np.array([[0, 1, 2, 3]]), uvs)
    mesh.materials.append(materials.photo_material(name, photo_image))
    obj = bpy.data.objects.new(name, mesh)
    matched.adopt(obj, camera_object)
    scene.link(obj, parent)
    return obj


def _grown(bounds: tuple, camera: Camera) -> tuple:
    u0, v0, u1, v1 = bounds
    return max(u0 - _MARGIN, 0), max(v0 - _MARGIN, 0), min(u1 + _MARGIN, camera.width), v1


def _standing(camera: Camera, camera_object: Object, u: float, v: float) -> float:
    """How far along the view, in the camera's units, the floor is at a pixel; the usual distance where it is not."""
    world = axes.world_from_camera_of(camera_object)
    ray = world[:3, :3] @ np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0])
    if ray[2] > -1e-6 or world[2, 3] <= 0:
        return _USUAL
    depth = -world[2, 3] / ray[2]
    return float(depth) if _NEAREST < depth < _FARTHEST else _USUAL
