# SPDX-License-Identifier: GPL-3.0-or-later
"""The square around a hand that the network sees, to the pixel as the reference node cuts it out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .backbone import SIDE

#: The square is this much larger than the landmarks' box.
MARGIN = 1.6
#: Squares of more pixels across are reduced before they are cut out: nothing of it shows at the network's size.
LARGEST = 6144


@dataclass(frozen=True)
class Crop:
    """The pixels left <= x < left + size, top <= y < top + size of the photo, of which some may lie outside.

    box : (x0, y0, x1, y1) whole pixels, ends inclusive, around the landmarks.  side : "left" or "right".
    """

    box: tuple[int, int, int, int]
    side: str
    left: int
    top: int
    size: int

    @classmethod
    def around(cls, box: tuple[float, float, float, float], side: str) -> Crop:
        """The square around the landmarks' box; fractions of pixels are cut off, as the reference cuts them off."""
        x0, y0, x1, y1 = (int(edge) for edge in box)
        size = max(2, math.floor(MARGIN * max(x1 - x0, y1 - y0) / 2) * 2)
        # One pixel more lies to the right of the middle and below it than to the left and above.
        return cls((x0, y0, x1, y1), side, (x0 + x1) // 2 - size // 2 + 1, (y0 + y1) // 2 - size // 2 + 1, size)

    def window(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of a photo of this size that lie in the square."""
        rows = slice(min(max(self.top, 0), height), min(max(self.top + self.size, 0), height))
        columns = slice(min(max(self.left, 0), width), min(max(self.left + self.size, 0), width))
        return rows, columns


def picture(pixels: NDArray[np.uint8], crop: Crop, exact: bool = True) -> NDArray[np.uint8]:
    """What the network sees of a photo (H, W, 3): (224, 224, 3) uint8, a right hand, black outside of the photo.

    The reference enlarges small squares by cubic interpolation, whose overshoot at bright and dark edges it lets wrap
    around 8 bits. exact : do as it does, so that all that follows is the same; False cuts the overshoot off.
    """
    rows, columns = crop.window(*pixels.shape[:2])
    size, top, left, visible = crop.size, rows.start - crop.top, columns.start - crop.left, pixels[rows, columns]
    if size > LARGEST and visible.size:
        share, size = LARGEST / size, LARGEST
        shape = (max(1, round(visible.shape[1] * share)), max(1, round(visible.shape[0] * share)))
        visible = np.asarray(cv2.resize(visible, shape, interpolation=cv2.INTER_AREA), np.uint8)
        top, left = min(round(top * share), size - shape[1]), min(round(left * share), size - shape[0])
    method = cv2.INTER_CUBIC if size < SIDE else cv2.INTER_AREA
    seen = np.empty((SIDE, SIDE, 3), np.uint8)
    for channel in range(3):  # one by one: a third of the memory
        square = np.zeros((min(size, LARGEST),) * 2)
        square[top : top + visible.shape[0], left : left + visible.shape[1]] = visible[..., channel]
        if crop.side == "left":
            square = np.ascontiguousarray(square[:, ::-1])
        values = cv2.resize(square, (SIDE, SIDE), interpolation=method)
        seen[..., channel] = (values if exact else values.clip(0, 255)).astype(np.int64) & 255
    return seen
