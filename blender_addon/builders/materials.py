# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and extending an object's material without disturbing what the artist made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Image, Material, Object


def active_material(obj: Object) -> Material:
    """The object's active material with nodes; a new one with a Principled BSDF where the slot is empty or missing."""


def photo_material(name: str, image: Image) -> Material:
    """A new matt material that shows the photo through the active UV map."""
