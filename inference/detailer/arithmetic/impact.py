# SPDX-License-Identifier: GPL-3.0-or-later
"""How the reference makes, sizes, softens and seeds segments, its defects included (`compatibility=True`).

The functions have the names and arguments of those in `careful`, which are used otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..blending import feathered, lanczos, resized_mask
from ..segments import Box, Segment, crop_region, find_segments, work_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..loop import Layout

    Mask = NDArray[np.float32]


def segments_of(mask: Mask, size: tuple[int, int], layout: Layout) -> tuple[list[Segment], list[tuple[Segment, str]]]:
    """In the order of OpenCV's contours; dropped unless both sides of the box are longer than `drop_size`.

    Segments of a mask of another size are scaled to the photo afterwards, by cutting off fractions.
    """
    if layout.combined:
        # A box that ends one pixel early may be empty, and an empty one has no scale.
        found, drop_size = combined(mask, crop_factor=layout.crop_factor, bbox_fill=layout.bbox_fill), 0
    else:
        found, drop_size = (
            find_segments(
                mask,
                crop_factor=layout.crop_factor,
                contour_fill=layout.contour_fill,
                bbox_fill=layout.bbox_fill,
            ),
            layout.drop_size,
        )
    kept, dropped = [], []
    for segment in found:
        if min(segment.size) > drop_size:
            kept.append(_scaled(segment, size[0] / mask.shape[1], size[1] / mask.shape[0]))
        else:
            dropped.append((segment, f"one side is not longer than {drop_size} pixels"))
    return kept, dropped


def combined(mask: Mask, *, crop_factor: float, bbox_fill: bool = False) -> list[Segment]:
    """One segment of everything that is not 0, of any size. Its box ends one pixel early, and is filled at the
    picture's coordinates although the mask is cut to the crop."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return []
    box = int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())
    crop = crop_region(box, (mask.shape[1], mask.shape[0]), crop_factor)
    part = mask[crop[1] : crop[3], crop[0] : crop[2]].copy()
    if bbox_fill:
        part[box[1] : box[3], box[0] : box[2]] = 1
    return [Segment(box, crop, part)]


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


def grown(segment: Segment, feather: int) -> tuple[Segment, int]:
    return segment, feather


def strength_of(segment: Segment, size: tuple[int, int], feather: int) -> Mask:
    """How strongly the repainted crop is laid over the photo."""
    return feathered(segment.mask, feather)


def resized(pixels: Mask, width: int, height: int) -> Mask:
    return lanczos(pixels, width, height)


def seed_of(seed: int, batch: int, number: int, segment: Segment, cycle: int) -> int:
    return seed + batch + number + cycle
