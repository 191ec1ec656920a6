# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that were laid into a material, and how strongly they show. Imports nothing: panels read it while drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpy.types import Image, Material

#: Custom property of the node whose value shows more or less of a layer: the layer's image.
LAYER = "maquette_layer"


def layers(material: Material | None) -> list[tuple[Image, Any]]:
    """The layers of a material, the newest first, each with the socket of its strength."""
    if material is None or material.node_tree is None:
        return []
    found = []
    for tree in trees_of(material.node_tree):
        for node in tree.nodes:
            image = node.get(LAYER)
            if image is not None and node.type in {"MIX", "MATH"}:
                socket = node.inputs[1] if node.type == "MATH" else mix_sockets(node)[0]
                found.append((image, socket))
    return sorted(found, key=lambda layer: -layer[0].session_uid)


def mix_sockets(mix: Any) -> tuple[Any, Any, Any, Any]:
    """Factor, A, B and result of a Mix node, which has them once for each data type; those that show are meant."""
    factor, lower, upper = (
        next(socket for socket in mix.inputs if socket.enabled and socket.name == name) for name in ("Factor", "A", "B")
    )
    return factor, lower, upper, next(socket for socket in mix.outputs if socket.enabled)


def trees_of(tree: Any) -> Iterator[Any]:
    """A node tree and the groups in it, each once."""
    seen, waiting = set(), [tree]
    while waiting:
        part = waiting.pop(0)
        if part.session_uid in seen:
            continue
        seen.add(part.session_uid)
        yield part
        waiting += [node.node_tree for node in part.nodes if node.type == "GROUP" and node.node_tree is not None]
