# SPDX-License-Identifier: GPL-3.0-or-later
"""A hole in a picture filled with patches of the rest, coarse to fine, without a network.

Every patch that touches the hole is matched with the most similar one of the rest, and every pixel of the hole gets the
weighted mean of what the patches over it vote for; both are repeated (Wexler, Shechtman and Irani 2007, "Space-Time
Completion of Video", section 3). Matches are found by propagating good ones to neighbours and trying random ones
(Barnes et al. 2009, "PatchMatch", section 3), here for all patches at a time. The coarsest level begins with its edges
continued (`structure`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...geometry.resample import spread
from .contour import background
from .structure import continued

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]
    Hole = NDArray[np.bool_]

#: Sides of a patch, of which the first is taken that has `_FEWEST` complete ones outside of the hole.
_SIDES, _FEWEST = (9, 7, 5, 3), 40
#: The hole is nowhere deeper than so many pixels at the coarsest level; than the second where that has more pixels than
#: the third.
_DEPTH, _SHALLOW, _SMALL = 12, 4, 40_000
#: Shortest side of the coarsest level.
_LEAST_SIDE = 24
#: Rounds of search and vote at the coarsest level, and the fewest at any other.
_MOST_ROUNDS, _LEAST_ROUNDS = 12, 2
#: Levels with more patches than this only follow the matches of the coarser level.
_MOST_PATCHES = 25_000
#: Patch values held in memory at a time.
_CHUNK = 6_000_000
#: Sigma in pixels of the grain that averaging removes.
_GRAIN = 1.0
#: By how much the radius of the random search shrinks each time.
_SHRINK = 4.0
#: How much more a patch's known pixels count than those that are still guessed.
_KNOWN_WEIGHT = 2.0
#: How far apart background and what is before it are, on the scale of the colours.
_SIDES_COUNT = np.float32(1.0)


@dataclass
class _Level:
    """One size of the picture.

    picture : (H, W, 3 or 4), a guess of the three colours inside the hole; the fourth is the same for places that may
    stand for each other (`contour`).  weight : (H, W) how much a pixel counts where patches are compared.
    sources : (H, W) whether the patch about a pixel is complete and known.  places : (N, 2) rows and columns of the
    centres of patches that touch the hole.  matches : (N, 2) the centre of each one's match.  distances : (N,) to it.
    """

    picture: Pixels
    hole: Hole
    half: int
    weight: Pixels
    sources: Hole
    places: NDArray[np.intp]
    matches: NDArray[np.intp]
    distances: Pixels

    @property
    def side(self) -> int:
        return 2 * self.half + 1


def completed(
    picture: Pixels, hole: Hole, rng: np.random.Generator, report: Callable[[float], None] = lambda share: None
) -> Pixels | None:
    """The picture (H, W, 3) with its hole (H, W) filled; None where too little is known to take patches from.

    report : called with the share that is done, at short intervals; may raise to stop.
    """
    side = next((side for side in _SIDES if np.count_nonzero(_known_patches(~hole, side)) >= _FEWEST), None)
    if side is None or not hole.any():
        return None
    pictures, holes = _pyramid(picture, hole, side)
    sides = background(picture, hole)
    if sides is not None:  # as a further channel; the finest level follows the coarser ones without it
        for number, one in enumerate(pictures[: max(1, len(pictures) - 1)]):
            share = cv2.resize(_SIDES_COUNT * sides, one.shape[1::-1], interpolation=cv2.INTER_AREA)
            pictures[number] = np.dstack([one, share]).astype(np.float32)
    level: _Level | None = None
    for number, (small, small_hole) in enumerate(zip(pictures, holes, strict=True)):
        level = (
            _coarsest_level(small, small_hole, side, rng)
            if level is None
            else _finer_level(level, small, small_hole, rng)
        )
        rounds = max(_MOST_ROUNDS >> number, _LEAST_ROUNDS)
        rounds = 0 if len(level.places) > _MOST_PATCHES else rounds
        for done in range(rounds):
            report((number + done / rounds) / len(pictures))
            _search(level, rng)
            _fill_hole(level)
    assert level is not None
    return _sharpened(level, picture)


def _pyramid(picture: Pixels, hole: Hole, side: int) -> tuple[list[Pixels], list[Hole]]:
    """From coarse to fine. A coarse pixel is the mean of the known pixels below it."""
    known = (~hole).astype(np.float32)
    colours, weights = [picture * known[..., None]], [known]
    holes = [hole]
    while True:
        depth = cv2.distanceTransform(holes[0].astype(np.uint8), cv2.DIST_L2, 3).max()
        height, width = weights[0].shape
        if depth <= (_DEPTH if height * width <= _SMALL else _SHALLOW) or min(height, width) < 2 * _LEAST_SIDE:
            break
        size = (width + 1) // 2, (height + 1) // 2
        weight = cv2.resize(weights[0], size, interpolation=cv2.INTER_AREA)
        colour = cv2.resize(colours[0], size, interpolation=cv2.INTER_AREA)
        small_hole = weight < 0.5
        if np.count_nonzero(_known_patches(~small_hole, side)) < _FEWEST:
            break
        share = np.where(small_hole, 0, 1 / np.maximum(weight, 1e-6)).astype(np.float32)
        colours.insert(0, colour * share[..., None])
        weights.insert(0, (~small_hole).astype(np.float32))
        holes.insert(0, small_hole)
    return colours, holes


def _known_patches(known: Hole, side: int) -> Hole:
    """(H, W) whether the patch about a pixel lies in the picture and is known."""
    kernel = np.ones((side, side), np.uint8)
    inside = cv2.erode(known.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,))
    return inside.astype(bool)


def _patches(picture: NDArray, side: int) -> NDArray:
    """A view (H - side + 1, W - side + 1, ..., side, side) of all patches."""
    return sliding_window_view(picture, (side, side), axis=(0, 1))  # type: ignore[call-overload, arg-type]


def _level(picture: Pixels, hole: Hole, side: int) -> _Level:
    near = cv2.dilate(hole.astype(np.uint8), np.ones((side, side), np.uint8))
    places = np.argwhere(near)
    none = np.zeros((len(places), 2), np.intp)
    weight = np.where(hole, 1, _KNOWN_WEIGHT).astype(np.float32)
    distances = np.zeros(len(places), np.float32)
    return _Level(picture.copy(), hole, side // 2, weight, _known_patches(~hole, side), places, none, distances)


def _coarsest_level(picture: Pixels, hole: Hole, side: int, rng: np.random.Generator) -> _Level:
    """The coarsest level, its hole filled so that the edges that run into it go on."""
    level = _level(picture, hole, side)
    offsets = continued(level.picture, hole, level.sources, level.half)
    # Of a patch whose centre is known, the way of the nearest pixel of the hole.
    label = cv2.distanceTransformWithLabels((~hole).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)[1]
    label = np.asarray(label, np.intp)
    inside = np.argwhere(hole)
    numbers = np.zeros(label.max() + 1, np.intp)
    numbers[label[hole]] = np.arange(len(inside))
    from_hole = inside[numbers[label[tuple(level.places.T)]]]
    _take_matches(level, level.places + offsets[tuple(from_hole.T)], rng)
    return level


def _take_matches(level: _Level, guess: NDArray[np.intp], rng: np.random.Generator) -> None:
    """Begin with these matches (N, 2), and random ones where they are no sources."""
    within = np.clip(guess, level.half, np.array(level.hole.shape) - 1 - level.half)
    wrong = (guess < 0).any(1) | ~level.sources[tuple(within.T)]
    level.matches = np.where(wrong[:, None], _random_sources(level, rng), within)
    share = max(1, _CHUNK // (3 * level.side**2))
    for start in range(0, len(level.places), share):
        part = slice(start, start + share)
        level.distances[part] = _distances(level, level.matches[part], *_targets(level, level.places[part]))


def _targets(level: _Level, places: NDArray[np.intp]) -> tuple[Pixels, Pixels]:
    """The patches about places, and the weights of their values, both (N, 3 * side * side)."""
    half, side = level.half, level.side
    border = cv2.copyMakeBorder(level.picture, half, half, half, half, cv2.BORDER_REFLECT_101)
    weight = cv2.copyMakeBorder(level.weight, half, half, half, half, cv2.BORDER_CONSTANT, value=(0.0,))
    rows, columns = places.T
    targets = _patches(border, side)[rows, columns].reshape(len(places), -1)
    weights = _patches(weight, side)[rows, columns].reshape(len(places), -1)
    return targets, np.tile(weights, level.picture.shape[2])


def _finer_level(coarse: _Level, picture: Pixels, hole: Hole, rng: np.random.Generator) -> _Level:
    """The next level, its guess made of the matches of the coarser one."""
    level = _level(picture, hole, coarse.side)
    table = np.full((*coarse.hole.shape, 2), -1, np.intp)
    table[tuple(coarse.places.T)] = coarse.matches
    below = np.minimum(level.places // 2, np.array(coarse.hole.shape) - 1)
    found = table[tuple(below.T)]
    enlarged = cv2.resize(coarse.picture, hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
    level.picture[hole, :3] = enlarged[hole, :3]
    _take_matches(level, np.where(found >= 0, 2 * found + level.places % 2, -1), rng)
    _fill_hole(level)
    return level


def _random_sources(level: _Level, rng: np.random.Generator) -> NDArray[np.intp]:
    places = np.argwhere(level.sources)
    return places[rng.integers(len(places), size=len(level.places))]


def _search(level: _Level, rng: np.random.Generator) -> None:
    """Better matches for all patches: the neighbours', each shifted, then random ones within a shrinking radius."""
    targets, weights = _targets(level, level.places)
    level.distances = _distances(level, level.matches, targets, weights)
    number = np.full(level.hole.shape, -1, np.intp)
    number[tuple(level.places.T)] = np.arange(len(level.places))
    limit = np.array(level.hole.shape) - 1
    for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        beside = level.places - step
        there = ((beside >= 0) & (beside <= limit)).all(1)
        neighbour = np.where(there, number[tuple(np.clip(beside, 0, limit).T)], -1)
        _improve(level, np.where((neighbour >= 0)[:, None], level.matches[neighbour] + step, -1), targets, weights)
    reach = float(max(level.hole.shape))
    while reach >= 1:
        away = np.rint(rng.uniform(-reach, reach, level.matches.shape)).astype(np.intp)
        _improve(level, level.matches + away, targets, weights)
        reach /= _SHRINK


