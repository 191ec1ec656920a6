# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh as a photo's camera sees it: where its vertices fall in the photo, and which of them are in view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.errors import BadInput
from ....inference.geometry.rasteriser import rasterise
from ...core import axes
from . import meshes

if TYPE_CHECKING:
    from bpy.types import Mesh, Object
    from numpy.typing import NDArray

    from ....inference.camera import Camera

#: Where vertices behind the camera land in a projected UV map: far outside the picture, so that no mask reaches them.
_OUTSIDE = -10.0
#: Modifiers that move vertices, or keep the mesh's own in front, in their order, and add others behind them.
_KEEPING = {
    *("ARMATURE", "ARRAY", "CAST", "CLOTH", "COLLISION", "CORRECTIVE_SMOOTH", "CURVE", "DATA_TRANSFER", "DISPLACE"),
    *("HOOK", "LAPLACIANDEFORM", "LAPLACIANSMOOTH", "LATTICE", "MESH_CACHE", "MESH_DEFORM", "MESH_SEQUENCE_CACHE"),
    *("MIRROR", "MULTIRES", "NORMAL_EDIT", "SHRINKWRAP", "SIMPLE_DEFORM", "SMOOTH", "SOFT_BODY", "SOLIDIFY", "SUBSURF"),
    *("SURFACE_DEFORM", "TRIANGULATE", "UV_PROJECT", "UV_WARP", "VERTEX_WEIGHT_EDIT", "VERTEX_WEIGHT_MIX"),
    *("VERTEX_WEIGHT_PROXIMITY", "WARP", "WAVE", "WEIGHTED_NORMAL"),
}
#: A vertex may lie this part of its distance behind the surface that its pixel shows and still be that surface.
_TOLERANCE = 2e-3
#: Pixels around what is drawn, so that every vertex has its neighbours.
_MARGIN = 2


def mesh_of(obj: Object) -> Mesh:
    """The object's mesh, ready to be changed. Raises BadInput where it has none, where it is being edited (its mesh is
    elsewhere then), and where it belongs to another file."""
    mesh: Any = obj.data
    if obj.type != "MESH" or mesh is None:
        raise BadInput(f"{obj.name} is not a mesh.", "Choose a mesh object.")
    if obj.mode == "EDIT":
        raise BadInput(f"{obj.name} is in Edit Mode.", "Leave Edit Mode and try again.")
    if obj.library is not None or mesh.library is not None:
        raise BadInput(f"{obj.name} is linked from another file.", "Make the object and its mesh local first.")
    return mesh


def project_uvs(
    obj: Object, camera: Camera, camera_object: Object, name: str = "photo", *, seen_only: bool = False
) -> str:
    """A UV map of the photo, projected from its camera onto the object as it stands; returns the map's name.

    A map of this name is projected again. Which map is active, for editing and for rendering, does not change.
    seen_only : faces that the object itself wholly hides from the camera lie outside of the picture.
    """
    mesh = mesh_of(obj)
    pixels, in_front = project_vertices(obj, camera, camera_object)
    uvs = np.full(pixels.shape, _OUTSIDE, np.float32)
    uvs[in_front] = pixels[in_front] / [camera.width, camera.height]
    uvs[in_front, 1] = 1 - uvs[in_front, 1]
    layer = mesh.uv_layers.get(name) or mesh.uv_layers.new(name=name, do_init=False)
    if layer is None:
        raise BadInput(f"{obj.name} cannot have another UV map.", "Remove one of its UV maps.")
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)  # type: ignore[arg-type]
    uvs = uvs[corners]
    if seen_only:
        uvs[~_of_seen_faces(mesh, corners, in_view(obj, camera, camera_object))] = _OUTSIDE
    layer.uv.foreach_set("vector", np.ascontiguousarray(uvs, np.float32).ravel())
    mesh.update()
    return layer.name


