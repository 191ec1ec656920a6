# SPDX-License-Identifier: GPL-3.0-or-later
"""Every difference between Blender 4.2 and 5.2, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from ...inference.errors import BadInput

if TYPE_CHECKING:
    from bpy.types import Material, NodeTree, Object, Scene
    from numpy.typing import NDArray

#: Slotted actions came with 4.4; `Action.fcurves` went with 5.0.
SLOTTED_ACTIONS = bpy.app.version >= (4, 4, 0)
#: From 5.0 on every material has nodes, and `use_nodes` is deprecated.
ALWAYS_NODES = bpy.app.version >= (5, 0, 0)
#: Adaptive subdivision is a setting of the modifier from 5.0 on, before of the object, and experimental.
ADAPTIVE_MODIFIER = bpy.app.version >= (5, 0, 0)

#: The values of a Geometry Nodes modifier's inputs were custom properties of the modifier until 5.2.
MODIFIER_PROPERTIES = "properties" in bpy.types.NodesModifier.bl_rna.properties

#: Grease Pencil was written anew for 4.3: strokes are curves with attributes.
STROKE_CURVES = bpy.app.version >= (4, 3, 0)
#: From 5.1 or 5.2 on strokes are filled together that share an ID, which leaves holes open; one without is not filled.
FILL_GROUPS = bpy.app.version >= (5, 1, 0)
#: Where its datablocks lie in `bpy.data`; from 4.3 to 4.5 the old name held annotations alone.
GREASE_PENCILS = "grease_pencils_v3" if (4, 3, 0) <= bpy.app.version < (5, 0, 0) else "grease_pencils"


def assign_action(datablock: Any, action: Any) -> None:
    """Make the action the datablock's own, in the slot of that datablock from 4.4 on."""
    data = datablock.animation_data or datablock.animation_data_create()
    data.action = action
    if SLOTTED_ACTIONS:
        suitable = list(data.action_suitable_slots)
        data.action_slot = suitable[0] if suitable else action.slots.new(datablock.id_type, datablock.name)


def swap_action(datablock: Any, action: Any) -> None:
    """Give the datablock another action, from 4.4 on in the slot of the same identifier: of a copy, its own."""
    data = datablock.animation_data
    slot = data.action_slot.identifier if SLOTTED_ACTIONS and data.action_slot else None
    data.action = action
    if slot is not None and slot in action.slots:
        data.action_slot = action.slots[slot]


def channels_of(action: Any, datablock: Any) -> Any:
    """What holds the `fcurves` and `groups` that animate this datablock, in an action that `assign_action` gave it."""
    if not SLOTTED_ACTIONS:
        return action
    slot = datablock.animation_data.action_slot
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


def frame_range(datablock: Any) -> tuple[float, float]:
    """First and last frame of what a datablock's action does to it: in a slotted action, its own slot's alone."""
    data = datablock.animation_data
    action = data.action
    if not SLOTTED_ACTIONS or action.use_frame_range or data.action_slot is None:
        return tuple(action.frame_range)
    bags = [strip.channelbag(data.action_slot) for layer in action.layers for strip in layer.strips]
    ranges = [curve.range() for bag in bags if bag is not None for curve in bag.fcurves]
    if not ranges:
        return tuple(action.frame_range)
    return min(first for first, _ in ranges), max(last for _, last in ranges)


def working_space() -> str | None:
    """The colour space that Blender holds floats in; from 5.0 on a file chooses it, before it is that of new images."""
    colours: Any = getattr(bpy.data, "colorspace", None)
    return colours.working_space if colours is not None else None


def node_tree_of(material: Material) -> NodeTree:
    """The material's node tree, made where an old material has none."""
    if not ALWAYS_NODES and not material.use_nodes:
        material.use_nodes = True
    assert material.node_tree is not None
    return material.node_tree


def check_adaptive(scene: Scene) -> None:
    """Raise BadInput where adaptive subdivision is a setting of Cycles, which is disabled."""
    if not (ADAPTIVE_MODIFIER or hasattr(scene, "cycles")):
        raise BadInput("Adaptive subdivision needs Cycles, which is disabled.", "Enable the add-on Cycles.")


