# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs of people: which bone is which part of the body, motion from one rig onto another, and the built-in body in the
bones of other rigs. Nothing here knows Blender; bones are names, rest matrices and parents.

Importing this package imports nothing but itself: menus list the presets while Blender starts, without numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .humanoid import ROLES, Preset, load_presets
    from .limbs import hinged, plant_feet
    from .mapping import Mapping, carried, map_bones
    from .transfer import Placement, Rig, apply_turns, ground_height, pose, retarget, skeleton

__all__ = [
    "ROLES",
    "Mapping",
    "Placement",
    "Preset",
    "Rig",
    "apply_turns",
    "carried",
    "ground_height",
    "hinged",
    "load_presets",
    "map_bones",
    "plant_feet",
    "pose",
    "retarget",
    "skeleton",
]

#: Module -> the public names that it defines.
_NAMES = {
    "humanoid": "ROLES Preset load_presets",
    "limbs": "hinged plant_feet",
    "mapping": "Mapping carried map_bones",
    "neutral": "on_builtin_body",
    "transfer": "Placement Rig apply_turns ground_height pose retarget skeleton",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module("." + _MODULE_OF[name], __name__), name)
    return value
