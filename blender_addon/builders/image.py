# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: the photo, float maps and masks. The only place that knows that Blender's rows run bottom-up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Image
    from numpy.typing import NDArray

    from ...inference.photo import Photo


def photo_image(photo: Photo, path: str | Path | None = None) -> Image:
    """The photo as an sRGB image; the same datablock each time for the same pixels.

    `path` is used as the image's file if it shows exactly these pixels (a photo that its EXIF data turns does not);
    without it the pixels are packed into the .blend.
    """


def clip_image(path: str | Path, length: int, *, start_frame: int = 1, name: str = "") -> Image:
    """A movie, or the first picture of a numbered sequence, as an image that plays with the scene."""


def float_image(name: str, array: NDArray, folder: str | Path | None = None) -> Image:
    """A Non-Color 32-bit float image of an array (H, W) or (H, W, 3), values kept exactly.

    Saved as OpenEXR (ZIP, 32-bit) in `folder`, by default `maquette` beside the .blend file; packed into the .blend when
    that has never been saved. No file and no datablock is overwritten: a taken name gets a number.
    Raises BadInput where the folder cannot be written.
    """


def mask_image(name: str, mask: NDArray) -> Image:
    """A Non-Color 8-bit image, packed, of a mask (H, W) float32 0..1 or bool: ready to be painted on."""


def image_array(image: Image) -> NDArray:
    """Pixels (H, W, 4) float32 of an image, first row on top."""
