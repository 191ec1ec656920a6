# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person looks like from one frame to the next."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ...shipped.pose import PoseLandmarks

#: Side (pixels) of the crop that colours are counted in, and bins of L, a and b.
CROP, BINS = 96, (6, 8, 8)
#: Range of a and b (OpenCV's 8-bit Lab) that clothes fill; the rest falls into the outer bins.
SATURATED = (96, 160)
#: Shares of the crop's side: half widths of the trunk's and the legs' strokes.
STROKE = 0.05
TRUNK = (11, 12, 24, 23)
LEGS = ((23, 25, 27), (24, 26, 28))


def colours(pixels: NDArray[np.uint8], person: PoseLandmarks) -> NDArray[np.float32]:
    """Colour histograms (2, bins) of the trunk and the legs, each summing to one, within the person's mask."""
    matrix = person.matrix.copy()
    matrix[:, :2] /= CROP
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    crop = cv2.warpAffine(pixels, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)
    own = cv2.resize(person.mask_logits, (CROP, CROP), interpolation=cv2.INTER_AREA) > 0
    places = (person.points - person.matrix[:, 2]) @ np.linalg.inv(person.matrix[:, :2]).T * CROP
    places = np.clip(places, -CROP, 2 * CROP).round().astype(np.int32)
    trunk, legs = np.zeros((CROP, CROP), np.uint8), np.zeros((CROP, CROP), np.uint8)
    cv2.fillPoly(trunk, [places[list(TRUNK)]], (1,))
    cv2.polylines(trunk, [places[list(TRUNK)]], True, (1,), 3)
    for leg in LEGS:
        cv2.polylines(legs, [places[list(leg)]], False, (1,), int(2 * STROKE * CROP))
    return np.stack([_histogram(lab, (part > 0) & own) for part in (trunk, legs)])


def _histogram(lab: NDArray, picked: NDArray[np.bool_]) -> NDArray[np.float32]:
    return histogram(bins_of(lab[picked])).astype(np.float32)


def bins_of(lab: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The bin of a histogram that each colour (..., 3) falls into."""
    low, high = SATURATED
    light, hue = lab[..., :1].astype(np.int64) * BINS[0] // 256, lab[..., 1:].astype(np.int64).clip(low, high - 1) - low
    places = np.moveaxis(np.concatenate([light, hue * BINS[1] // (high - low)], -1), -1, 0)
    return np.asarray(np.ravel_multi_index(tuple(places), BINS), np.int64)


def histogram(bins: NDArray) -> NDArray[np.float64]:
    """How often colours are that fall into these bins; sums to one."""
    counts = np.bincount(bins, minlength=int(np.prod(BINS))).reshape(BINS)
    # Light changes as a person walks: neighbouring bins count a little.
    for axis in range(3):
        counts = counts + 0.5 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    counts = counts.ravel() + 1e-3
    return counts / counts.sum()


def affinity(first: NDArray | None, second: NDArray | None) -> float:
    """Bhattacharyya coefficient 0..1 of two colour histograms; 1 where one is unknown."""
    if first is None or second is None:
        return 1.0
    return float(np.sqrt(first * second).sum(axis=-1).mean())
