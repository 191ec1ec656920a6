# SPDX-License-Identifier: GPL-3.0-or-later
"""Before and after: from a detailed image to the one it was made from and back, and layers shown and hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from ..paint_layers import layers
from .detail import BEFORE

if TYPE_CHECKING:
    from bpy.types import Image, Material


def other_image(image: Image | None) -> Image | None:
    """The image before detailing, or the newest after it; None where there is neither."""
    if image is None:
        return None
    before: Any = image.get(BEFORE)
    if before is not None:
        return before
    known: Any = bpy.data.images
    after = [one for one in known if one.get(BEFORE) == image]
    return max(after, key=lambda one: one.session_uid, default=None)


def toggle_layer(material: Material | None) -> bool:
    """Hide the newest detailed layer of a material, or show it again; False where it has none."""
    found = layers(material)
    if not found:
        return False
    _, shown = found[0]
    shown.default_value = 0.0 if shown.default_value > 0 else 1.0
    return True
