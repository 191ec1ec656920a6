# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of the Impact Pack's MaskDetailer, its defects included; see `Arithmetic`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..blending import resized_mask
from ..segments import Box, Segment, crop_region, find_segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..loop import Layout

    Mask = NDArray[np.float32]

#: Standard deviation of the Gaussian in pixels, whatever the feather.
_SIGMA = 10.0


def split_mask(mask: Mask, size: tuple[int, int], layout: Layout) -> tuple[list[Segment], list[tuple[Segment, str]]]:
    """In the order of OpenCV's contours; dropped unless both sides of the box are longer than `drop_size`.

    Segments of a mask of another size are scaled to the photo afterwards, by cutting off fractions.
    """
    if layout.combined:
        # A box that ends one pixel early may be empty, and an empty one has no scale.
        found, drop_size = combined(mask, crop_factor=layout.crop_factor, bbox_fill=layout.bbox_fill), 0
    else:
        fills = {"contour_fill": layout.contour_fill, "bbox_fill": layout.bbox_fill}
        found, drop_size = find_segments(mask, crop_factor=layout.crop_factor, **fills), layout.drop_size
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


def fit_crop(segment: Segment, size: tuple[int, int], layout: Layout) -> tuple[Segment, tuple[int, int]]:
    """The crop stays as it is."""
    x0, y0, x1, y1 = segment.crop
    sides = x1 - x0, y1 - y0
    return segment, work_size(sides, segment.size, layout.guide_size, layout.guide_by_box, layout.max_size)


def work_size(
    crop: tuple[int, int], box: tuple[int, int], guide_size: float, guide_by_box: bool, max_size: float
) -> tuple[int, int]:
    """Width and height of a crop to work on: its shorter side (or the box's) brought to `guide_size`, the longer one at
    most `max_size`; never smaller than the crop, whatever `max_size` says."""
    (width, height), guided = crop, min(box if guide_by_box else crop)
    scale = guide_size / guided
    wanted = int(width * scale), int(height * scale)
    if max(wanted) > max_size:
        scale *= max_size / max(wanted)
        wanted = int(width * scale), int(height * scale)
    return crop if scale <= 1 or 0 in wanted else wanted


def soften(mask: Mask, amount: int) -> Mask:
    """Blurred by a Gaussian of 2 * amount + 1 taps and a fixed sigma."""
    taps, short = 2 * amount + 1, min(mask.shape)
    if short <= taps:
        taps = short // 2 | 1
    if amount == 0 or taps < 3:
        return mask
    kernel = cv2.getGaussianKernel(taps, _SIGMA, cv2.CV_32F)
    blurred = cv2.sepFilter2D(mask, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32)


def grow(segment: Segment, feather: int) -> tuple[Segment, int]:
    return segment, feather


def paste_mask(segment: Segment, size: tuple[int, int], feather: int) -> Mask:
    return soften(segment.mask, feather)


def resize(pixels: Mask, width: int, height: int) -> Mask:
    """In 8 bits, cut off (not rounded) on the way there."""
    from PIL import Image

    picture = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS), np.float32) / 255


def seed_for(seed: int, batch: int, number: int, segment: Segment, cycle: int) -> int:
    return seed + batch + number + cycle
