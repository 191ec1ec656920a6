# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who over the frames of a clip.

One pass over the frames. A person seen is followed: the landmark network looks where the person is going to be, which
is cheaper and steadier than finding everybody again. The detector looks for others every few frames, and in every frame
while somebody is missing. What is seen is given to the tracks by one assignment (Kuhn 1955) over motion, landmark
similarity (OKS, Ronchi & Perona 2017) and colours. Two tracks never hold the same pixels: when the landmarks of a
person who is hidden jump onto the one in front, they are one sighting, the better claim gets it and the other track
waits, going on at its own speed, until its person comes out again. Who begins a track is followed backwards, too: of
two who stand before each other one is often first seen when they part. Who is who over the whole clip `identify`
decides.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ...runtime.run import Run
from ...shipped import pose, search
from ...shipped.crops import BATCH, Pyramid
from ...shipped.detect import detect_people, vouched
from ...shipped.hand import HandLandmarks
from ...shipped.pose import PoseLandmarks
from ..boxes import box_overlap, landmark_box
from .appearance import affinity, colours, is_blank, is_cut, is_dissolve, thumbnail
from .backdrop import Backdrop, covered_share
from .cover import parts_of
from .scenery import Scenery

#: Landmarks that say where a body is: ears, arms, hips, legs, feet; and the trunk alone.
BODY = np.array([0, 7, 8, *range(11, 17), *range(23, 29), 31, 32])
TRUNK = np.array([11, 12, 23, 24])
#: The detector looks every so many seconds; a person may be out of sight for so long and still be the same track.
DETECT_EVERY, LONGEST_GAP = 0.3, 1.0
#: Two sightings more alike than this are one person; landmarks may differ by this share of the crop.
SAME, TOLERANCE = 0.5, 0.05
#: Who has none of nose, shoulders and hips in the picture has left it.
PRESENT = np.array([0, 11, 12, 23, 24])
#: Pixels from end to end of somebody who can still be read; less is a speck that the network goes on guessing at.
READABLE = 20
#: Who comes as near to the picture's edge as this share of his size may be leaving or entering.
EDGE = 0.15
#: A body of which this share lies within another's outline is a part of that one.
COVERED = 0.6
#: Costs of the assignment beyond this are no match.
MOST_COST = 1.1
#: Nobody leaves the place foretold of him by more crops than this, in a frame or in a second; less is the reading's.
APART, APART_A_SECOND, UNSURE = 0.25, 7.5, 0.1
#: Colours less alike than this (Bhattacharyya) are never one person's.
LEAST_AFFINITY = 0.2
#: Followed landmarks scored below this are lost.
LEAST_SCORE = 0.4
#: Sides of the landmarks' masks, and how far their values count.
MASK, LOGIT = 256, 10.0
#: Frames of a flash, or of what breaks into a shot; and those that a dissolve is looked for in.
FLASH, DISSOLVES = 2, (10, 20)
#: Frames that are read by themselves, and those before them that join them to the others.
PIECE, LEAD = 100, 10
#: Bytes of the frames that are kept, for those who are followed backwards: 1.7 seconds of full HD.
KEPT = 1 << 28


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
    """One person's sightings, by frame index (rising), within one shot of the clip."""

    sightings: dict[int, Sighting] = field(default_factory=dict)
    colours: NDArray[np.float32] | None = None
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    @property
    def first(self) -> int:
        return next(iter(self.sightings))

    @property
    def detected(self) -> float:
        """What the detector says of this person, 0..1: the mean over the frames. Of given boxes 1."""
        return float(np.mean([one.landmarks.region.score for one in self.sightings.values()]))

    @property
    def last(self) -> int:
        return next(reversed(self.sightings))

    def add(self, frame: int, sighting: Sighting) -> None:
        """Take up a sighting: place, speed (pixels and log size a frame, smoothed) and colours follow it."""
        if self.sightings:
            gap = frame - self.last
            moved = (_place(sighting) - _place(self.sightings[self.last])) / gap
            keep = 0.6**gap if len(self.sightings) > 1 else 0.0
            self.velocity = keep * self.velocity + (1 - keep) * moved * np.array([1, 1, 0.3])
        self.sightings[frame] = sighting
        if self.colours is None or sighting.colours is None:
            self.colours = sighting.colours if self.colours is None else self.colours
        elif sighting.clear:
            self.colours = (0.9 * self.colours + 0.1 * sighting.colours).astype(np.float32)

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


@dataclass(frozen=True)
class Piece:
    """What is seen of people in some frames of a clip, read by itself.

    start, stop : its own frames; before them it has read up to `LEAD` more, by which it is joined to the piece before.
    tracks : everybody, for however short, none of them over a cut.  cuts : frames that begin another shot.
    scenery : (N, 4) float32, points of the background: see `scenery`.
    """

    start: int
    stop: int
    tracks: list[Track]
    cuts: tuple[int, ...] = ()
    scenery: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


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


