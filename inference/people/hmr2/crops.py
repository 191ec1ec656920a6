# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network sees of a person: the square around the box, to the last digit as the reference cuts it out.

A large square is blurred before it is reduced. The reference blurs the whole photo, once for each person; here only
what the square shows is blurred, with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...models import IMAGENET
from .network import HEIGHT, WIDTH

#: Side of the square in the network's pixels, of which `WIDTH` columns are seen.
SIDE = HEIGHT
_LEFT = (SIDE - WIDTH) // 2
#: ImageNet's mean colour and its spread, of 0..255.
_MEAN, _SPREAD = (255 * np.array(IMAGENET)).astype(np.float32)[..., None, None]
#: Steps between two pixels.
_STEPS = 32
#: Reductions beyond this are blurred.
_SHARP = 1.1
#: A Gaussian ends at so many standard deviations.
_REACH = 4.0


@dataclass(frozen=True)
class Crop:
    """The square of a person. centre : (2,) float32 pixels.  size : pixels of its side."""

    centre: NDArray[np.float32]
    size: float

    @classmethod
    def around(cls, box: Sequence[float] | NDArray) -> Crop:
        """The square of a box (x0, y0, x1, y1), which is widened to 192 : 256 without any margin.

        Float32 and float64 change places as they do in the reference.
        """
        corners = np.asarray(box, np.float32)
        centre = (corners[2:] + corners[:2]) / np.float32(2)
        sides = (corners[2:] - corners[:2]) / np.float32(200) * np.float32(200)
        width, height = (float(side) for side in sides)
        return cls(centre, max(height, width * HEIGHT / WIDTH))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3), from the photo's pixels, counted from their centres, to those of the square of `SIDE`."""
        half = np.float32(self.size * 0.5)
        x, y = self.centre
        source = np.array([[x, y], [x, y + half], [x + half, y]], np.float32)
        middle = SIDE / 2
        target = np.array([[middle, middle], [middle, SIDE], [SIDE, middle]], np.float32)
        return np.asarray(cv2.getAffineTransform(source, target), np.float64)


def picture(pixels: NDArray[np.uint8], crop: Crop) -> NDArray[np.float32]:
    """What the network sees: (3, 256, 192) float32, normalised; black outside of the photo."""
    return np.ascontiguousarray(square(pixels, crop)[:, :, _LEFT : _LEFT + WIDTH])


def square(pixels: NDArray[np.uint8], crop: Crop) -> NDArray[np.float32]:
    """The whole square (3, 256, 256), as the reference hands it to the network, which then looks at its middle."""
    reduction = crop.size / SIDE / 2
    sigma = (reduction - 1) / 2 if reduction > _SHARP else 0.0
    radius = int(_REACH * sigma + 0.5)
    rows, columns = _shown(crop, pixels.shape[:2])
    outer_rows, outer_columns = _grown(rows, radius, pixels.shape[0]), _grown(columns, radius, pixels.shape[1])
    part = pixels[outer_rows, outer_columns]
    matrix = crop.matrix
    matrix[:, 2] += matrix[:, :2] @ (outer_columns.start, outer_rows.start)
    if part.size == 0:
        part = np.zeros((1, 1, 3), np.uint8)  # the square lies beside the photo
    elif sigma:
        kernel, part = _gaussian(sigma, radius), np.ascontiguousarray(part)
        part = np.asarray(cv2.sepFilter2D(part, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REPLICATE))
    seen = warped(part, matrix).astype(np.float32).transpose(2, 0, 1)
    return np.ascontiguousarray((seen - _MEAN) / _SPREAD)


def warped(plane: NDArray, matrix: NDArray[np.float64], side: int = SIDE) -> NDArray:
    """The square (side, side) of a plane, uint8 or float32, or of several (H, W, C) at once, as OpenCV 4 samples it:
    between pixels in steps of 1/32.

    OpenCV 5 has finer steps, which change edges by a level or two; the network's pictures are not to depend on that.
    """
    rows, row_shares, columns, column_shares = _steps(matrix, side)
    height, width, *several = plane.shape
    exact = plane.dtype == np.uint8
    planes = np.ascontiguousarray(plane.reshape(height * width, -1).T)
    total = np.zeros((len(planes), side, side), np.int32 if exact else np.float32)
    for row in (0, 1):
        for column in (0, 1):
            y, x = rows + row, columns + column
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            share = (row_shares if row else _STEPS - row_shares) * (column_shares if column else _STEPS - column_shares)
            weight = np.where(inside, share if exact else share / _STEPS**2, 0).astype(total.dtype)
            place = y.clip(0, height - 1) * width + x.clip(0, width - 1)
            for one, values in zip(total, planes, strict=True):
                one += values.take(place) * weight
    total = (total + _STEPS**2 // 2) // _STEPS**2 if exact else total
    return total.transpose(1, 2, 0) if several else total[0]


def _steps(matrix: NDArray[np.float64], side: int) -> tuple[NDArray[np.int64], ...]:
    """Of the square's pixels: row and column of the pixel before, and how many of `_STEPS` steps lie between."""
    back = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
    along = np.arange(side)
    found: list[NDArray[np.int64]] = []
    for across, down, start in back[::-1]:
        # In 1/1024 pixels, each part rounded for itself, then cut off to the coarser steps after half of one.
        fine = (
            np.rint(across * along * 1024)[None] + np.rint((down * along + start) * 1024)[:, None] + 1024 // _STEPS // 2
        )
        steps = fine.astype(np.int64) // (1024 // _STEPS)
        found += [steps // _STEPS, steps % _STEPS]
    return tuple(found)


def _shown(crop: Crop, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the photo that the square shows, and two more."""
    spans = []
    for middle, length in zip(crop.centre[::-1], shape, strict=True):
        low, high = math.floor(middle - crop.size / 2) - 2, math.ceil(middle + crop.size / 2) + 3
        spans.append(slice(min(max(low, 0), length), min(max(high, 0), length)))
    return spans[0], spans[1]


def _grown(span: slice, radius: int, length: int) -> slice:
    return slice(max(span.start - radius, 0), min(span.stop + radius, length)) if span.stop > span.start else span


def _gaussian(sigma: float, radius: int) -> NDArray[np.float64]:
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return weights / weights.sum()
