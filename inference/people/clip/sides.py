# SPDX-License-Identifier: GPL-3.0-or-later
"""Left and right kept apart over the frames of a track.

The pose network reads each frame by itself and now and then takes a front for a back, or one leg for the other: the
landmarks lie where they should, under the wrong names, for a frame or for half a second. What is where in the frames
before and after tells: of all ways to exchange the names of the legs, of the rest, or of both, the one is taken that
moves the named landmarks least (Viterbi 1967), and changes the names of fewest frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .track import Sighting, Track

#: The same landmark of the other side; those from 33 on are nobody's side.
_SIDES = [k + 1 if k % 2 else k - 1 for k in range(11, 33)]
OTHER = np.array([0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *_SIDES, *range(33, 39)])
#: The landmarks that are compared, and all whose names are exchanged together: those of the legs, and the rest.
_COMPARED = (np.array([25, 26, 27, 28, 31, 32]), np.array([*range(11, 17), 23, 24]))
_EXCHANGED = (np.arange(25, 33), np.arange(25))
#: Names of legs and rest exchanged: the four ways.
WAYS = ((False, False), (True, False), (False, True), (True, True))
#: In sides of the crop: what it costs to begin or end an exchange, at once and for the time since the frame before (a
#: second of it); what a second of it costs, of the legs or the rest; and what more if it is only one of the two.
_CHANGE, _CHANGE_TIME, _EACH, _APART = 0.02, 0.3, 0.2, 0.2
#: Moves count up to this.
_MOST = 0.3
#: What it costs to leave out a frame, and how many in a row may be.
_SKIP, _SKIPPED = 0.1, 3
#: A landmark that jumps off by so many sides of the crop and comes back at once, and as a multiple of what it moves
#: meanwhile, is not where it is said to be: so much of it counts.
_JUMP, _AWAY, _LEFT = 0.03, 2.0, 0.05
#: Depths of exchanged fronts and backs are those of the frames before and after, if these are not farther (seconds).
_NEAR = 1.0


def with_steady_sides(track: Track, fps: float) -> Track:
    """The track with left and right as in most of its frames, and less trust in landmarks that jump."""
    frames = list(track.sightings)
    if len(frames) < 3:
        return track
    ways = steady_ways(np.stack([one.points for one in track.sightings.values()]), _sizes(track), frames, fps)
    sightings = {frame: exchanged(track.sightings[frame], WAYS[way]) for frame, way in zip(frames, ways, strict=True)}
    turned = [frame for frame, way in zip(frames, ways, strict=True) if WAYS[way][1]]
    sightings = _with_depths(sightings, set(turned), fps) if turned else sightings
    trust = steady_shares(np.stack([one.points for one in sightings.values()]), _sizes(track), frames)
    for frame, share in zip(frames, trust, strict=True):
        if share.min() < 1:
            landmarks = sightings[frame].landmarks
            landmarks = replace(landmarks, visibility=(landmarks.visibility * share).astype(np.float32))
            sightings[frame] = replace(sightings[frame], landmarks=landmarks)
    return replace(track, sightings=sightings)


def _sizes(track: Track) -> NDArray[np.float64]:
    return np.array([one.size for one in track.sightings.values()])


def steady_ways(points: NDArray, sizes: NDArray, frames: Sequence[int], fps: float) -> NDArray[np.int64]:
    """Which of `WAYS` (T,) each frame's names are to be exchanged in.  points : (T, 39, 2).  sizes : (T,) pixels.

    The way through the frames may leave out some that go with none (mixtures of a front and a back, say), for a price:
    over those any exchange would be free. They are named as goes best with the frame before them.
    """
    named = np.stack([[_named(one, way) for way in WAYS] for one in points])
    each = np.array([_EACH * sum(way) + _APART * (way[0] != way[1]) for way in WAYS]) / fps
    change = np.array([[sum(a != b for a, b in zip(one, other, strict=True)) for other in WAYS] for one in WAYS])
    moves: dict[tuple[int, int], NDArray] = {}
    best = np.zeros((len(points), len(WAYS)))
    came = np.zeros((len(points), len(WAYS), 2), int)
    for number in range(len(points)):
        # As if all before had been left out.
        best[number], came[number] = each + _SKIP * number, (-1, 0)
        for before in range(max(0, number - _SKIPPED - 1), number):
            size, gap = np.sqrt(sizes[number] * sizes[before]), (frames[number] - frames[before]) / fps
            moved = np.linalg.norm(named[number][None] - named[before][:, None], axis=-1) / size
            move = sum(np.minimum(moved[..., group], _MOST).mean(axis=-1) for group in _COMPARED)
            moves[before, number] = move + (_CHANGE + _CHANGE_TIME * gap) * change + each
            total = best[before][:, None] + moves[before, number] + _SKIP * (number - before - 1)
            nearer = total.min(axis=0) < best[number]
            best[number][nearer] = total.min(axis=0)[nearer]
            came[number][nearer] = np.stack([np.full(len(WAYS), before), total.argmin(axis=0)], 1)[nearer]
    ends = best + _SKIP * np.arange(len(points))[::-1, None]
    number, way = (int(one) for one in np.unravel_index(ends.argmin(), ends.shape))
    ways = np.full(len(points), -1)
    while number >= 0:
        ways[number] = way
        number, way = (int(one) for one in came[number, way])
    first = int(np.flatnonzero(ways >= 0)[0])
    for number in [*range(first - 1, -1, -1), *range(first + 1, len(points))]:
        if ways[number] < 0:
            step = (number, number + 1) if number < first else (number - 1, number)
            cost = moves[step][:, ways[number + 1]] if number < first else moves[step][ways[number - 1]]
            ways[number] = int(cost.argmin())
    return ways


def _named(values: NDArray, way: tuple[bool, bool]) -> NDArray:
    """Values (39, ...) of landmarks, those of some exchanged for the other side's."""
    values = values.copy()
    for group, exchange in zip(_EXCHANGED, way, strict=True):
        if exchange:
            values[group] = values[OTHER[group]]
    return values


