# SPDX-License-Identifier: GPL-3.0-or-later
"""The last render's pixels. Blender keeps them from scripts, but saves them in full precision."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.types import Scene
from numpy.typing import NDArray

from ....inference.errors import BadInput
from ...builders.images.image import image_array

#: In the order in which they can be set: the format decides what the others may be.
_SETTINGS = ("media_type", "file_format", "color_mode", "color_depth", "exr_codec", "use_preview")
_FULL_PRECISION = {
    "media_type": "IMAGE",
    "file_format": "OPEN_EXR",
    "color_mode": "RGBA",
    "color_depth": "32",
    "exr_codec": "ZIP",
    "use_preview": False,
}


def render_pixels(scene: Scene) -> NDArray[np.float32]:
    """The scene's last render (H, W, 4), scene-linear, premultiplied, first row on top. Raises BadInput where there is
    none. The scene's output settings are as they were afterwards."""
    image = bpy.data.images.get("Render Result")
    if image is None:
        raise _nothing()
    settings: Any = scene.render.image_settings
    names = [name for name in _SETTINGS if hasattr(settings, name)]
    before = {name: getattr(settings, name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "render.exr"
        try:
            for name in names:
                setattr(settings, name, _FULL_PRECISION[name])
            image.save_render(str(path), scene=scene)
        except RuntimeError as error:
            raise _nothing() from error
        finally:
            for name in names:
                setattr(settings, name, before[name])
        saved = bpy.data.images.load(str(path))
        try:
            return image_array(saved).copy()
        finally:
            bpy.data.images.remove(saved)


def _nothing() -> BadInput:
    return BadInput("There is no render yet.", "Render the scene, or choose an image.")
