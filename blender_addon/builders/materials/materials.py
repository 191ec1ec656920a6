# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and extending an object's material without disturbing what the artist made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy
from bpy.types import Image, Material, Node, NodeSocket, NodeTree, Object

from ....inference.errors import BadInput
from ...core import compat, transaction
from ..images.image import play


def active_material(obj: Object) -> Material:
    """The object's active material, with nodes; a new one where the slot is empty or missing.

    Raises BadInput for an object that takes no material.
    """
    check_material(obj)
    data: Any = obj.data
    if obj.active_material is None:
        material = bpy.data.materials.new(obj.name)
        principled(material)
        if obj.material_slots:
            transaction.change(obj.material_slots[obj.active_material_index or 0], material=material)
        else:
            data.materials.append(material)
            transaction.on_failure(lambda: data.materials.clear())  # there was no slot; pop() would leave one
    material = obj.active_material
    assert material is not None
    compat.node_tree_of(material)
    return material


def check_material(obj: Object) -> None:
    """Raise BadInput where `active_material` would: where an object takes no material, or another file owns it.

    What is changed in another file's datablock is gone when this file is opened again.
    """
    data: Any = obj.data
    if not hasattr(data, "materials"):
        raise BadInput(f"{obj.name} cannot have a material.", "Choose a mesh object.")
    if obj.active_material is not None:
        owner, what = obj.active_material, "material"
    else:
        slot = obj.material_slots[obj.active_material_index or 0] if obj.material_slots else None
        owner, what = (obj, "object") if slot is not None and slot.link == "OBJECT" else (data, "mesh")
    if owner.library is not None:
        raise BadInput(f"The {what} {owner.name} is linked from another file.", "Make it local first.")


def photo_material(name: str, image: Image) -> Material:
    """A new matt material that shows the photo through the active UV map."""
    material = bpy.data.materials.new(name)
    shader = principled(material)
    shader.inputs["Roughness"].default_value = 0.9
    texture = add_image(compat.node_tree_of(material), image, shader, "Base Color", offset=(-320, 0))
    texture.extension = "EXTEND"
    return material


def plain_material(name: str, colour: tuple[float, float, float]) -> Material:
    """A new half-matt material of one colour (linear RGB)."""
    material = bpy.data.materials.new(name)
    shader = principled(material)
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = 0.55
    material.diffuse_color = (*colour, 1.0)
    return material


def principled(material: Material) -> Any:
    """The Principled BSDF of a new material, connected to its output."""
    tree = compat.node_tree_of(material)
    for node in tree.nodes:
        if node.type == "BSDF_PRINCIPLED":
            return node
    shader: Any = tree.nodes.new("ShaderNodeBsdfPrincipled")
    shader.location = (0, 300)
    tree.links.new(shader.outputs["BSDF"], material_output(material).inputs["Surface"])
    return shader


def material_output(material: Material) -> Node:
    """The output node that renders; a new one where there is none."""
    tree = compat.node_tree_of(material)
    for target in ("ALL", "CYCLES", "EEVEE"):
        output = tree.get_output_node(target)  # type: ignore[attr-defined]
        if output is not None:
            return output
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    output.location = (300, 300)
    transaction.on_failure(lambda: tree.nodes.remove(output))
    return output


def shaders_before(output: Any) -> Iterator[Any]:
    """The nodes that lead to the output's surface, nearest first, through mixes and reroutes, not into groups."""
    seen: set[str] = set()
    waiting: list[Any] = [link.from_node for link in output.inputs["Surface"].links]
    while waiting:
        node = waiting.pop(0)
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        yield node
        waiting += [link.from_node for socket in node.inputs if socket.type == "SHADER" for link in socket.links]
        if node.type == "REROUTE":
            waiting += [link.from_node for link in node.inputs[0].links]


def surface_shader(material: Material, kinds: tuple[str, ...] | None = None, having: str = "") -> Any:
    """The nearest node before the output of one of these types (None: any) that has an input called `having`."""
    for node in shaders_before(material_output(material)):
        if (kinds is None or node.type in kinds) and (not having or having in node.inputs):
            return node
    return None


def add_node(tree: NodeTree, kind: str, beside: Node, offset: tuple[float, float]) -> Any:
    """A new node placed relative to another one; removed again if the job fails."""
    node = tree.nodes.new(kind)
    node.location = (beside.location[0] + offset[0], beside.location[1] + offset[1])
    transaction.on_failure(lambda: tree.nodes.remove(node))
    return node


def add_image(
    tree: NodeTree, image: Image, target: Node, socket: str | int | None, *, offset: tuple[float, float]
) -> Any:
    """A new Image Texture node, its colour connected to `socket` of `target`."""
    texture = add_node(tree, "ShaderNodeTexImage", target, offset)
    texture.image = image
    texture.label = image.name
    if image.source in {"MOVIE", "SEQUENCE"}:
        play(texture.image_user, image)
    if socket is not None:
        connect(tree, texture.outputs["Color"], target.inputs[socket])
    return texture


def connect(tree: NodeTree, source: NodeSocket, target: Any) -> None:
    """Link two sockets; if the job fails, what was linked to the target before is linked again."""
    before = target.links[0].from_socket if target.is_linked else None
    link = tree.links.new(source, target)
    if before is None:
        transaction.on_failure(lambda: tree.links.remove(link))
    else:
        transaction.on_failure(lambda: tree.links.new(before, target))


def insert_before(tree: NodeTree, target: NodeSocket, keep: NodeSocket, result: NodeSocket) -> None:
    """Put a node between `target` and what feeds it: the old link, or value, goes to `keep`, `result` to `target`."""
    if target.is_linked:
        connect(tree, target.links[0].from_socket, keep)  # type: ignore[arg-type]
    elif hasattr(target, "default_value"):
        keep.default_value = target.default_value  # type: ignore[attr-defined]
    connect(tree, result, target)
