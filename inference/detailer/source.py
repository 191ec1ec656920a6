# SPDX-License-Identifier: GPL-3.0-or-later
"""The photo that is detailed: its pixels as a model sees them, and back to its own bit depth, light and alpha."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike, fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..photo import Photo, as_photo, exr
from ..photo.checks import check_file, check_size
from ..photo.colour import light_to_srgb, srgb_to_light
from ..photo.decode import orientation_of, read_tiff, upright
from ..results import Detailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

#: Files whose bit depth or alpha `load_photo` would not keep.
_DEEP = (".png", ".tif", ".tiff", ".hdr")


@dataclass(frozen=True)
class Source:
    """pixels : (H, W, 3) float32 sRGB; floats go beyond 0..1 where the photo does.  alpha : (H, W, 1) or None.
    light : the photo as linear light (H, W, 3) where it was given so, or None.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    light: Pixels | None = None

    def finished(self, detailed: Detailed) -> Detailed:
        """The result in the photo's own values, with its alpha. What was not painted stays bit for bit."""
        image = detailed.image
        if self.light is not None:
            image = np.where(image == self.pixels, self.light, srgb_to_light(image))
        if self.alpha is not None:
            alpha = np.broadcast_to(self.alpha, (*image.shape[:3], 1))
            image = np.concatenate([image, alpha], axis=-1)
        return replace(detailed, image=image)


def source_of(photo: Any, linear: bool | None) -> Source:
    """From a `Photo`, an array (H, W, 3 or 4) of any depth, or a path.

    linear : floats are linear light; None assumes so of files of floats (OpenEXR, HDR, float TIFF), not of arrays.
    Raises `BadInput`.
    """
    if isinstance(photo, Photo):
        return Source(_of_eight_bits(photo))
    if isinstance(photo, (str, bytes, PathLike)):
        path = Path(fsdecode(photo))
        array = _deep_pixels(path)
        if array is None:
            return Source(_of_eight_bits(as_photo(path)))
        return _from_array(array, array.dtype.kind == "f" if linear is None else linear)
    return _from_array(np.asarray(photo), bool(linear))


def _from_array(array: NDArray, linear: bool) -> Source:
    if array.ndim == 4:
        if len(array) != 1:
            raise BadInput(f"{len(array)} photos were given at once.", "Give them one after the other.")
        array = array[0]
    floats, colour = array.dtype.kind == "f", array.ndim == 3 and array.shape[2] in (3, 4)
    if not colour or not (floats or array.dtype in (np.uint8, np.uint16)):
        return Source(_of_eight_bits(as_photo(array)))
    check_size(array.shape[1], array.shape[0])
    if floats and not np.isfinite(array).all():
        raise BadInput("The photo holds values that are not finite (NaN or infinity).", "Replace them by 0.")
    top = 1 if floats else np.iinfo(array.dtype).max
    values = array.astype(np.float32) / np.float32(top)
    colours = np.ascontiguousarray(values[..., :3])
    alpha = np.ascontiguousarray(values[..., 3:]) if values.shape[2] == 4 else None
    if linear and floats:
        return Source(light_to_srgb(colours), alpha, colours)
    return Source(colours, alpha)


def _of_eight_bits(photo: Photo) -> Pixels:
    return photo.pixels.astype(np.float32) / 255


def _deep_pixels(path: Path) -> NDArray | None:
    """Upright pixels (H, W, 3 or 4) of a file with alpha, 16 bits or floats; None for any other file."""
    check_file(path, "photo")
    with path.open("rb") as file:
        head = file.read(4)
    if head == exr.MAGIC:
        return exr.read_colours(path)
    if path.suffix.lower() not in _DEEP:
        return None
    pixels = _tiff_pixels(path) if path.suffix.lower() in (".tif", ".tiff") else _png_pixels(path)
    if pixels is None or pixels.ndim != 3 or (pixels.dtype == np.uint8 and pixels.shape[2] != 4):
        return None
    return upright(pixels, orientation_of(path))


def _tiff_pixels(path: Path) -> NDArray | None:
    try:
        return read_tiff(path)
    except BadInput:
        return None  # one that only Pillow knows


def _png_pixels(path: Path) -> NDArray | None:
    """Of a PNG or Radiance HDR file."""
    import cv2

    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3:
        return None
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