def _improve(level: _Level, candidates: NDArray[np.intp], targets: Pixels, weights: Pixels) -> None:
    """Take the candidates that are complete, known, new and more similar."""
    limit = np.array(level.hole.shape)
    good = ((candidates >= 0) & (candidates < limit)).all(1) & (candidates != level.matches).any(1)
    good[good] = level.sources[tuple(candidates[good].T)]
    which = np.flatnonzero(good)
    if not len(which):
        return
    distances = _distances(level, candidates[which], targets[which], weights[which])
    better = distances < level.distances[which]
    level.matches[which[better]] = candidates[which[better]]
    level.distances[which[better]] = distances[better]


def _distances(level: _Level, candidates: NDArray[np.intp], targets: Pixels, weights: Pixels) -> Pixels:
    """Weighted mean square difference (N,) between target patches and the patches about the candidates."""
    sources = _patches(level.picture, level.side)
    rows, columns = candidates.T - level.half
    difference = targets - sources[rows, columns].reshape(len(rows), -1)
    difference *= difference
    difference *= weights
    return difference.sum(1) / weights.sum(1)


def _fill_hole(level: _Level) -> None:
    """Give each pixel of the hole what the patches over it vote for. The grain that averaging removes comes from each
    pixel's own match; otherwise smooth patches would be the most similar ones, round by round."""
    level.picture[level.hole, :3] = _with_grain(level, _vote(level, 0.5))[level.hole, :3]


