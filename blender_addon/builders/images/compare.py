# SPDX-License-Identifier: GPL-3.0-or-later
"""Before and after: from a detailed image to the one it was made from and back, and layers shown and hidden."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.types import Image, Material

from ..materials.paint_layers import layers
from .detail import BEFORE

#: Custom property of a layer's image: how strongly it was shown before it was hidden.
_SHOWN = "maquette_shown"


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


def show(made: Image, before: Image | None) -> None:
    """Let the Image Editors that show the picture before detailing show the one after it."""
    manager: Any = bpy.context.window_manager
    for window in manager.windows:
        for area in window.screen.areas:
            space = area.spaces.active
            if area.type == "IMAGE_EDITOR" and before is not None and space.image == before:
                space.image = made


def toggle_layer(material: Material | None) -> bool:
    """Hide the newest detailed layer of a material, or show it again; False where it has none."""
    found = layers(material)
    if not found:
        return False
    image, shown = found[0]
    if shown.default_value > 0:
        image[_SHOWN] = shown.default_value
        shown.default_value = 0.0
    else:
        shown.default_value = image.get(_SHOWN, 1.0)
    return True
