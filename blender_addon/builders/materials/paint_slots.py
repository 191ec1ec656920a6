# SPDX-License-Identifier: GPL-3.0-or-later
"""The texture that an object is being painted on, and a new layer above it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bpy.types import Image, Material, Object, Scene

from ....inference.camera import Camera
from ....inference.errors import BadInput
from ...core import compat, transaction
from . import materials
from .paint import add_mask_layer, make_room
from .paint_layers import LAYER, mix_sockets, trees_of


@dataclass(frozen=True)
class Slot:
    """A texture of a material. node : its Image Texture node in `tree`; both None for the canvas of a whole scene."""

    image: Image
    tree: Any = None
    node: Any = None


def active_slot(obj: Object | None, scene: Scene) -> Slot:
    """The texture that painting would reach: the scene's canvas in Single Image mode, else the active image node of the
    active material, else that of its paint slot. Raises BadInput where there is none."""
    paint: Any = scene.tool_settings.image_paint
    material = obj.active_material if obj is not None else None
    if paint.mode == "IMAGE" and paint.canvas is not None:
        return slot_of(material, paint.canvas) or Slot(paint.canvas)
    choose = "Select a mesh object whose material has an image texture."
    if obj is None or material is None:
        raise BadInput("There is no paint slot: the active object has no material.", choose)
    slots = list(_textures(compat.node_tree_of(material)))
    tree: Any = compat.node_tree_of(material)
    for slot in slots:
        if slot.tree == tree and slot.node == tree.nodes.active:
            return slot
    listed = material.texture_paint_images
    if len(listed) > material.paint_active_slot and listed[material.paint_active_slot] is not None:
        found = slot_of(material, listed[material.paint_active_slot])
        if found is not None:
            return found
    if not slots:
        raise BadInput(f"The material {material.name} has no image texture to paint on.", choose)
    return slots[0]


def slot_of(material: Material | None, image: Image) -> Slot | None:
    """The slot of a material that shows this image."""
    if material is None:
        return None
    return next((slot for slot in _textures(compat.node_tree_of(material)) if slot.image == image), None)


def add_layer_above(slot: Slot, image: Image) -> Any:
    """Lay an image over a texture, through the same UV map and with the same wrapping: everything that read the
    texture's colour reads a Mix node, which has the texture below and the image above.

    The new Image Texture node becomes the active paint slot. Returns the Mix node; its factor shows the layer.
    """
    tree, below = slot.tree, slot.node
    if tree.library is not None:
        raise BadInput(f"{tree.name} is linked from another file.", "Make the material local first.")
    before = {node.name for node in tree.nodes}
    mix = materials.add_node(tree, "ShaderNodeMix", below, (320, 160))
    mix.data_type, mix.label = "RGBA", image.name
    factor, lower, upper, result = mix_sockets(mix)
    factor.default_value = 1.0
    texture = materials.add_image(tree, image, mix, None, offset=(-320, 200))
    for name in ("interpolation", "projection", "projection_blend", "extension"):
        setattr(texture, name, getattr(below, name))
    if below.inputs["Vector"].is_linked:
        materials.connect(tree, below.inputs["Vector"].links[0].from_socket, texture.inputs["Vector"])
    for link in list(below.outputs["Color"].links):
        materials.connect(tree, result, link.to_socket)
    materials.connect(tree, below.outputs["Color"], lower)
    materials.connect(tree, texture.outputs["Color"], upper)
    mix[LAYER] = image
    make_room(tree, before)
    select_slot(tree, texture)
    return mix


def add_layer_over_all(
    obj: Object, image: Image, mask: Image, *, camera: Camera | None = None, camera_object: Object | None = None
) -> Any:
    """Lay an image over whatever colour the active material has, as strongly as a mask says; with a camera both are
    projected from there (see `paint.add_mask_layer`). Returns the Math node whose second value shows the layer."""
    mask_node: Any = add_mask_layer(obj, mask, camera=camera, camera_object=camera_object, seen_only=True)
    tree: Any = mask_node.id_data
    (link,) = mask_node.outputs["Color"].links
    mix, factor = link.to_node, link.to_socket
    before = {node.name for node in tree.nodes}
    shown = materials.add_node(tree, "ShaderNodeMath", mask_node, (200, -120))
    shown.operation, shown.label, shown.inputs[1].default_value = "MULTIPLY", image.name, 1.0
    materials.connect(tree, mask_node.outputs["Color"], shown.inputs[0])
    materials.connect(tree, shown.outputs["Value"], factor)
    upper = mix_sockets(mix)[2] if mix.type == "MIX" else mix.inputs[2].links[0].from_node.inputs["Base Color"]
    texture = materials.add_image(tree, image, mask_node, None, offset=(0, 300))
    texture.extension = mask_node.extension
    materials.connect(tree, texture.outputs["Color"], upper)
    if mask_node.inputs["Vector"].is_linked:
        materials.connect(tree, mask_node.inputs["Vector"].links[0].from_socket, texture.inputs["Vector"])
    shown[LAYER] = image
    make_room(tree, before)
    select_slot(tree, texture)
    return shown


def select_slot(tree: Any, texture: Any) -> None:
    """Make an Image Texture node the one that painting reaches."""
    for node in tree.nodes:
        node.select = node == texture
    transaction.change(tree.nodes, active=texture)


def _textures(tree: Any) -> Iterator[Slot]:
    for part in trees_of(tree):
        for node in part.nodes:
            if node.type == "TEX_IMAGE" and node.image is not None:
                yield Slot(node.image, part, node)


def uv_name(slot: Slot) -> str:
    """The UV map through which a texture lies on its object; "" for the one that renders."""
    if slot.node is None or not slot.node.inputs["Vector"].is_linked:
        return ""
    source = slot.node.inputs["Vector"].links[0].from_node
    return source.uv_map if source.type == "UVMAP" else ""
