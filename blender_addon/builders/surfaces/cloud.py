# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud of coloured points: a mesh of vertices, which Geometry Nodes show as points that render."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Material, Object
from numpy.typing import NDArray

from ...core import compat
from ..camera import scene as scenes
from ..materials import materials
from ..materials.graph import Graph
from . import meshes

#: Colour attribute of the points.
COLOUR = "Col"


def point_cloud(
    name: str,
    points: NDArray[np.float32],
    colours: NDArray[np.uint8],
    attributes: Mapping[str, NDArray],
    *,
    radius: float,
    parent: Collection | None = None,
) -> Object:
    """Vertices at points (P, 3) with colours (P, 3) sRGB and float attributes (P,), as points of this radius."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(points))
    meshes.set_positions(mesh, points)
    layer: Any = mesh.color_attributes.new(COLOUR, "BYTE_COLOR", "POINT")
    values = np.ones((len(points), 4), np.float32)
    values[:, :3] = colours / np.float32(255)
    layer.data.foreach_set("color_srgb", values.ravel())
    for key, numbers in attributes.items():
        meshes.set_point_attribute(mesh, key, numbers)
    material = _material(name)
    mesh.materials.append(material)
    obj = bpy.data.objects.new(name, mesh)
    graph = Graph(name)
    size = graph.input("Radius", "Float", radius, "Radius of the points", subtype="DISTANCE", min_value=0.0)
    made = graph.node("GeometryNodeMeshToPoints", graph.flow)
    graph.link(size, made.inputs["Radius"])
    dressed = graph.node("GeometryNodeSetMaterial", graph.out(made))
    dressed.inputs["Material"].default_value = material
    graph.flow = graph.out(dressed)
    modifier: Any = obj.modifiers.new("Points", "NODES")
    modifier.node_group = graph.finish()
    scenes.link(obj, parent)
    return obj


def _material(name: str) -> Material:
    """Matt, in the points' own colours."""
    material = bpy.data.materials.new(name)
    shader = materials.principled(material)
    shader.inputs["Roughness"].default_value = 0.9
    tree = compat.node_tree_of(material)
    colour = materials.add_node(tree, "ShaderNodeAttribute", shader, (-320, 0))
    colour.attribute_name = COLOUR
    materials.connect(tree, colour.outputs["Color"], shader.inputs["Base Color"])
    return material
