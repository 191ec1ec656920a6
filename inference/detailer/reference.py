# SPDX-License-Identifier: GPL-3.0-or-later
"""How the reference makes, sizes, softens and seeds segments, its defects included (`compatibility=True`).

The functions have the names and arguments of those in `careful`, which are used otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .blending import feathered, lanczos, resized_mask
from .segments import Box, Segment, find_segments, work_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.float32]


def segments_of(
    mask: Mask, size: tuple[int, int], *, crop_factor: float, contour_fill: bool, drop_size: int
) -> tuple[list[Segment], list[tuple[Segment, str]]]:
    """In the order of OpenCV's contours; dropped unless both sides of the box are longer than `drop_size`.

    Segments of a mask of another size are scaled to the photo afterwards, by cutting off fractions.
    """
    kept, dropped = [], []
    for segment in find_segments(mask, crop_factor=crop_factor, contour_fill=contour_fill):
        if min(segment.size) > drop_size:
            kept.append(_scaled(segment, size[0] / mask.shape[1], size[1] / mask.shape[0]))
        else:
            dropped.append((segment, "one side is not longer than drop_size"))
    return kept, dropped


def _scaled(segment: Segment, x: float, y: float) -> Segment:
    if x == y == 1:
        return segment
    crop = _scaled_box(segment.crop, x, y)
    mask = resized_mask(segment.mask, crop[2] - crop[0], crop[3] - crop[1])
    return replace(segment, box=_scaled_box(segment.box, x, y), crop=crop, mask=mask)


def _scaled_box(box: Box, x: float, y: float) -> Box:
    return int(box[0] * x), int(box[1] * y), int(box[2] * x), int(box[3] * y)


def fitted(
    segment: Segment, size: tuple[int, int], guide_size: float, guide_by_box: bool, max_size: float
) -> tuple[Segment, tuple[int, int]]:
    """The segment as it is, and the size (width, height) to work on its crop at."""
    x0, y0, x1, y1 = segment.crop
    return segment, work_size((x1 - x0, y1 - y0), segment.size, guide_size, guide_by_box, max_size)


def softened(mask: Mask, amount: int) -> Mask:
    return feathered(mask, amount)


def strength_of(segment: Segment, size: tuple[int, int], feather: int) -> Mask:
    """How strongly the repainted crop is laid over the photo."""
    return feathered(segment.mask, feather)


def resized(pixels: Mask, width: int, height: int) -> Mask:
    return lanczos(pixels, width, height)


def seed_of(seed: int, batch: int, number: int, segment: Segment, cycle: int) -> int:
    return seed + batch + number + cycle
