# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose pixels are whose where people meet in the picture.

The network reads one body, and of two in a crop its mask holds parts of both, as its landmarks take limbs of both. What
several masks hold goes to whom its colours are like: to what he shows where nobody else's mask is, in this frame and
those before it. Where colours do not tell, the one with the lower feet stands in front.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ...shipped.pose import PoseLandmarks, person_mask
from .appearance import BINS, bins_of, histogram

if TYPE_CHECKING:
    from .track import Track

#: Pixels that the crop of the smallest of those who meet has across, where their parts are told; the picture, at most.
SIDE, LARGEST = 96, 640
#: How much likelier (log) the one in front is by his feet alone; how much of what is worn counts of the frames before.
IN_FRONT, ORDER, KEPT = 0.5, 2.0, 0.9
#: Colours are told from so many pixels at least, and of the log likelihoods the mean over so many around.
FEWEST, AROUND = 40, 1.5
FEET = slice(27, 33)
#: Of whom this share of the landmarks is covered on the mean of so many seconds is told; so many times at most.
COVERED_BY, COVERED_FOR, MOST_TOLD = 0.06, 0.3, 4
N_BINS = int(np.prod(BINS))
#: Landmarks along each limb, from the elbow or the knee on.
LIMBS = ([13, 15, 17, 19, 21], [14, 16, 18, 20, 22], [25, 27, 29, 31], [26, 28, 30, 32])
#: An elbow, wrist, knee or ankle behind somebody else that is less certain than this is taken from him: on rendered
#: people half of them lie more than 15 cm off.
BEHIND = 0.3


@dataclass(frozen=True)
class Parts:
    """Whose the pixels are.

    labels : (h, w) int16, the number of the person, -1 for nobody's.  shrink : columns to one of the picture.
    """

    labels: NDArray[np.int16]
    shrink: float

    def on_others(self, points: NDArray, person: int) -> NDArray[np.bool_]:
        """Which of the points (N, 2), in pixels, lie on somebody else, and not near what is the person's own."""
        height, width = self.labels.shape
        column, row = np.floor(points * self.shrink).astype(int).T
        within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column, row = column.clip(0, width - 1), row.clip(0, height - 1)
        own = cv2.dilate((self.labels == person).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        other = (self.labels >= 0) & (self.labels != person) & ~own
        return within & other[row, column]


def behind_others(found: Sequence[PoseLandmarks], masks: Sequence[NDArray[np.float32]]) -> list[PoseLandmarks]:
    """Landmarks of people of a photo, those of limbs behind somebody else as not seen: the network draws a hidden arm
    along the neighbour's, whom it hides behind.  masks : (H, W) of each, in which no pixel belongs to two."""
    if len(found) < 2:
        return list(found)
    parts = Parts(np.where(np.max(masks, axis=0) > 0.5, np.argmax(masks, axis=0), -1).astype(np.int16), 1.0)
    result = []
    for number, one in enumerate(found):
        others = parts.on_others(one.points, number)
        unsure = one.visibility * one.presence * one.agreement < BEHIND
        visibility = one.visibility.copy()
        for limb in LIMBS:
            middle, end = others[limb[:2]] & unsure[limb[:2]]
            if middle and unsure[limb[1]]:  # who shows his hand before somebody shows his arm
                visibility[limb] = 0
            elif end:
                visibility[limb[1:]] = 0
        result.append(replace(one, visibility=visibility))
    return result


def parts_of(
    pixels: NDArray[np.uint8], people: Sequence[PoseLandmarks], worn: Sequence[NDArray | None]
) -> tuple[Parts, list[NDArray | None]]:
    """Whose the pixels of people are who meet, and what each of them is known to wear now.

    people : with masks.  worn : the colours of each, as they were returned for the frame before; None where unknown.
    """
    shrink = min(1.0, SIDE / min(one.region.size for one in people), LARGEST / max(pixels.shape))
    size = (max(1, round(pixels.shape[1] * shrink)), max(1, round(pixels.shape[0] * shrink)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    bins = bins_of(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8))
    held = np.stack([_small_mask(one, shrink, size) > 0.5 for one in people])
    worn = [_added(own, bins[alone]) for own, alone in zip(worn, held & (held.sum(0) == 1), strict=True)]
    feet = np.argsort(np.argsort([one.points[FEET, 1].max() for one in people]))
    usual = np.mean([own for own in worn if own is not None] or [np.ones(N_BINS)], axis=0)
    told = [np.log(usual if own is None else own)[bins] for own in worn]
    told = np.stack([cv2.GaussianBlur(own, (0, 0), AROUND) for own in told])
    likely = told.copy()
    for one, other in permutations(range(len(people)), 2):
        both = held[one] & held[other]
        if both.any():
            in_front = np.sign(feet[one] - feet[other]) * IN_FRONT + ORDER * (told[one] - told[other])[both].mean()
            likely[one][both] += in_front
    likely[~held] = -np.inf
    labels = np.where(held.any(0), likely.argmax(0), -1).astype(np.int16)
    return Parts(labels, shrink), worn


def _small_mask(person: PoseLandmarks, shrink: float, size: tuple[int, int]) -> NDArray[np.float32]:
    return person_mask(replace(person, matrix=person.matrix * shrink), size[1], size[0])


def _added(worn: NDArray | None, bins: NDArray) -> NDArray | None:
    """What is worn, with the colours of more pixels."""
    if len(bins) < FEWEST:
        return worn
    seen = 0.99 * histogram(bins) + 0.01 / N_BINS
    return seen if worn is None else KEPT * worn + (1 - KEPT) * seen


def covered_said(tracks: Sequence[Track], fps: float, left_out: Collection[int] = ()) -> tuple[str, ...]:
    """What is to be told of people of whom parts are guessed, as somebody else is before them. left_out : who is not
    shown."""
    times = [
        f"person {number} in frames {first + 1} to {last + 1}"
        for number, track in enumerate(tracks, 1)
        if number - 1 not in left_out
        for first, last in covered_frames(track, fps)
    ]
    if len(times) > MOST_TOLD:
        times = [*times[: MOST_TOLD - 1], f"somebody {len(times) - MOST_TOLD + 1} times more"]
    told = " and ".join([", ".join(times[:-1]), times[-1]] if times[1:] else times)
    return (f"Hidden by somebody else, and guessed there: {told}. Look at them",) if times else ()


def covered_frames(track: Track, fps: float) -> list[tuple[int, int]]:
    """First and last frame of the times for which somebody else is before a person, or hides all of him."""
    frames = np.array(sorted(track.sightings))
    share = np.zeros(frames[-1] - frames[0] + 1)
    share[frames - frames[0]] = [track.sightings[frame].covered for frame in frames]
    for before, after in pairwise(frames.tolist()):
        near = not (track.sightings[before].clear and track.sightings[after].clear)
        share[before + 1 - frames[0] : after - frames[0]] = float(near)
    window = max(1, round(COVERED_FOR * fps))
    often = uniform_filter1d(share, window, mode="nearest") >= COVERED_BY
    times = np.flatnonzero(often)
    runs = np.split(times, np.flatnonzero(np.diff(times) > window) + 1)
    return [(int(run[0] + frames[0]), int(run[-1] + frames[0])) for run in runs if len(run) >= window]
