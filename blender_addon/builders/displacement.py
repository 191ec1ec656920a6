# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth and height as displacement: a grid with a modifier, or a Displacement node in the material."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix

from ...inference.errors import BadInput, NothingFound
from ...inference.mesh.surface import Samples, compact
from .. import compat
from . import axes, camera, materials, meshes, scene, transaction

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Material, Object, ShaderNodeDisplacement
    from numpy.typing import NDArray

    from ...inference.results import DepthMap

METHODS = ("DISPLACE", "NODES")

#: Height of a surface relief where none is asked for, as a part of the grid's width.
_RELIEF_HEIGHT = 0.05


def displaced_grid(
    depth_map: DepthMap,
    depth_image: Image,
    *,
    name: str,
    camera_object: Object | None = None,
    photo_image: Image | None = None,
    method: str = "DISPLACE",
    resolution: int = 512,
    width: float = 2.0,
    strength: float | None = None,
    parent: Collection | None = None,
) -> Object:
    """A grid with the photo's shape that `depth_image` displaces live, mid-level 0.

    Metric depth: a child of `camera_object`, pushed along the view by metres (strength 1). "DISPLACE" (the Displace
    modifier) pushes all points in parallel, the grid being as wide as the view is at the median depth: right at that
    depth, stretched before and behind it. "NODES" (Geometry Nodes) pushes each point along its own ray: exact.
    Relief (not metric): a flat grid `width` metres wide on the ground, lifted by height x `strength` metres, by default
    a twentieth of the width.

    resolution : vertices along the long side.  Faces that touch invalid pixels are left out.
    parent : collection of the object, by default the scene's own.

    Raises BadInput for an unknown method, NothingFound for a depth map without a valid face.
    """
    if method not in METHODS:
        raise BadInput(f"There is no displacement method {method!r}.", f"Choose one of {', '.join(METHODS)}.")
    rows, columns = depth_map.depth.shape
    samples = Samples.of(rows, columns, resolution)
    valid = samples.take(depth_map.valid)
    kept = valid[:-1, :-1] & valid[1:, :-1] & valid[1:, 1:] & valid[:-1, 1:]
    if not kept.any():
        raise NothingFound("The depth map holds no surface.", "Choose another photo.")
    used, faces = compact(samples.corners()[kept], valid.size)
    if depth_map.metric:
        rest = _view_grid(depth_map, samples, along_rays=method == "NODES")
    else:
        rest = _ground_grid(depth_map, samples, width)
    mesh = meshes.new_mesh(name, rest.reshape(-1, 3)[used], faces, samples.uvs(rows, columns).reshape(-1, 2)[used])
    if photo_image is not None:
        mesh.materials.append(materials.photo_material(name, photo_image))
    obj = bpy.data.objects.new(name, mesh)
    if depth_map.metric:
        camera.adopt(obj, camera_object)
        turned = Matrix(axes.CAMERA_FLIP.tolist())  # the grid's own axes are the photo's: z runs along the view
        obj.matrix_basis = obj.matrix_basis @ turned
    amount = strength if strength is not None else 1.0 if depth_map.metric else _RELIEF_HEIGHT * width
    if depth_map.metric and method == "NODES":
        _add_view_nodes(obj, depth_image, amount)
    else:
        _add_displace(obj, depth_image, amount, smooth=not depth_map.metric)
    scene.link(obj, parent)
    return obj


def displace_material(
    material: Material,
    height_image: Image,
    *,
    scale: float = 1.0,
    midlevel: float = 0.0,
    space: str = "OBJECT",
) -> ShaderNodeDisplacement:
    """Add Image Texture -> Displacement to the material's output; every node and link that is there stays.

    An existing displacement is added to, not replaced. Sets the material to bump and displacement.
    scale : metres (in `space`, "OBJECT" or "WORLD") for each unit of the image.
    midlevel : the value that stays in place.
    """
    tree = compat.node_tree_of(material)
    output = materials.material_output(material)
    node = materials.add_node(tree, "ShaderNodeDisplacement", output, (-200, -180))
    node.space = space
    node.inputs["Scale"].default_value = scale
    node.inputs["Midlevel"].default_value = midlevel
    texture = materials.add_image(tree, height_image, node, "Height", offset=(-320, 0))
    texture.extension = "EXTEND"
    target = output.inputs["Displacement"]
    if target.is_linked:
        total = materials.add_node(tree, "ShaderNodeVectorMath", output, (-200, -40))
        total.operation = "ADD"
        materials.insert_before(tree, target, total.inputs[0], total.outputs[0])
        materials.connect(tree, node.outputs[0], total.inputs[1])
    else:
        materials.connect(tree, node.outputs[0], target)
    method = material.displacement_method
    transaction.on_failure(lambda: setattr(material, "displacement_method", method))
    material.displacement_method = "BOTH"
    return node