def exchanged(sighting: Sighting, way: tuple[bool, bool]) -> Sighting:
    """The sighting under other names; its hands, which were read as those of the other side, are left out."""
    if not any(way):
        return sighting
    landmarks = sighting.landmarks
    named = {
        name: _named(getattr(landmarks, name), way)
        for name in ("points", "world", "visibility", "presence", "sigma", "world_sigma", "agreement")
    }
    return replace(sighting, landmarks=replace(landmarks, **named), hands={} if way[1] else sighting.hands)


def _with_depths(sightings: dict[int, Sighting], turned: set[int], fps: float) -> dict[int, Sighting]:
    """Sightings of which the `turned` ones, read as fronts for backs, have depths of the frames around them."""
    known = np.array([frame for frame in sightings if frame not in turned])
    result = dict(sightings)
    for frame in turned if len(known) else ():
        after = min(int(np.searchsorted(known, frame)), len(known) - 1)
        near = [int(known[number]) for number in {max(after - 1, 0), after}]
        near = [other for other in near if abs(other - frame) <= _NEAR * fps]
        if not near:
            continue
        weights = np.array([1 / abs(other - frame) for other in near])
        depths = np.stack([sightings[other].landmarks.world[:, 2] for other in near])
        landmarks = sightings[frame].landmarks
        world = landmarks.world.copy()
        world[:, 2] = weights @ depths / weights.sum()
        result[frame] = replace(sightings[frame], landmarks=replace(landmarks, world=world))
    return result


def steady_shares(points: NDArray, sizes: NDArray, frames: Sequence[int]) -> NDArray[np.float64]:
    """How much (T, 39) of each landmark counts: little of one that is elsewhere in the frames before and after."""
    shares = np.ones(points.shape[:2])
    steps = np.diff(frames)
    inner = 1 + np.flatnonzero((steps[:-1] == 1) & (steps[1:] == 1))
    before, here, after = points[inner - 1], points[inner], points[inner + 1]
    moved = np.linalg.norm(after - before, axis=-1) / sizes[inner, None]
    away = np.linalg.norm(here - (before + after) / 2, axis=-1) / sizes[inner, None]
    shares[inner] = np.where(away > np.maximum(_JUMP, _AWAY * moved), _LEFT, 1.0)
    return shares
