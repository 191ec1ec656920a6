# SPDX-License-Identifier: GPL-3.0-or-later
"""One person's sightings through a clip, and whose those of the next frame are: by motion, landmarks and colours."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, logit

from ...shipped.hand import HandLandmarks
from ...shipped.pose import PoseLandmarks
from .appearance import affinity

#: Landmarks that say where a body is: ears, arms, hips, legs, feet; and the trunk alone.
BODY = np.array([0, 7, 8, *range(11, 17), *range(23, 29), 31, 32])
TRUNK = np.array([11, 12, 23, 24])
#: Landmarks between which a person's colours are looked at.
CLOTHED = np.array([11, 12, *range(23, 29)])
#: A person may be out of sight for so many seconds and still be the same track.
LONGEST_GAP = 1.0
#: Two sightings more alike than this are one person; landmarks may differ by this share of the crop.
SAME, TOLERANCE = 0.5, 0.05
#: Who comes as near to the picture's edge as this share of his size may be leaving or entering.
EDGE = 0.15
#: A body of which this share lies within another's outline is a part of that one.
COVERED = 0.6
#: Costs of the assignment beyond this are no match.
MOST_COST = 1.1
#: Nobody leaves the place foretold of him by more crops than this, in a frame or in a second; less is the reading's.
APART, APART_A_SECOND, UNSURE = 0.25, 7.5, 0.1
#: So much of somebody's speed is that of the frames before.
CALM = 0.6
#: Colours less alike than this (Bhattacharyya) are never one person's.
LEAST_AFFINITY = 0.2
#: Of two who meet, and whose colours are alike by less than this, a sighting is doubtful if its colours are nearer to
#: one's own by less than this share of what the two are apart (1 of one's own, -1 of the other's), and the other's, or
#: a mixture, if by less than that.
TOLD_APART, OWN, LEAST_OWN = 0.85, 0.5, 0.2
#: Somebody else has taken a place over from one frame to the next where clothes are less alike than this, those of so
#: many frames before and after, each alike among themselves, and the body jumps by a share of the crop. Frame to frame
#: people stay alike by 0.85 and more; four pairs of five are less alike than this.
OTHERS, WORN, THEIR_OWN, JUMP = 0.75, 3, 0.85, 0.03
#: Sides of the landmarks' masks, and how far their values count.
MASK, LOGIT = 256, 10.0


@dataclass(frozen=True)
class Sighting:
    """One person in one frame.

    colours : see `appearance.colours`; None where they are not known.  clear : nobody else is near in the picture.
    at_edge : the body reaches the picture's edge, or nearly.
    covered : share of the body's landmarks that somebody else stands before.
    hands : "left" and "right" as they are seen.
    said : what a network that reads bodies says, by name; nothing where it was not asked or saw no body.
    outline : the mask of the landmarks, 8 bits deep and deflated, where they have none: a long clip has no room for it.
    """

    landmarks: PoseLandmarks
    colours: NDArray[np.float32] | None
    clear: bool = True
    at_edge: bool = False
    covered: float = 0.0
    outline: bytes = b""
    hands: Mapping[str, HandLandmarks] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> PoseLandmarks:
        """The landmarks with their mask."""
        if not self.outline:
            return self.landmarks
        packed = np.frombuffer(zlib.decompress(self.outline), np.int8).reshape(MASK, MASK)
        return replace(self.landmarks, mask_logits=packed * np.float32(LOGIT / 127))

    def packed(self, keep: bool) -> Sighting:
        """With the mask as `outline`. keep : the colours too, which only tell who begins a track."""
        mask = np.clip(np.rint(self.landmarks.mask_logits * (127 / LOGIT)), -127, 127).astype(np.int8)
        if mask.shape != (MASK, MASK):
            return self
        landmarks = replace(self.landmarks, mask_logits=np.zeros((0, 0), np.float32))
        outline = zlib.compress(mask.tobytes(), 1)
        return replace(self, landmarks=landmarks, colours=self.colours if keep else None, outline=outline)

    @property
    def points(self) -> NDArray[np.float32]:
        return self.landmarks.points

    @property
    def size(self) -> float:
        return float(self.landmarks.region.size)


@dataclass
class Track:
    """One person's sightings, by frame index (rising), within one shot of the clip.

    seen : how often the colours were seen where nobody else is near.
    """

    sightings: dict[int, Sighting] = field(default_factory=dict)
    colours: NDArray[np.float32] | None = None
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    seen: int = 0

    @property
    def first(self) -> int:
        return next(iter(self.sightings))

    @property
    def known(self) -> bool:
        """Whether the colours tell how somebody looks."""
        return self.seen >= WORN

    @property
    def detected(self) -> float:
        """What the detector says of this person, 0..1: the mean over the frames. Of given boxes 1."""
        return float(np.mean([one.landmarks.region.score for one in self.sightings.values()]))

    @property
    def belief(self) -> float:
        """0..1 that this is somebody: what speaks for it, on the mean over the frames. Of given boxes 1."""
        every = np.array([one.landmarks.belief for one in self.sightings.values()]).clip(1e-9, 1 - 1e-9)
        return float(expit(logit(every).mean()))

    @property
    def last(self) -> int:
        return next(reversed(self.sightings))

    def add(self, frame: int, sighting: Sighting) -> None:
        """Take up a sighting: place, speed (pixels and log size a frame, smoothed) and colours follow it."""
        if self.sightings:
            gap = frame - self.last
            moved = (_place(sighting) - _place(self.sightings[self.last])) / gap
            steady = CALM if sighting.clear else 0.5 * (1 + CALM)  # where people meet, readings jump
            keep = steady**gap if len(self.sightings) > 1 else 0.0
            self.velocity = keep * self.velocity + (1 - keep) * moved * np.array([1, 1, 0.3])
        self.sightings[frame] = sighting
        if sighting.colours is None:
            return
        if self.colours is None or (sighting.clear and not self.seen):
            self.colours, self.seen = sighting.colours, int(sighting.clear)
        elif sighting.clear:
            self.seen += 1
            share = max(0.1, 1 / self.seen)
            self.colours = ((1 - share) * self.colours + share * sighting.colours).astype(np.float32)

    def near(self, frame: int) -> NDArray[np.floating]:
        """Where the landmarks (39, 2) are in a frame, or between those before and after it; at an end those there."""
        if frame in self.sightings:
            return self.sightings[frame].points
        before = max((one for one in self.sightings if one < frame), default=self.first)
        after = min((one for one in self.sightings if one > frame), default=self.last)
        share = (frame - before) / (after - before) if before < frame < after else 0.0
        return (1 - share) * self.sightings[before].points + share * self.sightings[after].points

    def predict(self, frame: int) -> NDArray[np.float64]:
        """Where the landmarks (39, 2) should be in a later frame, at constant speed."""
        last = self.sightings[self.last]
        gap = frame - self.last
        centre = last.points[TRUNK].mean(axis=0)
        growth = np.exp(np.clip(self.velocity[2] * gap, -0.3, 0.3))
        return (last.points - centre) * growth + centre + self.velocity[:2] * gap


def _place(sighting: Sighting) -> NDArray[np.float64]:
    """Trunk's middle (pixels) and log size."""
    return np.append(sighting.points[TRUNK].mean(axis=0), np.log(sighting.size)).astype(np.float64)


