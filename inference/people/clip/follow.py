# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who over the frames of a clip.

One pass over the frames. A person seen is followed: the landmark network looks where the person is going to be, which
is cheaper and steadier than finding everybody again. The detector looks for others a few times a second, and more
often while somebody is missing. What is seen is given to the tracks by one assignment (Kuhn 1955) over motion, landmark
similarity (OKS, Ronchi & Perona 2017) and colours. Two tracks never hold the same pixels: when the landmarks of a
person who is hidden jump onto the one in front, they are one sighting, the better claim gets it and the other track
waits, going on at its own speed, until its person comes out again. Who begins a track is followed backwards, too: of
two who stand before each other one is often first seen when they part. Who is who over the whole clip `identify`
decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...runtime.run import Run
from ...shipped import pose, search
from ...shipped.crops import BATCH, Pyramid
from ...shipped.detect import detect_people, vouched
from ...shipped.pose import PoseLandmarks
from ..boxes import box_overlap, landmark_box
from .appearance import colours
from .backdrop import Backdrop, covered_share
from .cover import parts_of
from .pieces import Piece, in_pieces
from .track import (
    BODY,
    COVERED,
    LONGEST_GAP,
    MOST_COST,
    SAME,
    Sighting,
    Track,
    assign,
    at_edge,
    distinct,
    is_clear,
    match_cost,
    sighting_similarity,
    similarity,
)  # fmt: skip

#: The detector looks every so many seconds, and so many while somebody is missing: looking in each frame of 60 a second
#: takes three times as long as all else, and finds nobody more.
DETECT_EVERY, DETECT_MISSING = 0.3, 0.1
#: Who has none of nose, shoulders and hips in the picture has left it.
PRESENT = np.array([0, 11, 12, 23, 24])
#: Pixels from end to end of somebody who can still be read; less is a speck that the network goes on guessing at.
READABLE = 20
#: Followed landmarks scored below this are lost.
LEAST_SCORE = 0.4
#: Bytes of the frames that are kept, for those who are followed backwards: 1.7 seconds of full HD.
KEPT = 1 << 28


def follow_people(
    frames: Iterator[NDArray[np.uint8]],
    count: int,
    fps: float,
    run: Run,
    *,
    boxes: Sequence[Sequence[Sequence[float]]] | None = None,
    min_score: float = 0.0,
    most_overlap: float = 1.0,
    batch: int = BATCH,
    start: int = 0,
) -> Iterator[Piece]:
    """Follow the people of a clip, reading its frames once: a `Piece` for every `PIECE` frames.

    frames : pictures (H, W, 3) uint8 sRGB, from `lead_of(start)` on.  count : how many there are in the whole clip.
    start : where the first piece begins, a multiple of `PIECE`.
    boxes : per frame of the clip the people's (x0, y0, x1, y1); bypasses the detector.
    min_score : people whose landmarks are scored below it are left out.
    most_overlap : of a new person who overlaps another by more than this (IoU), the less certain one is left out.
    batch : crops of a frame that pass through a network at once.
    """

    def shot(frame: int) -> _Shot:
        return _Shot(frame, fps, max(min_score, LEAST_SCORE), most_overlap, batch)

    return in_pieces(frames, count, run, shot, boxes, start)