class Shot(Protocol):
    """An uncut piece of a clip while it is being read. start : its first frame.  tracks : of its people, so far."""

    start: int
    tracks: list[Track]

    def step(self, frame: int, pixels: NDArray[np.uint8], run: Run, told: Any, /) -> list[PoseLandmarks]:
        """Take up the next frame; returns whom its pixels show. told : what is known of its people, if anything."""
        ...


def in_pieces(
    frames: Iterator[NDArray[np.uint8]],
    count: int,
    run: Run,
    begin: Callable[[int], Shot],
    told: Mapping[int, Any] | Sequence | None,
    start: int,
) -> Iterator[Piece]:
    """The people of a clip, a `Piece` for every `PIECE` frames, by what takes up those of one shot.

    begin : makes it, of the shot's first frame.  told : what it is told of each frame.  The rest see `follow_people`.
    A piece depends on its own frames and its lead alone, so that the pieces of a clip can be read by several machines.
    """
    held: list[tuple[int, NDArray[np.uint8]]] = []
    reader: _Reader | None = None
    for frame, pixels in enumerate(frames, lead_of(start)):
        run.report(min(frame / max(count, 1), 1), f"Following people, frame {frame + 1} of {count}")
        if reader is not None and frame == reader.stop:
            yield reader.piece(frame)
            reader = None
        done, next_done = (min(one / max(count, 1), 1) for one in (frame, frame + 1))
        if reader is None:
            reader = _Reader(max(start, frame), begin)
            for earlier, seen in held:
                reader.step(earlier, seen, run.part(done, done), told)
        part = run.part(done, next_done)
        reader.step(frame, pixels, part, told)
        held = [*held[1 - LEAD :], (frame, pixels)]
    if reader is not None:
        yield reader.piece(held[-1][0] + 1)


def lead_of(start: int) -> int:
    """The frame from which a piece that begins at `start` is read."""
    return max(0, start - LEAD)


class _Reader:
    """One piece while it is being read: shot after shot."""

    def __init__(self, start: int, begin: Callable[[int], Shot]) -> None:
        self.start, self.stop, self.begin = start, start + PIECE, begin
        self.shots: list[Shot] = []
        self.scenery = Scenery()
        #: What was seen of this shot, as thumbnails; the last one of the shot before; the size of the frames.
        self.past: list[NDArray] = []
        self.left, self.shape = None, ()

    def step(self, frame: int, pixels: NDArray[np.uint8], run: Run, told: Any) -> None:
        small, same = thumbnail(pixels), pixels.shape == self.shape
        # A film that fades out goes on with whatever it showed before, or it is cut.
        shown = [] if is_blank(small) else [small]
        if not self.shots or not same or (shown and self._is_cut(small)):
            # After a flash, or a frame that is broken, the shot goes on.
            if same and len(self.shots) > 1 and frame <= self.shots[-1].start + FLASH and not is_cut(self.left, small):
                self.shots.pop()
            else:
                self.shots.append(self.begin(frame))
                self.left = self.past[-1] if same and self.past else None
            self.scenery.cut()
            self.past = []
        self.past, self.shape = [*self.past, *shown][-DISSOLVES[-1] :], pixels.shape
        here = self.shots[-1].step(frame, pixels, run, None if told is None else told[frame])
        self.scenery.step(frame, pixels, here)

    def _is_cut(self, small: NDArray) -> bool:
        """Whether another shot begins with what a thumbnail shows, or has begun to."""
        if not self.past or is_cut(self.past[-1], small):
            return True
        return any(is_dissolve(*self.past[-count:], last=small) for count in DISSOLVES if count <= len(self.past))

    def piece(self, stop: int) -> Piece:
        tracks = [track for shot in self.shots for track in shot.tracks]
        for track in tracks:
            firsts = {track.first, min((frame for frame in track.sightings if frame >= self.start), default=None)}
            track.sightings = {frame: one.packed(frame in firsts) for frame, one in track.sightings.items()}
        cuts = tuple(shot.start for shot in self.shots[1:])
        return Piece(self.start, stop, tracks, cuts, self.scenery.paths)


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
        self.longest_gap = max(1, round(LONGEST_GAP * fps))

    def step(self, frame: int, pixels: NDArray[np.uint8], run: Run, boxes: Sequence | None) -> list[PoseLandmarks]:
        """Find the people of the next frame and give them to the tracks."""
        active = [track for track in self.tracks if frame - track.last <= self.longest_gap]
        pyramid = Pyramid(pixels, self.batch)
        if boxes is not None:
            seen = search.find_people(pyramid, run, boxes=boxes, augment=False) if len(boxes) else []
        else:
            seen = self._look(frame, pyramid, active, run)
            if len(seen) >= len(active):  # whoever is not seen is no backdrop
                self.backdrop.add(pixels, seen)
        size = pixels.shape[1::-1]
        sightings = [Sighting(one, colours(pixels, one), at_edge=at_edge(one.points, size)) for one in seen]
        sightings = distinct(sightings, active, frame)
        sightings = [replace(one, clear=_is_clear(one, sightings)) for one in sightings]
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
            one = pose.landmarks(pyramid, [pose.region_from_points(place)], run)[0]
            one = self._apart(pyramid, one, place, [(other.landmarks, other.points) for other in others], run)
            one = _detected(one, track.sightings[track.first].landmarks.region.score)
            size = pixels.shape[1::-1]
            if one.score < self.min_score or not _is_in_sight(one, *size):
                continue
            sighting = Sighting(one, colours(pixels, one), at_edge=at_edge(one.points, size))
            if max((sighting_similarity(sighting, other) for other in others), default=0.0) >= SAME:
                continue
            if match_cost(back, sighting, -frame, self.fps) < MOST_COST:
                back.add(-frame, replace(sighting, clear=_is_clear(sighting, others)))
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
        regions = [pose.region_from_points(points) for points in places]
        seen = self._untangle(pyramid, pose.landmarks(pyramid, regions, run.part(0, 0.15)), places, run.part(0.15, 0.2))
        seen = [_detected(one, last.landmarks.region.score) for one, last in zip(seen, latest, strict=True)]
        height, width = pyramid.level(0).shape[:2]
        seen = [one for one in seen if one.score >= self.min_score and _is_in_sight(one, width, height)]
        missing = any(track.last < frame - 1 for track in active) or len(seen) < len(active)
        if not missing and (frame - self.start) % self.detect_every:
            return seen
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


