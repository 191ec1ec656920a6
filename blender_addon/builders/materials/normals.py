# SPDX-License-Identifier: GPL-3.0-or-later
"""Normal maps. OpenGL convention: red = right, green = up, blue = towards the viewer, 0..1 for -1..1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....inference.errors import BadInput
from ...core import axes, compat
from ..camera import scene
from ..images import image
from ..surfaces import projection
from . import materials, paint

if TYPE_CHECKING:
    from bpy.types import Image, Material, NodeSocket, NodeTree, Object, ShaderNodeNormalMap

    from ....inference.camera import Camera
    from ....inference.results import NormalMap

#: Where the new nodes stand, from the shader.
_BELOW = (-420, -260)


def normal_image(
    name: str,
    normal_map: NormalMap | Path,
    folder: str | Path | None = None,
    *,
    signed: bool = False,
    green_down: bool = False,
) -> Image:
    """The normals as a Non-Color float image: `axes.normal_colours`, or, `signed`, the vectors themselves.
    Instead of the normals, the OpenEXR file of their colours that a worker has written."""
    if isinstance(normal_map, Path):
        return image.float_image(name, normal_map, folder)
    if signed:
        return image.float_image(name, axes.normal_vectors(normal_map), folder)
    values = axes.normal_colours(normal_map, green_down=green_down)
    return image.float_image(name, values, folder)


def add_normal_map(
    obj: Object,
    normals: Image,
    *,
    strength: float = 1.0,
    camera_object: Object | None = None,
    camera: Camera | None = None,
) -> ShaderNodeNormalMap:
    """Put an image of `normal_image` (colours 0..1) through a Normal Map node into the active material; all else stays.

    Without `camera_object` the normals are read in tangent space, through the active UV map: for a flat surface that
    the photo shows straight on. With it they are camera-space normals, turned from that camera to the object as both
    stand now: right on a relief, and on what the photo is projected on, and still right when the object is moved.
    With `camera`, the photo's intrinsics, too, the image is projected onto the object from there through a UV map of
    its own; otherwise the active UV map has to show the photo.

    Every shader before the output that takes a normal gets it. What is connected there already stays in effect: a Bump
    node without a normal of its own lies on top, any other normal adds its own departure from the surface.
    Raises BadInput for a material without a shader that takes a normal, and for a mesh without a UV map to read by.
    """
    projection.mesh_of(obj)
    check_mapping(obj, projected=camera is not None)
    material = materials.active_material(obj)
    tree = compat.node_tree_of(material)
    targets = _normal_sockets(material)
    shader = targets[0].node
    node: Any = materials.add_node(tree, "ShaderNodeNormalMap", shader, _BELOW)
    node.inputs["Strength"].default_value = strength
    texture: Any = materials.add_image(tree, normals, node, None, offset=(-320, 0))
    texture.extension = "EXTEND"
    colour: Any = texture.outputs["Color"]
    if camera_object is not None:
        node.space = "OBJECT"
        colour = _turned(tree, texture, colour, obj, camera_object)
        if camera is not None:
            paint.project_texture(tree, texture, obj, camera, camera_object)
    materials.connect(tree, colour, node.inputs["Color"])
    _feed(tree, node.outputs["Normal"], targets)
    return node


def check_mapping(obj: Object, *, projected: bool) -> None:
    """Raise BadInput where the mesh has no UV map that an image could lie on it by."""
    mesh: Any = obj.data
    if not projected and not mesh.uv_layers:
        raise BadInput(
            f"{obj.name} has no UV map for the normal map.",
            "Unwrap it, or choose the space Photo's Camera.",
        )


def _normal_sockets(material: Material) -> list[Any]:
    """The input "Normal" of every shader before the output, nearest first. Raises BadInput where none has one."""
    nodes = list(materials.shaders_before(materials.material_output(material)))
    found = [node.inputs["Normal"] for node in nodes if "Normal" in node.inputs]
    if found:
        return found
    groups = [node.node_tree.name for node in nodes if node.type == "GROUP" and node.node_tree is not None]
    if groups:
        raise BadInput(
            f"The shader of {material.name} is in the node group {groups[0]}, which has no Normal input.",
            "Add an input called Normal to the group, or choose another material.",
        )
    raise BadInput(
        f"No shader of the material {material.name} has a Normal input.",
        "Add a Principled BSDF to it, or choose another material.",
    )


def _feed(tree: NodeTree, normal: NodeSocket, targets: list[Any]) -> None:
    """Lead the normal to the targets, once for all those that one socket feeds now."""
    fed: dict[Any, Any] = {}
    for target in targets:
        if not target.is_linked:
            materials.connect(tree, normal, target)
            continue
        before = target.links[0].from_socket
        key = before.node.name, before.identifier
        if key not in fed:
            bump = before.node if before.node.type == "BUMP" and not before.node.inputs["Normal"].is_linked else None
            if bump is not None:
                materials.connect(tree, normal, bump.inputs["Normal"])
            fed[key] = before if bump is not None else _combined(tree, before, normal, target.node)
        if fed[key] != before:
            materials.connect(tree, fed[key], target)


def _combined(tree: NodeTree, before: NodeSocket, normal: NodeSocket, shader: Any) -> NodeSocket:
    """before + normal - the surface's own normal, of length 1: where one of the two is flat, this is the other."""
    surface = materials.add_node(tree, "ShaderNodeNewGeometry", shader, (-420, -480)).outputs["Normal"]
    total = _vector(tree, "ADD", (before, normal), shader, (-200, -160))
    less = _vector(tree, "SUBTRACT", (total, surface), shader, (-200, -320))
    return _vector(tree, "NORMALIZE", (less,), shader, (-200, -480))