class _Shot:
    """The tracks of one uncut piece of a clip while it is being read."""

    def __init__(self, start: int, fps: float, min_score: float, most_overlap: float, batch: int) -> None:
        self.start, self.fps, self.min_score = start, fps, min_score
        self.most_overlap, self.batch = most_overlap, batch
        self.tracks: list[Track] = []
        self.backdrop = Backdrop()
        self.worn: dict[int, NDArray | None] = {}
        self.kept: list[tuple[int, NDArray[np.uint8]]] = []
        self.detect_every = max(1, round(DETECT_EVERY * fps))
        self.detect_missing = max(1, round(DETECT_MISSING * fps))
        self.looked = start - self.detect_every
        self.longest_gap = max(1, round(LONGEST_GAP * fps))

    def step(self, frame: int, pixels: NDArray[np.uint8], run: Run, boxes: Sequence | None) -> list[PoseLandmarks]:
        """Find the people of the next frame and give them to the tracks."""
        active = [track for track in self.tracks if frame - track.last <= self.longest_gap]
        pyramid = Pyramid(pixels, self.batch)
        if boxes is not None:
            seen = search.find_people(pyramid, run, boxes=boxes, augment=False) if len(boxes) else []
            seen = pose.read_again(pyramid, seen, frame, run)
        else:
            seen = self._look(frame, pyramid, active, run)
            if len(seen) >= len(active):  # whoever is not seen is no backdrop
                self.backdrop.add(pixels, seen)
        size = pixels.shape[1::-1]
        sightings = [Sighting(one, colours(pixels, one), at_edge=at_edge(one.points, size)) for one in seen]
        sightings = distinct(sightings, active, frame)
        sightings = [replace(one, clear=is_clear(one, sightings)) for one in sightings]
        owners = assign(active, sightings, frame, self.fps)
        lost = [track for track in active if all(track is not owner for owner, _ in owners)]
        new: list[Track] = []
        for track, sighting in owners:
            if track is None:
                if any(_meet(sighting.points, one.predict(frame)) for one in lost):
                    continue  # nobody new steps out of somebody who was lost: it is that one, or a mixture
                new.append(track := Track())
            track.add(frame, sighting)
        for track in new if boxes is None else []:
            self._follow_back(track, run.part(1.0, 1.0))
        self.tracks += new
        self._mark_covered(frame, pixels, self.tracks)
        self.kept = [*self.kept[-max(1, KEPT // pixels.nbytes) :], (frame, pixels)]
        return [track.sightings[frame].landmarks for track in self.tracks if frame in track.sightings]

    def _follow_back(self, track: Track, run: Run) -> None:
        """Add where somebody was in the frames before the one that he is first seen in, as far as he can be seen."""
        back = Track()  # in time that runs the other way
        back.add(-track.first, track.sightings[track.first])
        for frame, pixels in reversed(self.kept):
            if -frame - back.last > self.detect_every:
                break
            others = [one.sightings[frame] for one in self.tracks if frame in one.sightings]
            place, pyramid = back.predict(-frame), Pyramid(pixels, self.batch)
            one = _read(pyramid, [place], frame, run, [other.points for other in others])[0]
            one = self._apart(pyramid, one, place, [(other.landmarks, other.points) for other in others], run)
            one = _detected(one, track.sightings[track.first].landmarks.region.score)
            size = pixels.shape[1::-1]
            if one.score < self.min_score or not _is_in_sight(one, *size):
                continue
            sighting = Sighting(one, colours(pixels, one), at_edge=at_edge(one.points, size))
            if max((sighting_similarity(sighting, other) for other in others), default=0.0) >= SAME:
                continue
            if match_cost(back, sighting, -frame, self.fps) < MOST_COST:
                back.add(-frame, replace(sighting, clear=is_clear(sighting, others)))
                track.sightings = {frame: back.sightings[-frame], **track.sightings}
                self._mark_covered(frame, pixels, [*self.tracks, track])

    def _mark_covered(self, frame: int, pixels: NDArray[np.uint8], tracks: Sequence[Track]) -> None:
        """Tell how much others stand before of those who meet somebody in a frame."""
        here = [track for track in tracks if frame in track.sightings]
        points = [track.sightings[frame].points for track in here]
        met = [i for i, own in enumerate(points) if any(j != i and _meet(own, points[j]) for j in range(len(here)))]
        if not met:
            return
        seen = [here[i].sightings[frame] for i in met]
        parts, worn = parts_of(pixels, [one.landmarks for one in seen], [self.worn.get(id(here[i])) for i in met])
        for number, (i, one) in enumerate(zip(met, seen, strict=True)):
            self.worn[id(here[i])] = worn[number]
            here[i].sightings[frame] = replace(one, covered=float(parts.on_others(one.points[BODY], number).mean()))

    def _look(self, frame: int, pyramid: Pyramid, active: list[Track], run: Run) -> list[PoseLandmarks]:
        """Landmarks of the people followed and, where it is time to, of new ones."""
        places = [track.predict(frame) for track in active]
        latest = [track.sightings[track.last] for track in active]
        seen = self._untangle(pyramid, _read(pyramid, places, frame, run.part(0, 0.15)), places, run.part(0.15, 0.2))
        seen = [_detected(one, last.landmarks.region.score) for one, last in zip(seen, latest, strict=True)]
        height, width = pyramid.level(0).shape[:2]
        seen = [one for one in seen if one.score >= self.min_score and _is_in_sight(one, width, height)]
        missing = any(track.last < frame - 1 for track in active) or len(seen) < len(active)
        if frame - self.looked < (self.detect_missing if missing else self.detect_every):
            return seen
        self.looked = frame
        detections = detect_people(pyramid, run.part(0.2, 0.4))
        seen = [_detected(one, vouched(one, detections)) for one in seen]
        known = [one for one in seen if one.region.score > search.SEPARATE]
        found, _ = search.search_people(pyramid, run.part(0.4, 1.0), pose.BELIEVED, known, detections, closely=False)
        # Whom the detector does not see makes room for those whom it sees there: it was a mixture of two.
        vague = [one for one in seen if not any(one is other for other in known)]
        seen = known + [one for one in vague if not any(_meet(one.points, other.points) for other in found)]
        for one in sorted(found, key=lambda one: -one.score_min):
            if one.score < self.min_score or any(covered_share(one, other) > COVERED for other in known):
                continue
            if all(box_overlap(landmark_box(one), landmark_box(other)) <= self.most_overlap for other in seen):
                seen.append(one)
        return seen

    def _untangle(
        self, pyramid: Pyramid, people: list[PoseLandmarks], places: Sequence[NDArray], run: Run
    ) -> list[PoseLandmarks]:
        """Read those who meet somebody in the picture again, without the others.

        The network reads one body: of two in a crop it takes limbs of both, or jumps to the one in front, who has the
        feet lower in the picture. The reading nearer to the places foretold, and less like the others, is kept.
        """
        people = list(people)
        for index in np.argsort([_feet(points) for points in places])[::-1]:
            others = [(people[n], places[n]) for n in range(len(people)) if n != index]
            people[index] = self._apart(pyramid, people[index], places[index], others, run)
        return people

    def _apart(
        self,
        pyramid: Pyramid,
        one: PoseLandmarks,
        predicted: NDArray,
        others: Sequence[tuple[PoseLandmarks, NDArray]],
        run: Run,
    ) -> PoseLandmarks:
        """The reading of one person, or of him without the others, who are given with the places foretold of them."""
        near = [(other, place) for other, place in others if _meet(predicted, place)]
        elsewhere = [place for _, place in near]
        if not near or _is_undisturbed(one, predicted, elsewhere):
            return one
        front = [other for other, place in near if _feet(place) > _feet(predicted)]
        behind = [other for other, place in near if _feet(place) <= _feet(predicted)]
        cleared = Pyramid(self.backdrop.without(pyramid.level(0), front, behind, one), self.batch)
        again = pose.landmarks(cleared, [pose.region_from_points(predicted)], run)[0]
        third = pose.landmarks(cleared, [pose.region_from_points(again.points)], run)[0]
        return max(one, again, third, key=lambda reading: _claim(reading, predicted, elsewhere))


def _read(
    pyramid: Pyramid, places: Sequence[NDArray], frame: int, run: Run, others: Sequence[NDArray] = ()
) -> list[PoseLandmarks]:
    """Those who should be at some places (39, 2) in a frame, in which there are others at theirs."""
    read = pose.landmarks(pyramid, [pose.region_from_points(points) for points in places], run.part(0.0, 0.6))
    # Of two who meet, what is where one should be may be the other.
    met = [any(_meet(one, other) for other in (*places, *others) if other is not one) for one in places]
    foretold = [None if meets else one for meets, one in zip(met, places, strict=True)]
    return pose.read_again(pyramid, read, frame, run.part(0.6, 1.0), foretold)


def _detected(one: PoseLandmarks, score: float) -> PoseLandmarks:
    """Somebody who was followed, with the detector's latest word of him, and what is to be believed by it."""
    return pose.believed(replace(one, region=replace(one.region, score=score)))


def _feet(points: NDArray) -> float:
    """The row of somebody's lower foot."""
    return float(points[27:33, 1].max())


def _is_in_sight(one: PoseLandmarks, width: int, height: int) -> bool:
    """Whether somebody is still in the picture, and no speck: the network goes on guessing those who have left it."""
    points = one.points[PRESENT]
    within = ((points >= 0) & (points <= (width, height))).all(axis=1).any()
    return bool(within and np.ptp(one.points[BODY], axis=0).max() >= READABLE)


def _meet(first: NDArray, second: NDArray) -> bool:
    """Whether two bodies' landmarks (39, 2) fill boxes that overlap."""
    low, high = first[BODY].min(axis=0), first[BODY].max(axis=0)
    other_low, other_high = second[BODY].min(axis=0), second[BODY].max(axis=0)
    return bool((low < other_high).all() and (other_low < high).all())


def _claim(reading: PoseLandmarks, predicted: NDArray, elsewhere: Sequence[NDArray]) -> float:
    """How well a reading fits what was foretold of one person, and not what was foretold of the others near by."""
    size, weights = reading.region.size, np.ones(39)
    usurped = max(similarity(other, reading.points, weights, size) for other in elsewhere)
    own = similarity(predicted, reading.points, weights, size)
    return own - max(0.0, usurped - own) + 0.3 * reading.score


def _is_undisturbed(reading: PoseLandmarks, predicted: NDArray, elsewhere: Sequence[NDArray]) -> bool:
    """Whether a reading is where it was expected, and clear of the others."""
    return _claim(reading, predicted, elsewhere) > 1.0 and reading.score > 0.8