def adaptive_subdivision(obj: Object, *, pixels: float = 1.0) -> None:
    """Let Cycles subdivide the object as finely as the render needs (adds a Subdivision Surface modifier, last)."""
    modifier: Any = obj.modifiers.new("Adaptive Subdivision", "SUBSURF")
    modifier.subdivision_type = "SIMPLE"
    modifier.levels = 0
    modifier.render_levels = 2  # what Eevee renders; Cycles dices by itself
    compat.set_adaptive_subdivision(obj, modifier, scene.current(), pixels)


def _view_grid(depth_map: DepthMap, samples: Samples, *, along_rays: bool) -> NDArray[np.float32]:
    """(R, C, 3) in the photo's axes: the rays' ends at 1 m, or the frame of the view at the median depth, at z = 0."""
    intrinsics = depth_map.camera
    points = np.empty((len(samples.rows), len(samples.columns), 3), np.float32)
    points[..., 0] = (samples.columns + 0.5 - intrinsics.cx) / intrinsics.fx
    points[..., 1] = ((samples.rows + 0.5 - intrinsics.cy) / intrinsics.fy)[:, None]
    points[..., 2] = 1.0 if along_rays else 0.0
    return points if along_rays else points * np.float32(np.median(depth_map.depth[depth_map.valid]))


def _ground_grid(depth_map: DepthMap, samples: Samples, width: float) -> NDArray[np.float32]:
    """(R, C, 3): flat on the ground around the origin, the picture's top towards +y."""
    rows, columns = depth_map.depth.shape
    points = np.zeros((len(samples.rows), len(samples.columns), 3), np.float32)
    points[..., 0] = ((samples.columns + 0.5) / columns - 0.5) * width
    points[..., 1] = (0.5 - (samples.rows + 0.5) / rows)[:, None] * width * rows / columns
    return points


def _add_displace(obj: Object, image: Image, strength: float, *, smooth: bool) -> None:
    texture: Any = bpy.data.textures.new(image.name, "IMAGE")
    texture.image = image
    texture.extension = "EXTEND"
    texture.use_interpolation = smooth  # metric depth is never mixed across an edge
    modifier: Any = obj.modifiers.new("Displace", "DISPLACE")
    modifier.texture = texture
    modifier.texture_coords = "UV"
    modifier.direction = "Z"
    modifier.mid_level = 0.0
    modifier.strength = strength


def _add_view_nodes(obj: Object, image: Image, strength: float) -> None:
    """Geometry Nodes that multiply each vertex, a ray's end at 1 m, by its pixel's depth."""
    tree: Any = bpy.data.node_groups.new(f"{obj.name}.along view", "GeometryNodeTree")  # type: ignore[arg-type]
    tree.is_modifier = True
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    scale = tree.interface.new_socket("Scale", in_out="INPUT", socket_type="NodeSocketFloat")
    scale.default_value = strength
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")

    def node(kind: str, column: int, row: int = 0) -> Any:
        made = tree.nodes.new(kind)
        made.location = (220 * column, -200 * row)
        return made

    inputs, output = node("NodeGroupInput", 0), node("NodeGroupOutput", 6)
    uv = node("GeometryNodeInputNamedAttribute", 0, 2)
    uv.data_type = "FLOAT_VECTOR"
    uv.inputs["Name"].default_value = "UVMap"
    texture = node("GeometryNodeImageTexture", 1, 2)
    texture.inputs["Image"].default_value = image
    texture.interpolation, texture.extension = "Closest", "EXTEND"
    red = node("FunctionNodeSeparateColor", 2, 2)
    depth, along = node("ShaderNodeMath", 3, 2), node("ShaderNodeVectorMath", 4, 1)
    depth.operation, along.operation = "MULTIPLY", "SCALE"
    position, move = node("GeometryNodeInputPosition", 3, 1), node("GeometryNodeSetPosition", 5)
    for source, target in (
        (uv.outputs["Attribute"], texture.inputs["Vector"]),
        (texture.outputs["Color"], red.inputs[0]),
        (red.outputs[0], depth.inputs[0]),
        (inputs.outputs["Scale"], depth.inputs[1]),
        (position.outputs[0], along.inputs[0]),
        (depth.outputs[0], along.inputs["Scale"]),
        (inputs.outputs["Geometry"], move.inputs["Geometry"]),
        (along.outputs["Vector"], move.inputs["Position"]),
        (move.outputs["Geometry"], output.inputs["Geometry"]),
    ):
        tree.links.new(source, target)
    modifier: Any = obj.modifiers.new("Displace Along View", "NODES")
    modifier.node_group = tree
