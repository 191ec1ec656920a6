# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person looks like from one frame to the next, and where a film is cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

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
#: A camera that pans or shakes moves a thumbnail by up to so many of its pixels from frame to frame.
PAN = 2
#: Thumbnails less alike than this (correlation) that differ by more than this share of their contrast are two shots'.
#: Where cartoons and films are cut hard they are alike by less than 0.49, wherever else by 0.55 and more.
ALIKE, DIFFERENT = 0.52, 0.5
#: Of what changes a dissolve leaves less than this share unexplained: 0.1 in films; all that moves leaves 0.24.
MIXED = 0.15
#: A picture of less contrast (grey levels) shows nothing; what is darker than this share of its brightest is a bar.
BLANK, BAR = 4, 0.1


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


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A tiny picture, to tell cuts by, with the picture's proportions in its own."""
    height, width = pixels.shape[:2]
    size = (32, max(4, round(32 * height / width)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def is_blank(small: NDArray) -> bool:
    """Whether a thumbnail shows nothing: it is black or white, or faded nearly as far."""
    inside = small[_without_bars(small)]
    return float((inside - inside.mean(axis=(0, 1))).std()) < BLANK


def is_cut(before: NDArray | None, after: NDArray) -> bool:
    """Whether two thumbnails belong to different shots, or to photos that have nothing to do with each other.

    They are one shot if the camera can have moved from one to the other; dark pictures tell it as well as bright ones.
    """
    if before is None or before.shape != after.shape:
        return True
    inside = _without_bars(np.maximum(before, after))
    return all(_differ(first, second) for first, second in _overlaps(before[inside], after[inside]))


def is_dissolve(first: NDArray, *between: NDArray, last: NDArray) -> bool:
    """Whether thumbnails in a row pass over from one shot into another.

    What moves soon looks unlike itself as well, but is no mixture of what it was and what it is going to be.
    """
    if not is_cut(first, last):
        return False
    inside = _without_bars(np.maximum(first, last))
    change, changes = (last - first)[inside], np.stack([(one - first)[inside] for one in between])
    shares = (changes * change).mean(axis=(1, 2, 3)) / (change**2).mean()
    left = ((changes - shares[:, None, None, None] * change) ** 2).mean(axis=(1, 2, 3))
    half = shares[len(shares) // 2]
    return bool(0.25 < half < 0.75 and left.max() < MIXED**2 * (change**2).mean())


def _without_bars(small: NDArray) -> tuple[slice, slice]:
    """The rows and columns within black bars, and within the blurred line beside a bar: bars are alike in all shots."""
    lit = small.max(axis=-1) > BAR * small.max()
    ranges = []
    for along in (1, 0):
        count, places = lit.shape[1 - along], np.flatnonzero(lit.any(axis=along))
        low, high = (places[0], places[-1] + 1) if len(places) else (0, count)
        low, high = low + (low > 0), high - (high < count)
        ranges.append(slice(low, high) if high - low > 2 * PAN else slice(0, count))
    return ranges[0], ranges[1]


def _overlaps(before: NDArray, after: NDArray) -> Iterator[tuple[NDArray, NDArray]]:
    """What two thumbnails share if the camera has moved by some of their pixels: not at all first."""
    height, width = before.shape[:2]
    for y, x in sorted(product(range(-PAN, PAN + 1), repeat=2), key=lambda move: abs(move[0]) + abs(move[1])):
        yield (
            before[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)],
            after[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)],
        )


def _differ(first: NDArray, second: NDArray) -> bool:
    """Whether two thumbnails have little to do with each other, over most of the picture."""
    difference = np.abs(first - second).mean()
    first, second = first - first.mean(axis=(0, 1)), second - second.mean(axis=(0, 1))
    contrast = max(first.std() * second.std(), 1e-6)
    return bool((first * second).mean() / contrast < ALIKE and difference / np.sqrt(contrast) > DIFFERENT)