def similarity(first: NDArray, second: NDArray, weights: NDArray, size: float, tolerance: float = TOLERANCE) -> float:
    """Object keypoint similarity 0..1 of two sets of landmarks (39, 2) of a person whose crop is `size` pixels.

    weights : (39,) how well both are seen.
    """
    squared = ((first[BODY] - second[BODY]) ** 2).sum(axis=1)
    weights = weights[BODY] + 0.05
    return float((np.exp(-squared / (2 * (tolerance * size) ** 2)) * weights).sum() / weights.sum())


def sighting_similarity(first: Sighting, second: Sighting) -> float:
    """How much (0..1) two sightings in one frame are the same body; sizes too must agree."""
    weights = first.landmarks.visibility * second.landmarks.visibility
    return similarity(first.points, second.points, weights, min(first.size, second.size))


def at_edge(points: NDArray, size: tuple[int, ...]) -> bool:
    """Whether the landmarks (39, 2) of a body come near the edge of a picture of this width and height."""
    near = EDGE * (points[BODY].max(axis=0) - points[BODY].min(axis=0)).max()
    return bool(((points[BODY] < near) | (points[BODY] > np.array(size) - near)).any())


def is_clear(sighting: Sighting, others: Sequence[Sighting]) -> bool:
    """Whether nobody else's landmarks come near, so that the colours are this person's own."""
    return not is_near(sighting, [other.points for other in others if other is not sighting])


def is_near(sighting: Sighting, places: Sequence[NDArray]) -> bool:
    """Whether anybody whose landmarks (39, 2) are at some places is near in the picture, trunk or legs before or behind
    somebody's."""

    def overlap(own: NDArray, other: NDArray) -> bool:
        near = abs(own[TRUNK].mean(axis=0) - other[TRUNK].mean(axis=0))[0] <= 0.25 * sighting.size
        return bool(
            near and own[CLOTHED, 0].min() < other[CLOTHED, 0].max() and other[CLOTHED, 0].min() < own[CLOTHED, 0].max()
        )

    return any(overlap(sighting.points, place) for place in places)


def meet(first: NDArray, second: NDArray) -> bool:
    """Whether two bodies' landmarks (39, 2) fill boxes that overlap."""
    low, high = first[BODY].min(axis=0), first[BODY].max(axis=0)
    other_low, other_high = second[BODY].min(axis=0), second[BODY].max(axis=0)
    return bool((low < other_high).all() and (other_low < high).all())


def ownness(colours: NDArray | None, own: Track, others: Sequence[Track]) -> float:
    """Whose colours these are: 1 of one's own, -1 of any of the others'; 1 where colours do not tell."""
    if colours is None or not own.known:
        return 1.0
    told = [1.0]
    for other in others:
        apart = 1 - affinity(own.colours, other.colours)
        if other.known and apart > 1 - TOLD_APART:
            told.append((affinity(own.colours, colours) - affinity(other.colours, colours)) / apart)
    return min(told)