def adaptive_settings(
    obj: Object, modifier: bpy.types.SubsurfModifier, scene: Scene, pixels: float
) -> list[tuple[Any, dict[str, Any]]]:
    """What to set on what, so that Cycles dices the object to `pixels` per edge in the render."""
    if ADAPTIVE_MODIFIER:
        wanted = {"use_adaptive_subdivision": True, "adaptive_space": "PIXEL", "adaptive_pixel_size": pixels}
        return [(modifier, wanted)]
    any_scene: Any = scene
    any_object: Any = obj
    return [
        (any_scene.cycles, {"feature_set": "EXPERIMENTAL"}),
        (any_object.cycles, {"use_adaptive_subdivision": True, "dicing_rate": pixels}),
    ]


def node_inputs(modifier: Any) -> dict[str, str]:
    """Name -> identifier of the inputs of a Geometry Nodes modifier."""
    items = modifier.node_group.interface.items_tree
    return {item.name: item.identifier for item in items if item.item_type == "SOCKET" and item.in_out == "INPUT"}


def make_single(socket: Any) -> None:
    """An input of a node group that takes one value, no attribute, so that the modifier does not offer one."""
    socket.force_non_field = True
    if "structure_type" in socket.bl_rna.properties:  # from 4.5 on
        socket.structure_type = "SINGLE"


def get_node_input(modifier: Any, name: str) -> Any:
    """The value of a Geometry Nodes modifier's input; None for a geometry."""
    identifier = node_inputs(modifier)[name]
    if MODIFIER_PROPERTIES:
        return getattr(getattr(modifier.properties.inputs, identifier, None), "value", None)
    return modifier.get(identifier)


def add_outlines(frame: Any, points: NDArray, sizes: NDArray, holes: NDArray, radius: float) -> None:
    """Closed, filled strokes in a frame of a Grease Pencil layer.

    points (N, 3) float32 of all strokes, one after the other.  sizes (S,) : points of each.
    holes (S,) bool : holes of the last stroke before them that is none; they get the object's second material.
    radius : half of the strokes' width, in the object's units.
    """
    import numpy as np  # not before a job: this module is read while Blender starts

    if STROKE_CURVES:
        _add_curves(frame.drawing, points, sizes, holes, radius)
        return
    ends = np.cumsum(sizes)
    for size, end, material in zip(sizes.tolist(), ends.tolist(), holes.astype(int).tolist(), strict=True):
        stroke = frame.strokes.new()
        stroke.display_mode, stroke.use_cyclic, stroke.material_index = "3DSPACE", True, material
        stroke.line_width = max(1, round(2000 * radius))  # a thousandth of a unit is one of its pixels
        stroke.points.add(size)
        stroke.points.foreach_set("co", np.ascontiguousarray(points[end - size : end], np.float32).ravel())
        for name in ("pressure", "strength"):
            stroke.points.foreach_set(name, np.ones(size, np.float32))


def _add_curves(drawing: Any, points: NDArray, sizes: NDArray, holes: NDArray, radius: float) -> None:
    import numpy as np

    drawing.add_strokes(sizes.tolist())
    attributes = drawing.attributes

    def fill(name: str, kind: str, domain: str, values: NDArray) -> None:
        attribute = attributes.get(name) or attributes.new(name, kind, domain)
        attribute.data.foreach_set(
            "vector" if kind == "FLOAT_VECTOR" else "value", np.ascontiguousarray(values).ravel()
        )

    fill("position", "FLOAT_VECTOR", "POINT", points.astype(np.float32))
    fill("radius", "FLOAT", "POINT", np.full(len(points), radius, np.float32))
    fill("opacity", "FLOAT", "POINT", np.ones(len(points), np.float32))
    fill("cyclic", "BOOLEAN", "CURVE", np.ones(len(sizes), bool))
    fill("material_index", "INT", "CURVE", holes.astype(np.int32))
    if FILL_GROUPS:
        fill("fill_id", "INT", "CURVE", np.cumsum(~holes, dtype=np.int32))
    drawing.tag_positions_changed()
