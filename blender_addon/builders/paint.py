# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks as texture paint: a layer in the material behind a Mix node, and the stencil."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...inference.errors import BadInput
from .. import compat
from . import axes, materials, meshes, transaction

if TYPE_CHECKING:
    from bpy.types import Image, Material, Mesh, Object, Scene, ShaderNodeTexImage
    from numpy.typing import NDArray

    from ...inference.camera import Camera

#: Where vertices behind the camera land in a projected UV map: far outside the picture, so that no mask reaches them.
_OUTSIDE = -10.0


def add_mask_layer(
    obj: Object,
    mask_image: Image,
    colour: Sequence[float] = (0.8, 0.1, 0.05, 1.0),
    *,
    camera: Camera | None = None,
    camera_object: Object | None = None,
) -> ShaderNodeTexImage:
    """Add the mask as a texture paint slot of the active material: colour shows where the mask is white, as strongly as
    the colour's alpha says.

    Every node of the material survives: what fed the base colour becomes the lower input of a Mix node whose factor is
    the mask. Works on an object without material, with an empty slot, and on an output that no Principled BSDF feeds
    (there a Mix Shader lays the colour over whatever shader there is). With `camera` and `camera_object` the mask is
    projected onto the object from there through a UV map of its own; otherwise the active UV map is used.
    Returns the mask's Image Texture node, selected as the paint slot. Raises BadInput for an object that is no mesh,
    and for one without UV map where no camera is given.
    """
    mesh = mesh_of(obj)
    if camera is None and not mesh.uv_layers:
        raise BadInput(
            f"{obj.name} has no UV map to lay the mask on.", "Unwrap it, or project the mask from the camera."
        )
    material = materials.active_material(obj)
    tree = compat.node_tree_of(material)
    shader = materials.surface_shader(material, ("BSDF_PRINCIPLED",))
    if shader is not None:
        texture = _mix_colour(material, shader, mask_image, colour)
    else:
        texture = _mix_shader(material, mask_image, colour)
    if camera is not None and camera_object is not None:
        uv: Any = materials.add_node(tree, "ShaderNodeUVMap", texture, (-200, -60))
        uv.uv_map = project_uvs(obj, camera, camera_object, f"{camera_object.name}.uv")
        materials.connect(tree, uv.outputs["UV"], texture.inputs["Vector"])
    texture.extension = "CLIP"  # black outside the picture
    for node in tree.nodes:
        node.select = node == texture
    tree.nodes.active = texture  # texture painting takes the active image node as its slot
    return texture


def set_stencil(
    scene: Scene,
    image: Image,
    obj: Object | None = None,
    *,
    camera: Camera | None = None,
    camera_object: Object | None = None,
) -> None:
    """Make the image the stencil of texture painting: strokes reach only where the mask is white.

    With an object, `camera` and `camera_object` it is projected onto the object from there, through its own UV map.
    """
    paint: Any = scene.tool_settings.image_paint
    before = (paint.stencil_image, paint.use_stencil_layer, paint.invert_stencil)

    def restore() -> None:
        paint.stencil_image, paint.use_stencil_layer, paint.invert_stencil = before

    transaction.on_failure(restore)
    paint.stencil_image = image
    paint.use_stencil_layer = True
    paint.invert_stencil = True  # Blender's stencil blocks white; ours lets white through
    if obj is not None and camera is not None and camera_object is not None:
        mesh = mesh_of(obj)
        mesh.uv_layer_stencil = mesh.uv_layers[project_uvs(obj, camera, camera_object, f"{camera_object.name}.uv")]


