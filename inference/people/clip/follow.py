# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who over the frames of a clip.

One pass over the frames. A person seen is followed: the landmark network looks where the person is going to be, which
is cheaper and steadier than finding everybody again. The detector looks for others a few times a second, and more
often while somebody is missing. What is seen is given to the tracks by one assignment (Kuhn 1955) over motion, landmark
similarity (OKS, Ronchi & Perona 2017) and colours. Two tracks never hold the same pixels: when the landmarks of a
person who is hidden jump onto the one in front, they are one sighting, the better claim gets it and the other track
waits, going on at its own speed, until its person comes out again. What is seen of two who meet is told apart by their
clothes, once each has been seen clear of the other. Who begins a track is followed backwards, and so is who was lost
and is clear again: of two who stand before each other one is often first seen when they part, and where he goes is
better known from there. Who is who over the whole clip `identify` decides.
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
    LEAST_OWN,
    LONGEST_GAP,
    MOST_COST,
    OWN,
    SAME,
    Sighting,
    Track,
    assign,
    at_edge,
    distinct,
    is_clear,
    is_near,
    match_cost,
    meet,
    ownness,
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
#: What clothes that are one's own count of the claim that a reading is somebody's.
WORN = 0.5
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
        #: By their points' id: points of those who were read without the others, and the colours that were left to see.
        self.alone: dict[int, tuple[NDArray, NDArray[np.float32]]] = {}
        self.worn: dict[int, NDArray | None] = {}
        #: Of how many it is known how they look, and up to which frame each track was followed back.
        self.known, self.settled = 0, dict[int, int]()
        self.kept: list[tuple[int, NDArray[np.uint8]]] = []
        self.detect_every = max(1, round(DETECT_EVERY * fps))
        self.detect_missing = max(1, round(DETECT_MISSING * fps))
        self.looked, self.found = start - self.detect_every, list[PoseLandmarks]()
        self.longest_gap = max(1, round(LONGEST_GAP * fps))

    def step(self, frame: int, pixels: NDArray[np.uint8], run: Run, boxes: Sequence | None) -> list[PoseLandmarks]:
        """Find the people of the next frame and give them to the tracks."""
        active = [track for track in self.tracks if frame - track.last <= self.longest_gap]
        pyramid = Pyramid(pixels, self.batch)
        self.alone.clear()
        if boxes is not None:
            seen = search.find_people(pyramid, run, boxes=boxes, augment=False) if len(boxes) else []
            seen = pose.read_again(pyramid, seen, frame, run)
        else:
            seen = self._look(frame, pyramid, active, run)
            if len(seen) >= len(active):  # whoever is not seen is no backdrop
                self.backdrop.add(pixels, seen)
        size = pixels.shape[1::-1]
        sightings = [Sighting(one, self._colours(pixels, one), at_edge=at_edge(one.points, size)) for one in seen]
        sightings = distinct(sightings, active, frame)
        sightings = [replace(one, clear=is_clear(one, sightings)) for one in sightings]
        owners = assign(active, sightings, frame, self.fps, strictly=boxes is None)
        lost = [track for track in active if all(track is not owner for owner, _ in owners)]
        unseen = [one.predict(frame) for one in lost]
        owners = [(owner, replace(one, clear=one.clear and not is_near(one, unseen))) for owner, one in owners]
        new: list[Track] = []
        for track, sighting in owners:
            if track is None:
                if boxes is None and all(sighting.landmarks is not one for one in self.found):
                    continue  # a crop of somebody else shows no new one, whom the detector does not see
                costs = [match_cost(one, sighting, frame, self.fps, may_stay=True) for one in lost]
                if min(costs, default=np.inf) < MOST_COST or any(meet(sighting.points, place) for place in unseen):
                    continue  # nobody new steps out of somebody who was lost: it is that one, or a mixture
                new.append(track := Track())
            track.add(frame, sighting)
        self.tracks += new
        if boxes is None:
            self._look_back(frame, run.part(1.0, 1.0))
        self._mark_covered(frame, pixels, self.tracks)
        self.kept = [*self.kept[-max(1, KEPT // pixels.nbytes) :], (frame, pixels)]
        return [track.sightings[frame].landmarks for track in self.tracks if frame in track.sightings]

    def _look_back(self, frame: int, run: Run) -> None:
        """Follow those back who are new, or were lost and are clear of everybody again. Once it is known how somebody
        looks it shows where another was taken for him."""
        known = [track for track in self.tracks if track.known]
        if len(known) > self.known:
            self.known, start = len(known), self.kept[0][0] if self.kept else frame
            for track in known:
                own = {k: one for k, one in track.sightings.items() if k < start or self._is_own(track, one, k)}
                track.sightings = own or track.sightings
                self.settled[id(track)] = min(start, self.settled.get(id(track), start))
        here = [track for track in self.tracks if frame in track.sightings]
        for track in sorted(here, key=lambda one: -_feet(one.sightings[frame].points)):
            if id(track) not in self.settled or (track.known and track.sightings[frame].clear):
                self._follow_back(track, self.settled.get(id(track), -1), run)
                self.settled[id(track)] = frame

    def _follow_back(self, track: Track, since: int, run: Run) -> None:
        """Add where somebody was in the frames since one and before the last that he is seen in, as far as he can be
        seen."""
        kept = [(frame, pixels) for frame, pixels in self.kept if since <= frame < track.last]
        back = Track()  # in time that runs the other way
        back.add(-track.last, track.sightings[track.last])
        for frame, pixels in reversed(kept):
            if frame in track.sightings:
                back.add(-frame, track.sightings[frame])
            elif -frame - back.last <= self.detect_every:
                sighting = self._seen_back(track, back, frame, pixels, run)
                if sighting is not None:
                    back.add(-frame, sighting)
                    track.sightings = dict(sorted([*track.sightings.items(), (frame, sighting)]))
                    self._mark_covered(frame, pixels, self.tracks)

    def _seen_back(self, track: Track, back: Track, frame: int, pixels: NDArray[np.uint8], run: Run) -> Sighting | None:
        """Somebody in an earlier frame, who is followed back; None where he is not seen."""
        others = [one for one in self.tracks if one is not track and frame in one.sightings]
        there = [one.sightings[frame] for one in others]
        place, pyramid = back.predict(-frame), Pyramid(pixels, self.batch)
        place = place if frame < track.first else track.near(frame)
        one = _read(pyramid, [place], frame, run, [other.points for other in there])[0]
        near = [(other.landmarks, other.points, own) for other, own in zip(there, others, strict=True)]
        one = self._apart(pyramid, one, place, track, near, run)
        one = _detected(one, back.sightings[back.last].landmarks.region.score)
        size = pixels.shape[1::-1]
        if one.score < self.min_score or not _is_in_sight(one, *size):
            return None
        sighting = Sighting(one, self._colours(pixels, one), at_edge=at_edge(one.points, size))
        if max((sighting_similarity(sighting, other) for other in there), default=0.0) >= SAME:
            return None
        if match_cost(back, sighting, -frame, self.fps) >= MOST_COST or not self._is_own(track, sighting, frame):
            return None
        return replace(sighting, clear=is_clear(sighting, there))

    def _colours(self, pixels: NDArray[np.uint8], one: PoseLandmarks) -> NDArray[np.float32]:
        """What is seen of somebody's colours where he was read."""
        told = self.alone.get(id(one.points))
        return colours(pixels, one) if told is None else told[1]

    def _is_own(self, track: Track, sighting: Sighting, frame: int) -> bool:
        """Whether colours do not say that it is somebody else of those who are there who is seen in a frame."""
        most = self.longest_gap
        there = [one for one in self.tracks if one is not track and one.first - most <= frame <= one.last + most]
        met = [other for other in there if meet(sighting.points, other.near(frame))]
        return ownness(sighting.colours, track, met) >= LEAST_OWN

    def _mark_covered(self, frame: int, pixels: NDArray[np.uint8], tracks: Sequence[Track]) -> None:
        """Tell how much others stand before of those who meet somebody in a frame."""
        here = [track for track in tracks if frame in track.sightings]
        points = [track.sightings[frame].points for track in here]
        met = [i for i, own in enumerate(points) if any(j != i and meet(own, points[j]) for j in range(len(here)))]
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
        seen = _read(pyramid, places, frame, run.part(0, 0.15))
        seen = self._untangle(pyramid, seen, places, active, run.part(0.15, 0.2))
        seen = [_detected(one, last.landmarks.region.score) for one, last in zip(seen, latest, strict=True)]
        height, width = pyramid.level(0).shape[:2]
        seen = [one for one in seen if one.score >= self.min_score and _is_in_sight(one, width, height)]
        missing = any(track.last < frame - 1 for track in active) or len(seen) < len(active)
        self.found = []
        if frame - self.looked < (self.detect_missing if missing else self.detect_every):
            return seen
        self.looked = frame
        detections = detect_people(pyramid, run.part(0.2, 0.4))
        seen = [_detected(one, vouched(one, detections)) for one in seen]
        known = [one for one in seen if one.region.score > search.SEPARATE]
        found, _ = search.search_people(pyramid, run.part(0.4, 1.0), pose.BELIEVED, known, detections, closely=False)
        # Whom the detector does not see makes room for those whom it sees there: it was a mixture of two.
        vague = [one for one in seen if not any(one is other for other in known)]
        self.found = list(known)
        seen = known + [one for one in vague if not any(meet(one.points, other.points) for other in found)]
        for one in sorted(found, key=lambda one: -one.score_min):
            if one.score < self.min_score or any(covered_share(one, other) > COVERED for other in known):
                continue
            if all(box_overlap(landmark_box(one), landmark_box(other)) <= self.most_overlap for other in seen):
                seen.append(one)
                self.found.append(one)
        return seen

    def _untangle(
        self,
        pyramid: Pyramid,
        people: list[PoseLandmarks],
        places: Sequence[NDArray],
        tracks: Sequence[Track],
        run: Run,
    ) -> list[PoseLandmarks]:
        """Read those who meet somebody in the picture again, without the others.

        The network reads one body: of two in a crop it takes limbs of both, or jumps to the one in front, who has the
        feet lower in the picture. The reading nearer to the places foretold, and less like the others, is kept.
        """
        people = list(people)
        for index in np.argsort([_feet(points) for points in places])[::-1]:
            others = [(people[n], places[n], tracks[n]) for n in range(len(people)) if n != index]
            people[index] = self._apart(pyramid, people[index], places[index], tracks[index], others, run)
        return people

    def _apart(
        self,
        pyramid: Pyramid,
        one: PoseLandmarks,
        predicted: NDArray,
        track: Track,
        others: Sequence[tuple[PoseLandmarks, NDArray, Track]],
        run: Run,
    ) -> PoseLandmarks:
        """The reading of one person, or of him without the others, who are given with the places foretold of them."""
        near = [(other, place, own) for other, place, own in others if meet(predicted, place)]
        elsewhere, them, pixels = [place for _, place, _ in near], [own for _, _, own in near], pyramid.level(0)

        def told(reading: PoseLandmarks) -> float:
            return ownness(self._colours(pixels, reading), track, them)

        if not near or (_is_undisturbed(one, predicted, elsewhere) and told(one) >= OWN):
            return one
        front = [other for other, place, _ in near if _feet(place) > _feet(predicted)]
        behind = [other for other, place, _ in near if _feet(place) <= _feet(predicted)]
        cleared = Pyramid(self.backdrop.without(pixels, front, behind, one), self.batch)
        again = pose.landmarks(cleared, [pose.region_from_points(predicted)], run)[0]
        third = pose.landmarks(cleared, [pose.region_from_points(again.points)], run)[0]
        seen = cleared.level(0)
        self.alone |= {id(new.points): (new.points, colours(seen, new)) for new in (again, third)}
        return max(one, again, third, key=lambda reading: _claim(reading, predicted, elsewhere) + WORN * told(reading))


def _read(
    pyramid: Pyramid, places: Sequence[NDArray], frame: int, run: Run, others: Sequence[NDArray] = ()
) -> list[PoseLandmarks]:
    """Those who should be at some places (39, 2) in a frame, in which there are others at theirs."""
    read = pose.landmarks(pyramid, [pose.region_from_points(points) for points in places], run.part(0.0, 0.6))
    # Of two who meet, what is where one should be may be the other.
    met = [any(meet(one, other) for other in (*places, *others) if other is not one) for one in places]
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


def _claim(reading: PoseLandmarks, predicted: NDArray, elsewhere: Sequence[NDArray]) -> float:
    """How well a reading fits what was foretold of one person, and not what was foretold of the others near by."""
    size, weights = reading.region.size, np.ones(39)
    usurped = max(similarity(other, reading.points, weights, size) for other in elsewhere)
    own = similarity(predicted, reading.points, weights, size)
    return own - max(0.0, usurped - own) + 0.3 * reading.score


def _is_undisturbed(reading: PoseLandmarks, predicted: NDArray, elsewhere: Sequence[NDArray]) -> bool:
    """Whether a reading is where it was expected, and clear of the others."""
    return _claim(reading, predicted, elsewhere) > 1.0 and reading.score > 0.8
