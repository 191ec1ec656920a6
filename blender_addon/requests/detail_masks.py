# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to repaint: what was gathered on the main thread, drawn on the worker as a mask of the picture's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.photo import Photo

    Values = NDArray[np.float32]


@dataclass(frozen=True)
class Drawing:
    """What masks and control images are drawn for.

    size : (width, height) of the picture.  photo : the picture as the other tasks see it.
    where : `device`, `precision` and `progress` of tasks that are run on the way.
    """

    size: tuple[int, int]
    photo: Photo
    where: dict[str, Any]


class Drawn(Protocol):
    """Anything that becomes a mask (h, w) float32 0..1 that covers the picture."""

    def drawn(self, drawing: Drawing) -> Values: ...


@dataclass(frozen=True)
class Mask:
    """A mask as it is asked for. grow : pixels of the picture, negative to shrink.  invert : before growing."""

    source: Drawn
    invert: bool = False
    grow: float = 0.0

    def drawn(self, drawing: Drawing) -> Values:
        """(H, W) float32 0..1 of the picture's size."""
        from ...inference import matte

        values = np.clip(covering(self.source.drawn(drawing), drawing.size), 0, 1)
        if self.invert:
            values = 1 - values
        return matte.shaped(values, self.grow, 0.0) if self.grow else values


@dataclass(frozen=True)
class ImageMask:
    """pixels : (h, w, 4) float32 of an image.  channel : "VALUE", the mean of the colours, or "ALPHA"."""

    pixels: Values
    channel: str = "VALUE"

    def drawn(self, drawing: Drawing) -> Values:
        if self.channel == "ALPHA":
            return np.ascontiguousarray(self.pixels[..., 3])
        return self.pixels[..., :3].mean(-1, dtype=np.float64).astype(np.float32)


def covering(values: Values, size: tuple[int, int]) -> Values:
    """The mask stretched over the whole picture of any size and shape: by area where it shrinks, else linearly."""
    import cv2

    width, height = size
    if values.shape == (height, width):
        return values
    shrinks = width * height < values.shape[0] * values.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(values), size, interpolation=method), np.float32)