def _with_grain(level: _Level, mean: Pixels) -> Pixels:
    own = level.picture.copy()
    own[tuple(level.places.T)] = level.picture[tuple(level.matches.T)]
    lost = own - mean
    return mean + lost - cv2.GaussianBlur(lost, (0, 0), _GRAIN)


def _vote(level: _Level, sharpness: float, only: Hole | None = None) -> Pixels:
    """The weighted mean of the patches' votes for all pixels that they cover, like the picture; the picture elsewhere.

    sharpness : quantile of the distances at which a patch counts little.  only : (N,) the patches that vote.
    """
    half = level.half
    scale = max(float(np.quantile(level.distances, sharpness)), 1e-6)
    confidence = np.exp(-level.distances / (2 * scale)) + np.float32(1e-4)
    confidence = confidence if only is None else confidence * only
    # Only the rectangle about the places, with a margin for the patches' halves, which may reach out of the picture.
    corner = level.places.min(0) - 2 * half
    height, width = level.places.max(0) - corner + 2 * half + 1
    table = np.zeros((height, width, 3), np.float32)
    table[tuple((level.places - corner).T)] = np.column_stack([level.matches[:, ::-1], confidence])
    inner = height - 2 * half, width - 2 * half
    total, weight = np.zeros((*inner, level.picture.shape[2]), np.float32), np.zeros(inner, np.float32)
    for down in range(-half, half + 1):
        for right in range(-half, half + 1):
            votes = table[half - down : half - down + inner[0], half - right : half - right + inner[1]]
            columns, rows, confidence = votes[..., 0] + right, votes[..., 1] + down, votes[..., 2]
            total += cv2.remap(level.picture, columns, rows, cv2.INTER_NEAREST) * confidence[..., None]
            weight += confidence
    result = level.picture.copy()
    top, left = np.maximum(corner + half, 0)
    bottom, right = np.minimum(corner + half + inner, level.hole.shape)
    inside = np.s_[
        top - corner[0] - half : bottom - corner[0] - half, left - corner[1] - half : right - corner[1] - half
    ]
    covered = weight[inside] > 0
    result[top:bottom, left:right][covered] = (total[inside] / np.maximum(weight[inside], 1e-12)[..., None])[covered]
    return result


def _sharpened(level: _Level, picture: Pixels) -> Pixels:
    """The votes with the grain of each pixel's own match, their colours matched to those at the rim."""
    mean = _vote(level, 0.25)
    result = _with_grain(level, mean)[..., :3]
    mean = mean[..., :3]
    rim = np.zeros(level.hole.shape, bool)
    rim[tuple(level.places.T)] = True
    rim &= ~level.hole
    weight = np.repeat(rim[..., None], 3, -1).astype(np.float32)
    off = cv2.GaussianBlur((picture - mean) * weight, (0, 0), 2.0) / np.maximum(
        cv2.GaussianBlur(weight, (0, 0), 2.0), 1e-6
    )
    result = result + spread(off * weight, weight)
    return np.where(level.hole[..., None], result, picture).astype(np.float32)
