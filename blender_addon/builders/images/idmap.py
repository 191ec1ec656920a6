# SPDX-License-Identifier: GPL-3.0-or-later
"""ID maps: whose each pixel is, as exact numbers for the compositor's ID Mask node and as a picture of flat colours."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from bpy.types import Image
from numpy.typing import NDArray

from . import image

#: Turns of the colour wheel between two neighbouring numbers: the golden ratio keeps any few of them far apart.
_TURN = 0.6180339887498949
_FIRST_HUE = 0.02


def id_images(
    ids: NDArray[np.integer], *, name: str, folder: str | Path | None = None, file: Path | None = None
) -> tuple[Image, Image]:
    """(`<name>` float Non-Color whose value is the number of the pixel's owner, 0 where there is none;
    `<name>.colour`, the same as flat sRGB colours on black).

    ids : (H, W) whole numbers from 0 on. The objects of the owners have them as `pass_index`.
    file : an OpenEXR file of them that a worker has written; it is moved.
    """
    exact = image.float_image(name, ids.astype(np.float32) if file is None else file, folder)
    colours = np.rint(palette(int(ids.max(initial=0))) * 255).astype(np.uint8)
    return exact, image.picture(f"{name}.colour", colours[ids])


def palette(count: int) -> NDArray[np.float32]:
    """(count + 1, 3) sRGB 0..1: black, then a colour for each number; a number keeps its colour whatever the count."""
    hues = (_FIRST_HUE + _TURN * np.arange(count)) % 1.0
    colours = [colorsys.hsv_to_rgb(hue, 0.85, 0.95 if index % 2 == 0 else 0.75) for index, hue in enumerate(hues)]
    return np.array([(0.0, 0.0, 0.0), *colours], np.float32)