def _vector(tree: NodeTree, operation: str, inputs: tuple, beside: Any, offset: tuple[float, float]) -> NodeSocket:
    """The result of a Vector Math node. inputs : sockets to link, or values."""
    node = materials.add_node(tree, "ShaderNodeVectorMath", beside, offset)
    node.operation = operation
    for socket, value in zip(node.inputs, inputs, strict=False):
        if isinstance(value, tuple):
            socket.default_value = value
        else:
            materials.connect(tree, value, socket)
    return node.outputs[0]


def _turned(tree: NodeTree, texture: Any, colour: NodeSocket, obj: Object, camera_object: Object) -> NodeSocket:
    """Nodes that turn colours from camera to object space; none where the two have the same axes.

    Normals go from the object to the world by the inverse transpose of its matrix, so back by the transpose: turned
    into its axes, then multiplied by its scale, which the Normal Map node takes back.
    """
    scene.view_layer().update()
    matrix: Any = obj.matrix_world
    scale = tuple(matrix.to_scale())
    between = (matrix.to_quaternion().inverted() @ camera_object.matrix_world.to_quaternion()).normalized()
    same_axes = between.angle < 1e-4
    uniform = max(scale) - min(scale) < 1e-4 * max(map(abs, scale)) and min(scale) > 0
    if same_axes and uniform:
        return colour
    signed = _vector(tree, "MULTIPLY_ADD", (colour, (2, 2, 2), (-1, -1, -1)), texture, (0, -300))
    mapping = materials.add_node(tree, "ShaderNodeMapping", texture, (180, -300))
    mapping.vector_type = "VECTOR"
    mapping.inputs["Rotation"].default_value = between.to_euler("XYZ")
    materials.connect(tree, signed, mapping.inputs["Vector"])
    stretch = (1, 1, 1) if uniform else scale
    stretched = _vector(tree, "MULTIPLY", (mapping.outputs["Vector"], stretch), texture, (360, -300))
    return _vector(tree, "MULTIPLY_ADD", (stretched, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), texture, (540, -300))
