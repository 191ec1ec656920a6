# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks as texture paint: a layer in the material behind a Mix node, and the stencil."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bpy.types import Image, Material, Mesh, Object, Scene, ShaderNodeTexImage

from ....inference.camera import Camera
from ....inference.errors import BadInput
from ...core import compat, transaction
from ..surfaces.projection import mesh_of, project_uvs
from . import materials
from .paint_layers import mix_sockets

#: Room that a node takes in the node editor, about.
_NODE_SIZE = (150.0, 200.0)


def add_mask_layer(
    obj: Object,
    mask_image: Image,
    colour: Sequence[float] = (0.8, 0.1, 0.05, 1.0),
    *,
    camera: Camera | None = None,
    camera_object: Object | None = None,
    seen_only: bool = False,
) -> ShaderNodeTexImage:
    """Add the mask as a texture paint slot of the active material: colour shows where the mask is white, as strongly as
    the colour's alpha says.

    Every node of the material survives: what fed the base colour becomes the lower input of a Mix node whose factor is
    the mask. Works on an object without material, with an empty slot, and on an output that no Principled BSDF feeds
    (there a Mix Shader lays the colour over whatever shader there is). With `camera` and `camera_object` the mask is
    projected onto the object from there through a UV map of its own, with `seen_only` onto no face that the object
    itself wholly hides; otherwise the active UV map is used.
    Returns the mask's Image Texture node, selected as the paint slot. Raises BadInput for an object that is not a mesh,
    and for one without UV map where no camera is given.
    """
    check_mapping(obj, mesh_of(obj), projected=camera is not None)
    material = materials.active_material(obj)
    tree = compat.node_tree_of(material)
    before = {node.name for node in tree.nodes}
    shader = materials.surface_shader(material, ("BSDF_PRINCIPLED",))
    if shader is not None:
        texture = _mix_colour(material, shader, mask_image, colour)
    else:
        texture = _mix_shader(material, mask_image, colour)
    if camera is not None and camera_object is not None:
        project_texture(tree, texture, obj, camera, camera_object, seen_only=seen_only)
    texture.extension = "CLIP"  # black outside the picture
    make_room(tree, before)
    for node in tree.nodes:
        node.select = node == texture
    tree.nodes.active = texture  # texture painting takes the active image node as its slot
    return texture


def project_texture(
    tree: Any, texture: Any, obj: Object, camera: Camera, camera_object: Object, *, seen_only: bool = False
) -> None:
    """Have an Image Texture node read through a UV map of its own, projected from a camera (see `project_uvs`)."""
    uv: Any = materials.add_node(tree, "ShaderNodeUVMap", texture, (-200, -60))
    name = f"{camera_object.name}.seen.uv" if seen_only else f"{camera_object.name}.uv"
    uv.uv_map = project_uvs(obj, camera, camera_object, name, seen_only=seen_only)
    materials.connect(tree, uv.outputs["UV"], texture.inputs["Vector"])


def check_mapping(obj: Object, mesh: Mesh, *, projected: bool) -> None:
    """Raise BadInput where a picture cannot be laid on the mesh: through its active UV map, or a projected one."""
    if not projected and not mesh.uv_layers:
        raise BadInput(
            f"{obj.name} has no UV map for the mask.", "Unwrap it, or project the mask from the photo's camera."
        )
    if not mesh.polygons:
        raise BadInput(f"{obj.name} has no faces to show the mask on.", "Choose a mesh with faces.")


def set_stencil(
    scene: Scene,
    image: Image,
    obj: Object | None = None,
    *,
    camera: Camera | None = None,
    camera_object: Object | None = None,
) -> None:
    """Make the image the stencil of texture painting: strokes reach only where the mask is white.

    With an object it lies on its active UV map; with `camera` and `camera_object` too it is projected onto the object
    from there, through its own UV map. Raises BadInput for an object without UV map where no camera is given.
    """
    paint: Any = scene.tool_settings.image_paint
    # Blender's stencil blocks white; ours lets white through.
    transaction.change(paint, stencil_image=image, use_stencil_layer=True, invert_stencil=True)
    if obj is None:
        return
    mesh: Any = mesh_of(obj)
    check_mapping(obj, mesh, projected=camera is not None)
    if camera is not None and camera_object is not None:
        mesh.uv_layer_stencil = mesh.uv_layers[project_uvs(obj, camera, camera_object, f"{camera_object.name}.uv")]
    else:
        mesh.uv_layer_stencil = mesh.uv_layers.active


def _mix_colour(material: Material, shader: Any, mask: Image, colour: Sequence[float]) -> Any:
    """Put a Mix node between a Principled BSDF and what feeds its base colour."""
    tree = compat.node_tree_of(material)
    target = shader.inputs["Base Color"]
    mix: Any = materials.add_node(tree, "ShaderNodeMix", shader, (-220, 160))
    mix.data_type = "RGBA"
    mix.label = mask.name
    factor, below, above, result = mix_sockets(mix)
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


def make_room(tree: Any, before: set[str]) -> None:
    """Move the new nodes up together until none of them lies on a node that was there `before`."""
    old = [node for node in tree.nodes if node.name in before]
    new = [node for node in tree.nodes if node.name not in before]

    def overlap() -> bool:
        return any(
            abs(a.location[0] - b.location[0]) < _NODE_SIZE[0] and abs(a.location[1] - b.location[1]) < _NODE_SIZE[1]
            for a in new
            for b in old
        )

    while overlap():
        for node in new:
            node.location[1] += _NODE_SIZE[1]
