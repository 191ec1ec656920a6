# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a film is cut: hard, over black or white, or by a dissolve; told by tiny pictures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

#: A camera that pans or shakes moves a thumbnail by up to so many of its pixels from frame to frame.
PAN = 2
#: Thumbnails less alike than this (correlation) that differ by more than this share of their contrast are two shots'.
#: Where cartoons and films are cut hard they are alike by less than 0.49, wherever else by 0.55 and more.
ALIKE, DIFFERENT = 0.52, 0.5
#: Of what changes a dissolve leaves less than this share unexplained: 0.1 in films; all that moves leaves 0.24.
MIXED = 0.15
#: A picture of less contrast (grey levels) shows nothing; what is darker than this share of its brightest is a bar.
BLANK, BAR = 4, 0.1
#: Frames of a flash, or of what breaks into a shot; and those that a dissolve is looked for in.
FLASH, DISSOLVES = 3, (10, 20)


class Cuts:
    """Tells of each frame whether another shot begins with it."""

    def __init__(self) -> None:
        #: What was seen of this shot, as thumbnails; the last one of the shot before; the size of the frames.
        self.past: list[NDArray] = []
        self.left, self.shape = None, ()
        self.starts: list[int] = []

    def step(self, frame: int, pixels: NDArray[np.uint8]) -> Literal["same", "cut", "back"]:
        """ "back" : the shot before the last goes on, after a flash or a frame that is broken."""
        small, same = thumbnail(pixels), pixels.shape == self.shape
        # A film that fades out goes on with whatever it showed before, or it is cut.
        shown = [] if is_blank(small) else [small]
        change: Literal["same", "cut", "back"] = "same"
        if not self.starts or not same or (shown and self._is_cut(small)):
            flashed = same and len(self.starts) > 1 and frame <= self.starts[-1] + FLASH
            if flashed and not is_cut(self.left, small):
                change = "back"
                self.starts.pop()
            else:
                change = "cut"
                self.starts.append(frame)
                self.left = self.past[-1] if same and self.past else None
            self.past = []
        self.past, self.shape = [*self.past, *shown][-DISSOLVES[-1] :], pixels.shape
        return change

    def _is_cut(self, small: NDArray) -> bool:
        """Whether another shot begins with what a thumbnail shows, or has begun to."""
        if not self.past or is_cut(self.past[-1], small):
            return True
        return any(is_dissolve(*self.past[-count:], last=small) for count in DISSOLVES if count <= len(self.past))


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