def _detected(one: PoseLandmarks, score: float) -> PoseLandmarks:
    """Somebody who was followed, with the detector's latest word of him."""
    return replace(one, region=replace(one.region, score=score))


def _feet(points: NDArray) -> float:
    """The row of somebody's lower foot."""
    return float(points[27:33, 1].max())


def _is_in_sight(one: PoseLandmarks, width: int, height: int) -> bool:
    """Whether somebody is still in the picture, and no speck: the network goes on guessing those who have left it."""
    points = one.points[PRESENT]
    within = ((points >= 0) & (points <= (width, height))).all(axis=1).any()
    return bool(within and np.ptp(one.points[BODY], axis=0).max() >= READABLE)


def at_edge(points: NDArray, size: tuple[int, ...]) -> bool:
    """Whether the landmarks (39, 2) of a body come near the edge of a picture of this width and height."""
    near = EDGE * (points[BODY].max(axis=0) - points[BODY].min(axis=0)).max()
    return bool(((points[BODY] < near) | (points[BODY] > np.array(size) - near)).any())


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


def _is_clear(sighting: Sighting, others: Sequence[Sighting]) -> bool:
    """Whether nobody else's landmarks come near, so that the colours are this person's own."""
    apart = [abs(_place(other) - _place(sighting))[0] / sighting.size for other in others if other is not sighting]
    return not apart or min(apart) > 0.25


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
    tracks: Sequence[Track], sightings: Sequence[Sighting], frame: int, fps: float = 25.0
) -> list[tuple[Track | None, Sighting]]:
    """Each sighting with its track, None for a new person; the sum of the costs is the least possible."""
    costs = np.array([[match_cost(track, sighting, frame, fps) for sighting in sightings] for track in tracks])
    owners: dict[int, Track] = {}
    if costs.size:
        rows, columns = linear_sum_assignment(np.minimum(costs, 10 * MOST_COST))
        owners = {
            int(column): tracks[row]
            for row, column in zip(rows, columns, strict=True)
            if costs[row, column] < MOST_COST
        }
    return [(owners.get(index), sighting) for index, sighting in enumerate(sightings)]


def match_cost(track: Track, sighting: Sighting, frame: int, fps: float = 25.0) -> float:
    """How badly (0 best) a sighting continues a track: its landmarks, its place, its size and its colours."""
    gap = frame - track.last
    predicted = track.predict(frame)
    last = track.sightings[track.last]
    weights = np.sqrt(last.landmarks.visibility * sighting.landmarks.visibility)
    alike = similarity(predicted, sighting.points, weights, last.size, TOLERANCE * min(1 + 0.3 * (gap - 1), 3))
    apart = np.linalg.norm(predicted[TRUNK].mean(axis=0) - sighting.points[TRUNK].mean(axis=0)) / last.size
    grown = abs(np.log(sighting.size / last.size))
    most = min(APART, max(UNSURE, APART_A_SECOND / fps))
    if apart > min(most + 0.03 * (gap - 1), 0.6) or grown > 0.5:
        return np.inf
    same_colours = affinity(track.colours, sighting.colours)
    if same_colours < LEAST_AFFINITY:
        return np.inf
    return 0.5 * (1 - alike) + apart + 0.3 * grown + 0.8 * (1 - same_colours)