def parted(track: Track) -> list[Track]:
    """The track, cut where somebody else takes it over: a film that is cut before the same backdrop."""
    frames = list(track.sightings)
    starts = [n for n in range(WORN, len(frames) - WORN + 1) if _is_taken_over(track, frames[n - WORN : n + WORN])]
    if not starts:
        return [track]
    parts = []
    for start, stop in pairwise([0, *starts, len(frames)]):
        parts.append(part := Track())
        for frame in frames[start:stop]:
            part.add(frame, track.sightings[frame])
    return parts


def _is_taken_over(track: Track, frames: Sequence[int]) -> bool:
    """Whether it is somebody else in the second half of these frames."""
    seen = [track.sightings[frame] for frame in frames]
    worn = [one.colours for one in seen if one.colours is not None and one.clear]
    if len(worn) < len(frames) or frames[-1] - frames[0] >= len(frames):
        return False
    before, after = worn[:WORN], worn[WORN:]
    if others(np.mean(before, axis=0), np.mean(after, axis=0)):
        second, last, first = (one.points[BODY] for one in seen[WORN - 2 : WORN + 1])
        jump = float(np.linalg.norm(first - 2 * last + second, axis=1).mean())
        same = min(affinity(half[0], half[-1]) for half in (before, after)) > THEIR_OWN
        return same and jump > JUMP * seen[WORN].size
    return False


def others(first: NDArray | None, second: NDArray | None) -> bool:
    """Whether who wears these colours in a frame and in the next are two."""
    return affinity(first, second) < OTHERS


def distinct(sightings: Sequence[Sighting], tracks: Sequence[Track], frame: int) -> list[Sighting]:
    """One sighting per body: of those on the same pixels, the one that a track foretold best or else the surest."""

    def claim(sighting: Sighting) -> float:
        landmarks = sighting.landmarks
        predicted = [
            similarity(track.predict(frame), sighting.points, landmarks.visibility, sighting.size) for track in tracks
        ]
        return landmarks.score * float(landmarks.visibility[:33].mean()) + max(predicted, default=0.0)

    kept: list[Sighting] = []
    for sighting in sorted(sightings, key=claim, reverse=True):
        if all(sighting_similarity(sighting, other) < SAME for other in kept):
            kept.append(sighting)
    return kept


def assign(
    tracks: Sequence[Track], sightings: Sequence[Sighting], frame: int, fps: float = 25.0, strictly: bool = False
) -> list[tuple[Track | None, Sighting]]:
    """Each sighting with its track, None for a new person; the sum of the costs is the least possible.

    strictly : nobody gets a sighting in the colours of somebody else whom he meets, see `ownness`; who was lost may be
        where he was last seen.
    """
    places = [track.predict(frame) for track in tracks]

    def cost(track: Track, sighting: Sighting) -> float:
        there = zip(tracks, places, strict=True) if strictly else ()
        met = [other for other, place in there if other is not track and meet(sighting.points, place)]
        own = ownness(sighting.colours, track, met) >= LEAST_OWN
        return match_cost(track, sighting, frame, fps, strictly) if own else np.inf

    costs = np.array([[cost(track, sighting) for sighting in sightings] for track in tracks])
    owners: dict[int, Track] = {}
    if costs.size:
        rows, columns = linear_sum_assignment(np.minimum(costs, 10 * MOST_COST))
        owners = {
            int(column): tracks[row]
            for row, column in zip(rows, columns, strict=True)
            if costs[row, column] < MOST_COST
        }
    return [(owners.get(index), sighting) for index, sighting in enumerate(sightings)]


def match_cost(track: Track, sighting: Sighting, frame: int, fps: float = 25.0, may_stay: bool = False) -> float:
    """How badly (0 best) a sighting continues a track: its landmarks, its place, its size and its colours.

    may_stay : who was lost may have stayed where he was last seen, as well as gone on.
    """
    gap = frame - track.last
    predicted = track.predict(frame)
    last = track.sightings[track.last]
    weights = np.sqrt(last.landmarks.visibility * sighting.landmarks.visibility)
    alike = similarity(predicted, sighting.points, weights, last.size, TOLERANCE * min(1 + 0.3 * (gap - 1), 3))
    apart = np.linalg.norm(predicted[TRUNK].mean(axis=0) - sighting.points[TRUNK].mean(axis=0)) / last.size
    if may_stay and gap > 1:
        stayed = np.linalg.norm(last.points[TRUNK].mean(axis=0) - sighting.points[TRUNK].mean(axis=0)) / last.size
        apart = min(apart, stayed)
    grown = abs(np.log(sighting.size / last.size))
    most = min(APART, max(UNSURE, APART_A_SECOND / fps))
    if apart > min(most + 0.03 * (gap - 1), 0.6) or grown > 0.5:
        return np.inf
    same_colours = affinity(track.colours, sighting.colours)
    if same_colours < LEAST_AFFINITY:
        return np.inf
    return 0.5 * (1 - alike) + apart + 0.3 * grown + 0.8 * (1 - same_colours)
