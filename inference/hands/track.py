# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hand is which over the frames of a clip.

Frame by frame, so that a clip of any length streams: each hand seen is given to a track by one assignment (Kuhn 1955)
over how far its landmarks lie from where the track foretells them, in hand lengths, and over size, distance and side.
A hand that is out of sight for a moment, hidden or missed, keeps its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import Hand, HandMaps

#: Seconds that a hand may be out of sight and still be the same; frames a second of a clip that does not say.
LONGEST_GAP, FPS = 0.5, 25.0
#: Hand lengths by which a hand may miss the place foretold, in the next frame and more with every further one.
REACH, DRIFT = 0.9, 0.25
#: A hand seldom grows in the picture by more than this factor from frame to frame (natural logarithm).
MOST_GROWTH = 0.5
#: The side is read afresh in every frame and may be wrong once; the other hand of a person is often near.
OTHER_SIDE = 0.6
#: Costs of the assignment beyond this do not match.
MOST_COST = 1.6
#: How much of a track's speed is what it was before.
_INERTIA = 0.5


@dataclass
class _Track:
    """One hand. points (21, 2) pixels in the last frame that shows it.  velocity : (2,) pixels a frame.

    votes : how often it was the left and the right one.
    """

    number: int
    last: int
    points: NDArray[np.float64]
    votes: dict[str, int] = field(default_factory=lambda: {"left": 0, "right": 0})
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    seen: int = 0

    def predicted(self, frame: int) -> NDArray[np.float64]:
        """The landmarks in a later frame: moved on at a speed that dies away."""
        ahead = sum(0.8**step for step in range(frame - self.last))
        return self.points + self.velocity * ahead

    def add(self, frame: int, hand: Hand) -> None:
        points = hand.keypoints_2d.astype(np.float64)
        if self.seen:
            moved = (points.mean(0) - self.points.mean(0)) / (frame - self.last)
            inertia = _INERTIA if self.seen > 1 else 0.0
            self.velocity = inertia * self.velocity + (1 - inertia) * moved
        self.points, self.last = points, frame
        self.seen += 1
        self.votes[hand.side] += 1


def follow_hands(frames: Iterable[HandMaps], *, fps: float | None = None) -> Iterator[HandMaps]:
    """The hands of a clip with `Hand.track_id` filled in: the same number for one hand in all frames, from 0 on.

    frames : the clip's hands, frame by frame; read as they are asked for, and not kept.  fps : frames a second.
    """
    gap = max(1, round(LONGEST_GAP * (fps or FPS)))
    tracks: list[_Track] = []
    count = 0
    for frame, maps in enumerate(frames):
        tracks = [track for track in tracks if frame - track.last <= gap]
        numbered = []
        for hand, track in zip(maps.hands, _owners(tracks, maps.hands, frame), strict=True):
            if track is None:
                track = _Track(count, frame, hand.keypoints_2d.astype(np.float64))
                tracks.append(track)
                count += 1
            track.add(frame, hand)
            numbered.append(replace(hand, track_id=track.number))
        yield replace(maps, hands=tuple(numbered))


def _owners(tracks: list[_Track], hands: tuple[Hand, ...], frame: int) -> list[_Track | None]:
    """The track of each hand, None for a new one; the sum of the costs is the least possible."""
    owners: list[_Track | None] = [None] * len(hands)
    costs = np.array([[_cost(track, hand, frame) for hand in hands] for track in tracks])
    if costs.size:
        rows, columns = linear_sum_assignment(np.minimum(costs, 10 * MOST_COST))
        for row, column in zip(rows, columns, strict=True):
            if costs[row, column] < MOST_COST:
                owners[column] = tracks[row]
    return owners


def _cost(track: _Track, hand: Hand, frame: int) -> float:
    """How badly (0 best) a hand continues a track; infinite where it cannot."""
    gap = frame - track.last
    predicted, points = track.predicted(frame), hand.keypoints_2d
    before, now = _length(track.points), _length(points)
    size = max(before, now)
    apart = float(np.linalg.norm(predicted.mean(0) - points.mean(0))) / size
    shape = float(np.median(np.linalg.norm(predicted - points, axis=1))) / size
    grown = abs(float(np.log(now / before)))
    if not np.isfinite(apart) or apart > REACH + DRIFT * (gap - 1) or grown > MOST_GROWTH * gap:
        return np.inf
    other_side = OTHER_SIDE * (1 - track.votes[hand.side] / max(track.seen, 1))
    return apart + 0.5 * shape + 0.5 * grown + other_side


def _length(points: NDArray) -> float:
    """Pixels: diagonal of the landmarks' box."""
    return max(float(np.hypot(*np.ptp(points, axis=0))), 1.0)
