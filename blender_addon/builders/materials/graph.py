# SPDX-License-Identifier: GPL-3.0-or-later
"""Geometry node groups written as formulas: a field is a socket, and each operation on fields adds a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bpy
from bpy.types import NodeTree

from ...core import compat

_ROW, _FOLDED_ROW, _COLUMN, _GAP, _LINE = 250, 60, 210, 120, 4000


def _math(operation: str, swapped: bool = False) -> Callable[[Field, Field | float], Field]:
    """The method that adds a Math node. swapped : with the field as its second value."""

    def method(field: Field, other: Field | float) -> Field:
        return field.graph.math(operation, *((other, field) if swapped else (field, other)))

    return method


class Field:
    """An output of a node. Comparisons give 1 or 0, which counts as true or false; division by 0 gives 0."""

    def __init__(self, graph: Graph, socket: Any) -> None:
        self.graph = graph
        self.socket = socket

    __add__, __radd__ = _math("ADD"), _math("ADD", True)
    __sub__, __rsub__ = _math("SUBTRACT"), _math("SUBTRACT", True)
    __mul__, __rmul__ = _math("MULTIPLY"), _math("MULTIPLY", True)
    __truediv__, __rtruediv__ = _math("DIVIDE"), _math("DIVIDE", True)
    __gt__, __lt__ = _math("GREATER_THAN"), _math("LESS_THAN")
    minimum, maximum = _math("MINIMUM"), _math("MAXIMUM")

    def __and__(self, other: Field) -> Field:
        return self.graph.boolean("AND", self, other)

    def __or__(self, other: Field) -> Field:
        return self.graph.boolean("OR", self, other)

    def __invert__(self) -> Field:
        return self.graph.boolean("NOT", self)

    def __abs__(self) -> Field:
        return self.graph.math("ABSOLUTE", self)

    def floor(self) -> Field:
        return self.graph.math("FLOOR", self)


class Graph:
    """A group for a Geometry Nodes modifier while it is being written; `flow` is the geometry so far."""

    def __init__(self, name: str) -> None:
        tree: Any = bpy.data.node_groups.new(name, "GeometryNodeTree")  # type: ignore[arg-type]
        tree.is_modifier = True
        self.tree = tree
        self._stage: Any = None
        self._levels: dict[str, int] = {}
        tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
        tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
        self._inputs = self.node("NodeGroupInput")
        self.flow = self.out(self._inputs, "Geometry")

    @contextmanager
    def stage(self, label: str) -> Iterator[None]:
        """A frame around the nodes that are made inside."""
        self._stage = self.tree.nodes.new("NodeFrame")
        self._stage.label, self._stage.label_size, self._stage.select = label, 40, False
        yield
        self._stage = None

    def panel(self, name: str) -> Any:
        """A closed panel for inputs of the modifier that are seldom changed."""
        return self.tree.interface.new_panel(name, default_closed=True)

    def input(self, name: str, kind: str, default: Any, description: str, *, panel: Any = None, **limits: Any) -> Field:
        """An input of the modifier. kind : of the socket: "Float", "Int", "Bool", "Image".

        limits : `min_value`, `max_value`, `subtype`.
        """
        socket = self.tree.interface.new_socket(
            name, description=description, in_out="INPUT", socket_type=f"NodeSocket{kind}", parent=panel
        )
        for key, value in limits.items():  # the subtype first: it brings limits of its own
            setattr(socket, key, value)
        socket.default_value = default
        compat.make_single(socket)
        return self.out(self._inputs, name)

    def node(self, kind: str, *sources: Any, **settings: Any) -> Any:
        """A new node. sources : of its usable inputs, in order: fields, plain values, or None to leave one as it is."""
        made = self.tree.nodes.new(kind)
        made.parent = self._stage
        for name, value in settings.items():
            setattr(made, name, value)
        self._levels[made.name] = 0
        usable = [socket for socket in made.inputs if socket.enabled]
        for socket, source in zip(usable, sources, strict=False):
            if isinstance(source, Field):
                self.link(source, socket)
            elif source is not None:
                socket.default_value = source
        return made

    def link(self, source: Field, target: Any) -> None:
        self.tree.links.new(source.socket, target)
        before, after = source.socket.node, target.node
        level = self._levels[before.name] + 1 if before.parent == after.parent else 0
        self._levels[after.name] = max(self._levels[after.name], level)

    def out(self, node: Any, name: str | int = 0) -> Field:
        """An output by name, or by its place among those in use."""
        usable = [socket for socket in node.outputs if socket.enabled]
        if isinstance(name, int):
            return Field(self, usable[name])
        return Field(self, next(socket for socket in usable if socket.name == name))

    def math(self, operation: str, *values: Field | float) -> Field:
        return self.out(self.node("ShaderNodeMath", *values, operation=operation, hide=True))

    def boolean(self, operation: str, *values: Field) -> Field:
        return self.out(self.node("FunctionNodeBooleanMath", *values, operation=operation, hide=True))

    def vector_math(self, operation: str, *values: Field) -> Field:
        return self.out(self.node("ShaderNodeVectorMath", *values, operation=operation, hide=True))

    def scaled(self, vector: Field, factor: Field) -> Field:
        return self.out(self.node("ShaderNodeVectorMath", vector, factor, operation="SCALE", hide=True))

    def vector(self, x: Field | float, y: Field | float, z: Field | float) -> Field:
        return self.out(self.node("ShaderNodeCombineXYZ", x, y, z))

    def xyz(self, vector: Field) -> tuple[Field, Field, Field]:
        node = self.node("ShaderNodeSeparateXYZ", vector)
        return self.out(node, 0), self.out(node, 1), self.out(node, 2)

    def position(self) -> Field:
        return self.out(self.node("GeometryNodeInputPosition"))

    def choose(self, condition: Field, no: Any, yes: Any, kind: str = "FLOAT") -> Field:
        """`yes` where the condition holds, else `no`; of two geometries only the chosen one is computed."""
        return self.out(self.node("GeometryNodeSwitch", condition, no, yes, input_type=kind))

    def at(self, index: Field, value: Field, kind: str = "FLOAT") -> Field:
        """The value at another point; 0 where there is no such point."""
        node = self.node("GeometryNodeFieldAtIndex", data_type=kind, domain="POINT")
        self.link(value, next(socket for socket in node.inputs if socket.name == "Value" and socket.enabled))
        self.link(index, node.inputs["Index"])
        return self.out(node)

    def on(self, domain: str, value: Field, kind: str) -> Field:
        """The value as it is on a domain; a truth is carried on to faces where it holds for all of their corners."""
        return self.out(self.node("GeometryNodeFieldOnDomain", value, domain=domain, data_type=kind))

    def blurred(self, value: Field, iterations: Field) -> Field:
        """The mean with the neighbours, so many times."""
        return self.out(self.node("GeometryNodeBlurAttribute", value, iterations, data_type="FLOAT"))

    def captured(self, domain: str, **values: tuple[str, Field]) -> list[Field]:
        """The values, name = (kind, field), as they are on the geometry now, whatever becomes of it later."""
        node = self.node("GeometryNodeCaptureAttribute", self.flow, domain=domain)
        for name, (kind, value) in values.items():
            node.capture_items.new(kind, name)
            self.link(value, node.inputs[name])
        self.flow = self.out(node, "Geometry")
        return [self.out(node, name) for name in values]

    def store(self, name: str, domain: str, kind: str, value: Field) -> None:
        sources = self.flow, None, name, value
        self.flow = self.out(self.node("GeometryNodeStoreNamedAttribute", *sources, data_type=kind, domain=domain))

    def move_to(self, position: Field) -> None:
        self.flow = self.out(self.node("GeometryNodeSetPosition", self.flow, None, position))

    def keep_faces(self, kept: Field) -> None:
        """Delete the other faces, and the edges and points that no face uses then."""
        self.flow = self.out(
            self.node("GeometryNodeDeleteGeometry", self.flow, ~kept, domain="FACE", mode="ALL"), "Geometry"
        )

    def finish(self) -> NodeTree:
        self.link(self.flow, self.node("NodeGroupOutput").inputs[0])
        self._arrange()
        return self.tree

    def _arrange(self) -> None:
        """Stage after stage from left to right, line by line, in each the nodes by how many lie before them."""
        stages: dict[Any, list[Any]] = {}
        for node in self.tree.nodes:
            if node.bl_idname != "NodeFrame":
                stages.setdefault(node.parent.name if node.parent else node.name, []).append(node)
        left = top = height = 0
        for nodes in stages.values():
            if left > _LINE:
                left, top, height = 0, top - height - 2 * _GAP, 0
            below: dict[int, int] = {}
            for node in nodes:
                level = self._levels[node.name]
                node.location = (left + _COLUMN * level, top - below.get(level, 0))
                node.select = False
                below[level] = below.get(level, 0) + (_FOLDED_ROW if node.hide else _ROW)
            left += _COLUMN * (max(below) + 1) + _GAP
            height = max(height, *below.values())
