# SPDX-License-Identifier: GPL-3.0-or-later
"""Normal maps. OpenGL convention: red = right, green = up, blue = towards the viewer, 0..1 for -1..1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...inference.errors import BadInput
from .. import compat
from . import axes, image, materials, scene

if TYPE_CHECKING:
    from bpy.types import Image, NodeSocket, NodeTree, Object, ShaderNodeNormalMap

    from ...inference.results import NormalMap


def normal_image(name: str, normal_map: NormalMap, folder: str | Path | None = None, *, signed: bool = False) -> Image:
    """The normals as a Non-Color float image: colours 0..1 in the OpenGL convention, or, `signed`, the vectors
    themselves in Blender camera space. Pixels that are not valid face the viewer."""
    normals = axes.to_camera_space(normal_map.normals)
    normals = np.where(normal_map.valid[..., None], normals, np.array([0, 0, 1], np.float32))
    return image.float_image(name, normals if signed else normals * np.float32(0.5) + np.float32(0.5), folder)


def add_normal_map(
    obj: Object,
    normals: Image,
    *,
    strength: float = 1.0,
    camera_object: Object | None = None,
) -> ShaderNodeNormalMap:
    """Put an image of `normal_image` (colours 0..1) through a Normal Map node into the active material; all else stays.

    Without `camera_object` the normals are read in tangent space (for a flat surface that the photo shows straight on).
    With it they are camera-space normals, turned from that camera to the object as both stand now: right on a relief,
    and on what the photo is projected on.
    A normal that is already connected is averaged with the new one.
    Raises BadInput for a material without a shader that takes a normal.
    """
    material = materials.active_material(obj)
    tree = compat.node_tree_of(material)
    shader = materials.surface_shader(material, having="Normal")
    if shader is None:
        raise BadInput(
            f"The material {material.name} has no shader that takes a normal.",
            "Add a Principled BSDF to it, or choose another material.",
        )
    node: Any = materials.add_node(tree, "ShaderNodeNormalMap", shader, (-220, -260))
    node.inputs["Strength"].default_value = strength
    texture: Any = materials.add_image(tree, normals, node, None, offset=(-320, 0))
    texture.extension = "EXTEND"
    colour: Any = texture.outputs["Color"]
    if camera_object is not None:
        node.space = "OBJECT"
        colour = _turned(tree, texture, colour, obj, camera_object)
    materials.connect(tree, colour, node.inputs["Color"])
    target = shader.inputs["Normal"]
    if target.is_linked:
        total = materials.add_node(tree, "ShaderNodeVectorMath", shader, (-200, -160))
        total.operation = "ADD"  # shaders normalise what they get
        materials.insert_before(tree, target, total.inputs[0], total.outputs[0])
        materials.connect(tree, node.outputs["Normal"], total.inputs[1])
    else:
        materials.connect(tree, node.outputs["Normal"], target)
    return node


def _turned(tree: NodeTree, texture: Any, colour: NodeSocket, obj: Object, camera_object: Object) -> NodeSocket:
    """Nodes that turn colours from camera to object space; none where the two have the same axes."""
    scene.view_layer().update()
    between = (obj.matrix_world.to_quaternion().inverted() @ camera_object.matrix_world.to_quaternion()).normalized()
    if between.angle < 1e-4:
        return colour
    signed = materials.add_node(tree, "ShaderNodeVectorMath", texture, (0, -300))
    signed.operation = "MULTIPLY_ADD"
    signed.inputs[1].default_value, signed.inputs[2].default_value = (2, 2, 2), (-1, -1, -1)
    turn = materials.add_node(tree, "ShaderNodeMapping", texture, (180, -300))
    turn.vector_type = "VECTOR"
    turn.inputs["Rotation"].default_value = between.to_euler("XYZ")
    encoded = materials.add_node(tree, "ShaderNodeVectorMath", texture, (360, -300))
    encoded.operation = "MULTIPLY_ADD"
    encoded.inputs[1].default_value = encoded.inputs[2].default_value = (0.5, 0.5, 0.5)
    materials.connect(tree, colour, signed.inputs[0])
    materials.connect(tree, signed.outputs[0], turn.inputs["Vector"])
    materials.connect(tree, turn.outputs["Vector"], encoded.inputs[0])
    return encoded.outputs[0]
