# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh object as arrays for the worker: triangles, UV maps, attributes and vertex groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.errors import BadInput
from ...core import axes
from ...core.exchange import TexturedSurface
from ..camera import scene as scenes
from ..materials.graph import Graph
from . import meshes, projection

if TYPE_CHECKING:
    from bpy.types import Mesh, Object
    from numpy.typing import NDArray

    from ....inference.camera import Camera

#: Attribute types that are one number, and the property in which they hold it.
_NUMBERS = {"FLOAT": "value", "INT": "value", "INT8": "value", "BOOLEAN": "value"}
_COLOURS = {"FLOAT_COLOR": "color", "BYTE_COLOR": "color"}
#: Name under which a vertex group is read as an attribute.
_READ = "maquette_weights"


def surface_of(
    obj: Object, uv_name: str = "", *, camera: Camera | None = None, camera_object: Object | None = None
) -> TexturedSurface:
    """The triangles of an object's mesh, where its shape keys and modifiers put them, with a UV map, by default the one
    that renders. Raises BadInput where it is not a mesh or has no such UV map."""
    mesh = projection.mesh_of(obj)
    vertices, loops = meshes.triangles(mesh)
    corners = None
    if camera is not None and camera_object is not None:
        from_object = np.linalg.inv(axes.world_from_camera_of(camera_object)) @ np.array(obj.matrix_world, np.float64)
        corners = axes.transform(from_object, projection.seen_positions(obj))[vertices]
    return TexturedSurface(uvs_of(obj, uv_name)[loops], corners, camera)


def uvs_of(obj: Object, name: str = "") -> NDArray[np.float64]:
    """A UV map (L, 2) of a mesh, one place a face corner; "" stands for the one that renders. Raises BadInput."""
    mesh: Any = projection.mesh_of(obj)
    layer = mesh.uv_layers.get(name) if name else next((one for one in mesh.uv_layers if one.active_render), None)
    if layer is None:
        what = f"no UV map {name}" if name else "no UV map"
        raise BadInput(f"{obj.name} has {what}.", "Unwrap it, or choose another object.")
    flat = np.empty(len(mesh.loops) * 2, np.float32)
    layer.uv.foreach_get("vector", flat)
    return flat.reshape(-1, 2).astype(np.float64)


def triangle_uvs(obj: Object, name: str) -> NDArray[np.float64]:
    """The same by triangle (T, 3, 2)."""
    return uvs_of(obj, name)[meshes.triangles(projection.mesh_of(obj))[1]]


def attribute_values(obj: Object, name: str = "") -> NDArray[np.float32]:
    """An attribute as (T, 3), at the corners of the triangles; of colours, their mean. "" stands for the active one.
    Raises BadInput where there is none, or none of numbers."""
    mesh: Any = projection.mesh_of(obj)
    attribute = mesh.attributes.get(name) if name else mesh.attributes.active
    if attribute is None:
        raise BadInput(f"{obj.name} has no attribute {name!r}.", "Choose another attribute.")
    size = len(attribute.data)
    if attribute.data_type in _COLOURS:
        flat = np.empty(size * 4, np.float32)
        attribute.data.foreach_get("color", flat)
        values = flat.reshape(-1, 4)[:, :3].mean(1)
    elif attribute.data_type in _NUMBERS:
        kinds = {"BOOLEAN": np.bool_, "INT": np.int32, "INT8": np.int8}
        values = np.empty(size, kinds.get(attribute.data_type, np.float32))
        attribute.data.foreach_get("value", values)
    else:
        raise BadInput(f"The attribute {attribute.name} is not numeric.", "Choose one of type Float, Boolean or Color.")
    values = np.asarray(values, np.float32)
    if attribute.domain == "EDGE":
        return _at_corners(mesh, values)[_elements(mesh, "CORNER")]
    return values[_elements(mesh, attribute.domain)]


def _at_corners(mesh: Mesh, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """From edges to face corners (L,): the mean of the two edges of the face that meet there, as Blender does it."""
    edges, starts, totals = (
        np.empty(len(elements), np.int32) for elements in (mesh.loops, mesh.polygons, mesh.polygons)
    )
    mesh.loops.foreach_get("edge_index", edges)
    mesh.polygons.foreach_get("loop_start", starts)
    mesh.polygons.foreach_get("loop_total", totals)
    before = np.arange(len(edges)) - 1
    before[starts] = starts + totals - 1
    return (values[edges] + values[edges[before]]) / 2


def group_values(obj: Object, name: str = "") -> NDArray[np.float32]:
    """The weights of a vertex group as (T, 3). "" stands for the active one. Raises BadInput where there is none."""
    mesh = projection.mesh_of(obj)
    group = obj.vertex_groups.get(name) if name else obj.vertex_groups.active
    if group is None:
        raise BadInput(f"{obj.name} has no vertex group {name!r}.", "Choose another vertex group.")
    return _weights(mesh, group.name)[meshes.triangles(mesh)[0]]


def _weights(mesh: Mesh, name: str) -> NDArray[np.float32]:
    """(V,) weights of a vertex group. Blender gives them to scripts vertex by vertex only, but to Geometry Nodes at
    once: an object that is there for this alone stores them as an attribute."""
    graph = Graph(_READ)
    holder = bpy.data.objects.new(_READ, mesh)
    try:
        named = graph.node("GeometryNodeInputNamedAttribute", name, data_type="FLOAT")
        graph.store(_READ, "POINT", "FLOAT", graph.out(named))
        modifier: Any = holder.modifiers.new(_READ, "NODES")
        modifier.node_group = graph.finish()
        scenes.link(holder, None)
        context: Any = bpy.context
        shown: Any = holder.evaluated_get(context.evaluated_depsgraph_get()).data
        weights = np.empty(len(shown.vertices), np.float32)
        shown.attributes[_READ].data.foreach_get("value", weights)
    finally:
        bpy.data.objects.remove(holder)
        bpy.data.node_groups.remove(graph.tree)
    return weights


def _elements(mesh: Any, domain: str) -> NDArray[np.int32]:
    """(T, 3) the element of a domain that each corner of the triangles belongs to."""
    vertices, loops = meshes.triangles(mesh)
    if domain == "CORNER":
        return loops
    if domain == "POINT":
        return vertices
    if domain == "FACE":
        faces = np.empty(len(mesh.loop_triangles), np.int32)
        mesh.loop_triangles.foreach_get("polygon_index", faces)
        return np.repeat(faces[:, None], 3, 1)
    raise BadInput(
        f"Attributes on the {domain.lower()} domain cannot mask a surface.", "Choose one on points or faces."
    )