def _of_seen_faces(mesh: Any, corners: NDArray, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(L,) the face corners of faces of which any vertex is seen. corners (L,) : the vertex of each."""
    sizes = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_total", sizes)
    any_seen = np.logical_or.reduceat(seen[corners], np.cumsum(sizes) - sizes)
    return np.repeat(any_seen, sizes)


def project_vertices(obj: Object, camera: Camera, camera_object: Object) -> tuple[NDArray, NDArray[np.bool_]]:
    """Pixels (V, 2) in the photo of a mesh's vertices as they stand, and which (V,) lie in front of the camera."""
    points = axes.transform(_camera_from_object(obj, camera_object), seen_positions(obj))
    return camera.project_seen(points)


def seen_positions(obj: Object) -> NDArray[np.float32]:
    """The mesh's own vertices (V, 3), in the object's space, where its shape keys and modifiers put them.

    Where a modifier makes other vertices of them (Remesh, Boolean, Geometry Nodes ...) those of the mesh itself.
    """
    mesh = mesh_of(obj)
    if not obj.modifiers and mesh.shape_keys is None:
        return meshes.positions(mesh)
    shown = _shown(obj)
    return meshes.positions(shown)[: len(mesh.vertices)] if _begins_with_own(obj, shown) else meshes.positions(mesh)


def in_view(
    obj: Object, camera: Camera, camera_object: Object, among: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Which of a mesh's own vertices (V,) the camera sees: those that the object itself does not hide. Other objects
    hide nothing.

    among : (V,) the vertices that are asked about, by default all; the others are False. Only the part of the picture
    in which they lie is drawn.
    """
    matrix = _camera_from_object(obj, camera_object)
    points = axes.transform(matrix, seen_positions(obj))
    pixels, asked = camera.project_seen(points)
    asked &= ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(1)
    if among is not None:
        asked &= among
    if not asked.any():
        return asked
    surface, faces, normals = _surface(obj, matrix)
    low = np.maximum(np.floor(pixels[asked].min(0)).astype(int) - _MARGIN, 0)
    high = np.minimum(np.ceil(pixels[asked].max(0)).astype(int) + _MARGIN, (camera.width, camera.height))
    part = camera.cropped(slice(low[1], high[1]), slice(low[0], high[0]))
    depth, _ = rasterise(surface, _near_window(surface, faces, part), part)
    where = np.flatnonzero(asked)
    column, row = (np.floor(pixels[where]).astype(int) - low).T
    limit = _farthest_around(np.where(depth > 0, depth, np.inf))[row, column]
    if len(normals):
        # The back of an object is not next to its front: it is in view only where its own pixel shows it.
        away = np.einsum("ij,ij->i", points[where], normals[where]) > 0
        own, drawn_around = (picture[row[away], column[away]] for picture in (depth, _farthest_around(depth)))
        limit[away] = np.where(own > 0, own, np.where(drawn_around > 0, drawn_around, np.inf))
    asked[where] = points[where, 2] <= limit * (1 + _TOLERANCE)
    return asked


def _near_window(points: NDArray, faces: NDArray, part: Camera) -> NDArray:
    """The triangles (T, 3) that are not wholly beyond one side of the picture: most of a dense mesh is, for a small
    mask, and need not be drawn. points : (W, 3) camera axes."""
    pixels, in_front = part.project_seen(points)
    beyond = np.concatenate([pixels < 0, pixels > (part.width, part.height)], 1) & in_front[:, None]
    a, b, c = beyond[faces.T]
    return faces[~(a & b & c).any(1)]


def _farthest_around(depth: NDArray) -> NDArray:
    """The greatest depth (H, W) of each pixel and its neighbours: a steep surface changes much within a pixel."""
    rows = np.maximum(depth, np.maximum(np.roll(depth, 1, 0), np.roll(depth, -1, 0)))
    return np.maximum(rows, np.maximum(np.roll(rows, 1, 1), np.roll(rows, -1, 1)))


def _camera_from_object(obj: Object, camera_object: Object) -> NDArray[np.float64]:
    """(4, 4) OpenCV camera axes from the object's own space."""
    return np.linalg.inv(axes.world_from_camera_of(camera_object)) @ np.array(obj.matrix_world, np.float64)


def _shown(obj: Object) -> Mesh:
    """The object's mesh after its modifiers."""
    context: Any = bpy.context
    return obj.evaluated_get(context.evaluated_depsgraph_get()).data  # type: ignore[return-value]


def _begins_with_own(obj: Object, shown: Mesh) -> bool:
    """Whether the first vertices of what the object shows are those of its own mesh."""
    own = len(mesh_of(obj).vertices)
    making = {modifier.type for modifier in obj.modifiers if modifier.show_viewport}
    return len(shown.vertices) == own or (len(shown.vertices) > own and making <= _KEEPING)


def _surface(obj: Object, matrix: NDArray) -> tuple[NDArray, NDArray[np.int32], NDArray]:
    """What the object shows, after its modifiers: vertices (W, 3) in camera axes, triangles (T, 3), and the directions
    (V, 3), of any length, in which its own vertices face; none of these where they are unknown."""
    mesh: Any = _shown(obj)
    faces, _ = meshes.triangles(mesh)
    own = len(mesh_of(obj).vertices) if _begins_with_own(obj, mesh) else 0
    normals = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertex_normals.foreach_get("vector", normals.reshape(-1))
    # Normals turn by the inverse transposed.
    turned = normals[:own] @ np.linalg.inv(matrix[:3, :3])
    return axes.transform(matrix, meshes.positions(mesh)), faces, turned
