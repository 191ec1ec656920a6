# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes from arrays, through the attribute buffers: several times faster than `from_pydata`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

if TYPE_CHECKING:
    from bpy.types import Mesh
    from numpy.typing import NDArray

    from ....inference.geometry.relief_grid import Edges


def new_mesh(
    name: str, vertices: NDArray, faces: NDArray, uvs: NDArray | None = None, edges: Edges | None = None
) -> Mesh:
    """A smooth mesh of triangles or quads.

    vertices : (V, 3) metres.  faces : (F, 3 or 4), counter-clockwise seen from outside.
    uvs : (V, 2), one a vertex, or (F, 3 or 4, 2), one a face corner; they become the UV map "UVMap".
    edges : those of quads, where they are known; for Blender to find them takes longer than all else here.
    """
    mesh = bpy.data.meshes.new(name)
    corners = np.ascontiguousarray(faces, np.int32).ravel()
    mesh.vertices.add(len(vertices))
    set_positions(mesh, vertices)
    mesh.loops.add(len(corners))
    _attribute(mesh, ".corner_vert").data.foreach_set("value", corners)
    mesh.polygons.add(len(faces))
    starts = np.arange(0, len(corners), faces.shape[1], dtype=np.int32)
    mesh.polygons.foreach_set("loop_start", starts)  # type: ignore[arg-type]
    if uvs is not None:
        layer = mesh.uv_layers.new(name="UVMap", do_init=False)
        flat = uvs[corners] if uvs.ndim == 2 else uvs
        layer.uv.foreach_set("vector", np.ascontiguousarray(flat, np.float32).ravel())
    if edges is not None:
        mesh.edges.add(len(edges.vertices))
        _attribute(mesh, ".edge_verts").data.foreach_set("value", np.ascontiguousarray(edges.vertices).ravel())
        _attribute(mesh, ".corner_edge").data.foreach_set("value", np.ascontiguousarray(edges.of_corners).ravel())
    mesh.update(calc_edges=edges is None)
    return mesh


def set_positions(mesh: Mesh, vertices: NDArray) -> None:
    """Move the vertices (V, 3) of a mesh."""
    _attribute(mesh, "position").data.foreach_set("vector", np.ascontiguousarray(vertices, np.float32).ravel())


def positions(mesh: Mesh) -> NDArray[np.float32]:
    """Vertices (V, 3) of a mesh, in its object's space."""
    flat = np.empty(len(mesh.vertices) * 3, np.float32)
    _attribute(mesh, "position").data.foreach_get("vector", flat)
    return flat.reshape(-1, 3)


def triangles(mesh: Any) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Vertices and loops (T, 3) of the mesh's triangles."""
    mesh.calc_loop_triangles()
    found = np.empty((2, len(mesh.loop_triangles) * 3), np.int32)
    for name, flat in zip(("vertices", "loops"), found, strict=True):
        mesh.loop_triangles.foreach_get(name, flat)
    return found[0].reshape(-1, 3), found[1].reshape(-1, 3)


def set_point_attribute(mesh: Mesh, name: str, values: NDArray) -> bpy.types.Attribute:
    """A FLOAT point attribute (V,); one of the same name and kind is refilled, any other is left alone."""
    attribute = mesh.attributes.get(name)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type != "FLOAT":
        attribute = mesh.attributes.new(name, "FLOAT", "POINT")
    data: Any = attribute
    data.data.foreach_set("value", np.ascontiguousarray(values, np.float32))
    mesh.update()
    return attribute


def _attribute(mesh: Mesh, name: str) -> Any:
    """A built-in attribute; Blender makes them with the first vertex and the first corner."""
    return mesh.attributes[name]
