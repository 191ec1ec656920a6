# SPDX-License-Identifier: GPL-3.0-or-later
"""A mask's connected parts, which are detailed one by one, each with its crop of the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

#: A box (x0, y0, x1, y1) in pixels, the right and lower ends not included.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Segment:
    """One connected part of a mask.

    box : around its pixels.  crop : the part of the picture that is worked on.
    mask : (h, w) float32 0..1, the segment within its crop; other segments of the crop are 0.
    """

    box: Box
    crop: Box
    mask: NDArray[np.float32]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the box."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def find_segments(
    mask: NDArray[np.float32],
    *,
    crop_factor: float,
    contour_fill: bool,
    bbox_fill: bool = False,
    least: float | None = None,
) -> list[Segment]:
    """The connected parts of a mask (H, W) float32 0..1, diagonal contact included, in OpenCV's order of contours.

    Every value that is not 0 in 8 bits counts as inside. Holes and the islands in them are not segments.
    contour_fill : fill each outer contour with 1, holes and islands included; otherwise the mask's own values stay.
    bbox_fill : fill the whole box with 1.  least : shortest side of a crop, pixels.
    """
    inside = (np.clip(mask, 0, 1) * 255).astype(np.uint8)
    contours, hierarchy = cv2.findContours(inside, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    segments = []
    for number, contour in enumerate(contours):
        if hierarchy[0][number][3] >= 0:
            continue
        x, y, width, height = cv2.boundingRect(contour)
        box = (x, y, x + width, y + height)
        crop = crop_region(box, (mask.shape[1], mask.shape[0]), crop_factor, least)
        filled = np.zeros_like(inside)
        cv2.drawContours(filled, contours, number, [1.0], cv2.FILLED)
        part = filled[crop[1] : crop[3], crop[0] : crop[2]].astype(np.float32)
        if not contour_fill:
            part *= mask[crop[1] : crop[3], crop[0] : crop[2]]
        segment = Segment(box, crop, part)
        segments.append(fill_box(segment) if bbox_fill else segment)
    return segments


def fill_box(segment: Segment) -> Segment:
    """The segment with its whole box masked."""
    x0, y0, x1, y1 = segment.box
    left, top = segment.crop[:2]
    mask = segment.mask.copy()
    mask[y0 - top : y1 - top, x0 - left : x1 - left] = 1
    return replace(segment, mask=mask)


def crop_region(box: tuple[float, ...], size: tuple[int, int], factor: float, least: float | None = None) -> Box:
    """The box enlarged about its middle by `factor`, to at least `least` pixels a side, and pushed back into the
    picture of `size` (width, height); it keeps its size until it exceeds the picture."""
    ends = []
    for low, high, limit in ((box[0], box[2], size[0]), (box[1], box[3], size[1])):
        length = max((high - low) * factor, least or 0)
        start = int(low + (high - low) / 2 - length / 2)
        if start < 0:
            ends.append((0, int(min(limit, length))))
        elif start + length > limit:
            ends.append((int(max(0, limit - length)), limit))
        else:
            ends.append((start, int(min(limit, start + length))))
    (x0, x1), (y0, y1) = ends
    return x0, y0, x1, y1
