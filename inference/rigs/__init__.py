# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs of people: which bone is which part of the body, motion from one rig onto another, and the built-in body in the
bones of other rigs. Nothing here knows Blender; bones are names, rest matrices and parents.
"""

from __future__ import annotations

from .humanoid import ROLES, Preset, load_presets
from .mapping import Mapping, carried, map_bones
from .retarget import Placement, Rig, apply_turns, retarget

__all__ = [
    "ROLES",
    "Mapping",
    "Placement",
    "Preset",
    "Rig",
    "apply_turns",
    "carried",
    "load_presets",
    "map_bones",
    "retarget",
]
