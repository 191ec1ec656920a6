# SPDX-License-Identifier: GPL-3.0-or-later
"""Every difference between Blender 4.2 and 5.2, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

if TYPE_CHECKING:
    from bpy.types import Material, NodeTree, Object, Scene

#: Slotted actions came with 4.4; `Action.fcurves` went with 5.0.
SLOTTED_ACTIONS = bpy.app.version >= (4, 4, 0)
#: From 5.0 on every material has nodes, and `use_nodes` is deprecated.
ALWAYS_NODES = bpy.app.version >= (5, 0, 0)
#: Adaptive subdivision is a setting of the modifier from 5.0 on, before of the object, and experimental.
ADAPTIVE_MODIFIER = bpy.app.version >= (5, 0, 0)


def assign_action(datablock: Any, action: Any) -> None:
    """Make the action the datablock's own, in the slot of that datablock from 4.4 on."""
    data = datablock.animation_data or datablock.animation_data_create()
    data.action = action
    if SLOTTED_ACTIONS:
        suitable = list(data.action_suitable_slots)
        data.action_slot = suitable[0] if suitable else action.slots.new(datablock.id_type, datablock.name)


def channels_of(action: Any, datablock: Any) -> Any:
    """What holds the `fcurves` and `groups` that animate this datablock, in an action that `assign_action` gave it."""
    if not SLOTTED_ACTIONS:
        return action
    slot = datablock.animation_data.action_slot
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


def node_tree_of(material: Material) -> NodeTree:
    """The material's node tree, made where an old material has none."""
    if not ALWAYS_NODES and not material.use_nodes:
        material.use_nodes = True
    assert material.node_tree is not None
    return material.node_tree


def set_adaptive_subdivision(obj: Object, modifier: bpy.types.SubsurfModifier, scene: Scene, pixels: float) -> None:
    """Have Cycles dice the object to `pixels` per edge in the render."""
    any_modifier: Any = modifier
    cycles: Any = getattr(scene, "cycles", None)
    if ADAPTIVE_MODIFIER:
        any_modifier.use_adaptive_subdivision = True
        any_modifier.adaptive_space = "PIXEL"
        any_modifier.adaptive_pixel_size = pixels
    elif cycles is not None:  # the Cycles add-on may be switched off
        cycles.feature_set = "EXPERIMENTAL"
        object_cycles: Any = obj
        object_cycles.cycles.use_adaptive_subdivision = True
        object_cycles.cycles.dicing_rate = pixels
