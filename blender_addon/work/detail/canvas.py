# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture as Blender holds it, on its way through the detailer and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....inference.photo.colour import light_to_srgb, srgb_to_light
from .texture_space import view_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ....inference.results import DetailedSegment
    from ...core.exchange import TexturedSurface

    Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """What is repainted, as Blender holds it.

    pixels : (H, W, 4) float32, first row on top; None for a frame of a clip, which is read from its file.
    eight_bits : the values are those of bytes.  linear : they are scene-linear light.
    premultiplied : colours are multiplied by alpha.
    view : the pixels are those of the surface's texture, and the picture is what its camera sees of it; or None.
    orientation : of the file, as its EXIF data say (1..8).  upright : pixels are turned by it, unlike Blender's own.
    as_shown : Blender shows the file so; not where it opens none of its kind, or another layer, or shows it turned.
    """

    pixels: Pixels | None
    eight_bits: bool = True
    linear: bool = False
    premultiplied: bool = False
    view: TexturedSurface | None = None
    orientation: int = 1
    upright: bool = True
    as_shown: bool = True


@dataclass(frozen=True)
class Canvas:
    """A picture on its way through the detailer.

    given : (H, W, 3 or 4) uint8 or float32, exactly as it was.
    shown : the same as the detailer is shown it: uint8, or float32 in sRGB's curve, not premultiplied.
    """

    given: NDArray
    shown: NDArray
    linear: bool = False
    premultiplied: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.given.shape[1], self.given.shape[0]

    def with_detail(self, detailed: Pixels) -> NDArray:
        """The picture after detailing: where that left a pixel as it was, it is the given one bit by bit. Alpha stays.

        detailed : (H, W, 3 or 4) float32 0..1, on the scale of `shown`.
        """
        result = self.given.copy()
        if self.given.dtype == np.uint8:
            result[..., :3] = np.rint(np.clip(detailed[..., :3], 0, 1) * 255)
            return result
        changed = (detailed[..., :3] != self.shown[..., :3]).any(-1)
        colours = detailed[changed][:, :3]
        if self.linear:
            colours = srgb_to_light(colours)
        if self.premultiplied and self.given.shape[2] == 4:
            colours = colours * self.given[changed][:, 3:]
        result[changed, :3] = colours
        return result


def canvas_of(picture: Picture) -> Canvas:
    """The picture's pixels as bytes or floats, with alpha only where something is transparent."""
    pixels = picture.pixels
    assert pixels is not None
    if picture.view is not None:
        pixels = view_of(picture.view, pixels)
    if not (pixels[..., 3] != 1).any():
        pixels = pixels[..., :3]
    pixels = np.ascontiguousarray(pixels)
    if picture.eight_bits:
        given = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        return Canvas(given, given)
    shown = np.where(np.isfinite(pixels), pixels, 0)  # a render may hold infinite pixels; they stay where they are
    if picture.premultiplied and shown.shape[2] == 4:
        alpha = shown[..., 3:]
        shown[..., :3] = np.divide(shown[..., :3], alpha, out=np.zeros_like(shown[..., :3]), where=alpha > 0)
    if picture.linear:
        shown[..., :3] = light_to_srgb(shown[..., :3])
    return Canvas(pixels, shown.astype(np.float32), picture.linear, picture.premultiplied)


def strengths_of(size: tuple[int, int], segments: list[DetailedSegment]) -> Pixels:
    """(H, W) how strongly the segments were laid over the picture, one over the other."""
    width, height = size
    left_over = np.ones((height, width), np.float32)
    for segment in segments:
        assert segment.alpha is not None
        x0, y0, x1, y1 = segment.crop
        strength = segment.alpha[max(-y0, 0) : height - y0, max(-x0, 0) : width - x0, 3]
        left_over[max(y0, 0) : y1, max(x0, 0) : x1] *= 1 - strength
    return 1 - left_over
