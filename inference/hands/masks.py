# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand masks of the reference node, for any model: three kinds of outline, grown or shrunk afterwards.

All are drawn at the photo's size, whatever the size of the preview.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import Hand


@dataclass(frozen=True)
class Extent:
    """Where one hand lies, in whole pixels, ends inclusive.

    landmarks : (x0, y0, x1, y1) around the 21 landmarks, which may reach out of the photo.
    rendered : the same around the hand's silhouette, or None where nothing of it is drawn.
    """

    landmarks: tuple[int, int, int, int]
    rendered: tuple[int, int, int, int] | None


def extent(keypoints: NDArray, silhouette: NDArray[np.bool_]) -> Extent:
    """The extent of a hand from its landmarks (21, 2) in pixels and its silhouette (H, W)."""
    low, high = np.trunc(keypoints.min(0)), np.trunc(keypoints.max(0))
    columns, rows = np.flatnonzero(silhouette.any(0)), np.flatnonzero(silhouette.any(1))
    rendered = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])) if len(columns) else None
    return Extent((int(low[0]), int(low[1]), int(high[0]), int(high[1])), rendered)


def extent_of(hand: Hand) -> Extent:
    """The extent of a hand that was drawn."""
    found = extent(hand.keypoints_2d, hand.depth > 0)
    return found if hand.landmark_box is None else Extent(hand.landmark_box, found.rendered)


def hand_mask(mask_type: str, preview: NDArray[np.uint8], extents: Sequence[Extent], padding: int, shape) -> NDArray:
    """The mask of all hands, (H, W) bool, before it is grown or shrunk.

    "based_on_depth" : where the preview (h, w[, 3]), scaled back to the photo's size, is not black; like the
        reference's, its outline therefore depends on the preview's resolution.
    "tight_bboxes" : the landmark boxes, cut to the photo.
    "original" : the boxes around landmarks and silhouettes, enlarged on each side by `padding` pixels or by 15 % of
        their width and height, both ends counted, whichever is more.
    """
    height, width = shape
    if mask_type == "based_on_depth":
        levels = np.ascontiguousarray(preview[..., 0] if preview.ndim == 3 else preview)
        return cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR) > 0
    mask = np.zeros((height, width), bool)
    for one in extents:
        x0, y0, x1, y1 = one.landmarks
        if mask_type == "original":
            if one.rendered is not None:
                x0, y0 = min(x0, one.rendered[0]), min(y0, one.rendered[1])
                x1, y1 = max(x1, one.rendered[2]), max(y1, one.rendered[3])
            wide, high = max(int((x1 - x0 + 1) * 0.15), padding), max(int((y1 - y0 + 1) * 0.15), padding)
            x0, y0, x1, y1 = x0 - wide, y0 - high, x1 + wide, y1 + high
        mask[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = True
    return mask


def expand(mask: NDArray[np.bool_], amount: int) -> NDArray[np.bool_]:
    """Grow (amount > 0) or shrink a mask by so many pixels of city-block distance.

    The same as `amount` steps of dilation or erosion with the plus-shaped 3 x 3 footprint, in one pass over the
    picture; what lies outside of the picture neither grows in nor eats away.
    """
    if amount == 0 or not mask.any() or mask.all():
        return mask.copy()
    source = ~mask if amount > 0 else mask
    distance = cv2.distanceTransform(source.astype(np.uint8), cv2.DIST_L1, 3)
    return distance <= amount if amount > 0 else distance > -amount