def project_uvs(obj: Object, camera: Camera, camera_object: Object, name: str = "photo") -> str:
    """A UV map of the photo, projected from its camera onto the object as it stands; returns the map's name.

    A map of this name is projected anew. Which map is active, for editing and for rendering, does not change.
    """
    mesh = mesh_of(obj)
    pixels, in_front = project_vertices(obj, camera, camera_object)
    uvs = np.full(pixels.shape, _OUTSIDE, np.float32)
    uvs[in_front] = pixels[in_front] / [camera.width, camera.height]
    uvs[in_front, 1] = 1 - uvs[in_front, 1]
    layer = mesh.uv_layers.get(name) or mesh.uv_layers.new(name=name, do_init=False)
    if layer is None:
        raise BadInput(f"{obj.name} has no room for another UV map.", "Remove one of its UV maps.")
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)  # type: ignore[arg-type]
    layer.uv.foreach_set("vector", uvs[corners].ravel())
    mesh.update()
    return layer.name


def project_vertices(obj: Object, camera: Camera, camera_object: Object) -> tuple[NDArray, NDArray[np.bool_]]:
    """Pixels (V, 2) in the photo of a mesh's vertices as they stand, and which (V,) lie in front of the camera."""
    world = np.array(obj.matrix_world, np.float64)
    from_world = np.linalg.inv(axes.world_from_camera_of(camera_object))
    points = axes.transform(from_world @ world, meshes.positions(mesh_of(obj)))
    in_front = points[:, 2] > 1e-6
    pixels = np.zeros((len(points), 2))
    pixels[in_front] = camera.project(points[in_front])
    return pixels, in_front


def mesh_of(obj: Object) -> Mesh:
    """The object's mesh. Raises BadInput where it has none, or is being edited (its mesh is elsewhere then)."""
    mesh: Any = obj.data
    if obj.type != "MESH" or mesh is None:
        raise BadInput(f"{obj.name} is no mesh.", "Choose a mesh object.")
    if obj.mode == "EDIT":
        raise BadInput(f"{obj.name} is in Edit Mode.", "Leave Edit Mode and try again.")
    return mesh


def _mix_colour(material: Material, shader: Any, mask: Image, colour: Sequence[float]) -> Any:
    """Put a Mix node between a Principled BSDF and what feeds its base colour."""
    tree = compat.node_tree_of(material)
    target = shader.inputs["Base Color"]
    mix: Any = materials.add_node(tree, "ShaderNodeMix", shader, (-220, 160))
    mix.data_type = "RGBA"
    mix.label = mask.name
    # The node has inputs A and B for each data type; those that show are the colours.
    factor, below, above = (
        next(s for s in mix.inputs if s.enabled and s.name == name) for name in ("Factor", "A", "B")
    )
    result = next(socket for socket in mix.outputs if socket.enabled)
    texture = materials.add_image(tree, mask, mix, None, offset=(-320, 120))
    above.default_value = colour
    materials.insert_before(tree, target, below, result)
    _connect_mask(tree, texture, factor, colour[3])
    return texture


def _connect_mask(tree: Any, texture: Any, factor: Any, opacity: float) -> None:
    """Let the mask drive the factor, weakened by a Multiply node where the layer is not opaque."""
    mask = texture.outputs["Color"]
    if opacity < 1:
        multiply: Any = materials.add_node(tree, "ShaderNodeMath", texture, (200, -120))
        multiply.operation, multiply.label = "MULTIPLY", "Opacity"
        multiply.inputs[1].default_value = opacity
        materials.connect(tree, mask, multiply.inputs[0])
        mask = multiply.outputs["Value"]
    materials.connect(tree, mask, factor)


def _mix_shader(material: Material, mask: Image, colour: Sequence[float]) -> Any:
    """Lay a Principled BSDF of the colour over whatever shader feeds the output."""
    tree = compat.node_tree_of(material)
    output = materials.material_output(material)
    mix = materials.add_node(tree, "ShaderNodeMixShader", output, (-200, 160))
    mix.label = mask.name
    above = materials.add_node(tree, "ShaderNodeBsdfPrincipled", mix, (-300, 160))
    above.inputs["Base Color"].default_value = colour
    texture = materials.add_image(tree, mask, mix, None, offset=(-320, 480))
    materials.insert_before(tree, output.inputs["Surface"], mix.inputs[1], mix.outputs[0])
    materials.connect(tree, above.outputs["BSDF"], mix.inputs[2])
    _connect_mask(tree, texture, mix.inputs[0], colour[3])
    return texture
