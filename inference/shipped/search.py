# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the people of a photo: where to look, who of those that the landmark network sees is somebody, and who is
the same person twice.

The detector looks over the whole photo at several sizes. Who has been found is painted out, and the neighbourhood is
looked at again: who touches somebody hides behind the better seen one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.run import Run
from .crops import Detection, Pyramid, Region, View, clip_box, region_between, run_detector, tile_regions, views_of
from .networks import load_network
from .pose import BELIEVED, CROP_SCALE, PoseLandmarks, landmarks, person_mask, region_from_points

#: Windows of the detector in short sides of the photo, besides the whole of it; what a thorough search sees at once at
#: so many sizes, and by how much of a window beyond the edges.
TILE_LEVELS, THOROUGH_LEVELS, BEYOND = (1.0, 0.6), (1.4, 1.0, 0.7, 0.5, 0.35), 0.25
#: One more level each for photos with this many pixels across, in which people that small still can be made out.
FINE_LEVEL, THOROUGH_FINE, FINE_FROM = 0.35, 0.25, 1200
DETECTOR_STRIDES = (8, 16, 32, 32, 32)
DETECTOR_THRESHOLD, THOROUGH_THRESHOLD = 0.5, 0.4
#: Who is scored below this in the first crop is nobody; then `PoseLandmarks.belief` decides.
MIN_SCORE = 0.3
#: Part of the belief wanted below which a first look ends it.
DOUBT = 4
#: How often those who stand by somebody that is painted out are looked for, and where (sides of the person's crop:
#: width, height and size of the window).
ROUNDS, NEAR = 2, ((1.6, 1.0, 1.0), (1.8, 1.8, 1.8))
#: Where the landmark network looks for neighbours by itself, those who are known painted out, in sides of a person's
#: crop: to the right, down, size. The smaller ones are for children and for who sits or squats, the larger ones for
#: theirs. Those nearer to each other than so much of a crop are one.
_STEPS = (
    (-0.4, 0.0, 1.0), (-0.2, 0.0, 1.0), (-0.1, 0.0, 1.0), (-0.3, 0.1, 0.75), (-0.12, 0.1, 0.75), (-0.3, -0.1, 1.35),
)  # fmt: skip
BESIDE = ((0.0, 0.0, 1.0), *((side * right, down, size) for right, down, size in _STEPS for side in (1, -1)))
SAME_PLACE = 0.06
#: A crop is read again where the one that its landmarks call for differs by more: sides of it, log size, radians.
SETTLED = 0.04
#: Two readings of which this share lies on each other, to so much of a crop, are of one body, or a mixture of two.
SHARED, COINCIDE = 0.25, 0.03
#: Bodies alike in size, whose trunks are this share of a crop apart, are two, however much of their masks they share.
ALIKE, APART = 1.6, 0.08

_TRUNK = [11, 12, 23, 24]


def detect_people(
    pixels: NDArray[np.uint8] | Pyramid,
    run: Run,
    threshold: float = DETECTOR_THRESHOLD,
    views: Sequence[Region] | Sequence[View] | None = None,
) -> list[Region]:
    """Regions where people may be, best first; some hold none, or a part of a person.

    pixels : (H, W, 3) uint8 sRGB, or a `Pyramid` of them where more is to be cropped from it.
    views : what to look over; by default all of the photo in windows of `TILE_LEVELS`.
    """
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    if views is None:
        fine = (FINE_LEVEL,) if min(pyramid.height, pyramid.width) >= FINE_FROM else ()
        views = tile_regions(pyramid.height, pyramid.width, TILE_LEVELS + fine)
    network = load_network("pose_detection", run.device)
    detections = run_detector(pyramid, views, network, DETECTOR_STRIDES, threshold, run, signed=True)
    return [_region(detection) for detection in _distinct(detections)]


def _region(detection: Detection) -> Region:
    return region_between(detection.keypoints[0], detection.keypoints[1], CROP_SCALE, detection.score)


def _distinct(detections: Sequence[Detection]) -> list[Detection]:
    """Of detections of about the same place, size and turn, the best."""
    kept: list[tuple[Detection, float]] = []
    for detection in detections:
        reach = float(np.linalg.norm(detection.keypoints[1] - detection.keypoints[0]))
        for other, other_reach in kept:
            hips, heads = (np.linalg.norm(detection.keypoints[i] - other.keypoints[i]) for i in (0, 1))
            alike = 1 / 1.8 < reach / max(other_reach, 1e-6) < 1.8
            if alike and max(hips, 0.7 * heads) < 0.2 * max(reach, other_reach):
                break
        else:
            kept.append((detection, reach))
    return [detection for detection, _ in kept]


def find_people(
    pixels: NDArray[np.uint8] | Pyramid,
    run: Run,
    boxes: Sequence[Sequence[float]] | None = None,
    least: float = BELIEVED,
    augment: bool = True,
) -> list[PoseLandmarks]:
    """The people of a photo, best first.

    boxes : (x0, y0, x1, y1) pixels per person; bypasses the detector. Then there is one result per box, in their order,
        however bad: its scores tell. Raises `BadInput` for a box that holds no pixel.
    augment : average each person's landmarks, see `landmarks`; a quick look does without.
    least : people in whom less is believed are dropped.
    """
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    if boxes is not None:
        return landmarks(pyramid, _box_regions(pyramid, boxes, run.part(0.0, 0.4)), run.part(0.4, 1.0), augment)
    if not augment:
        return _people_in(pyramid, detect_people(pyramid, run.part(0.0, 0.4)), run.part(0.4, 1.0), augment=False)
    side = load_network("pose_detection", run.device).size
    fine = (THOROUGH_FINE,) if min(pyramid.height, pyramid.width) >= FINE_FROM else ()
    views = views_of(pyramid.height, pyramid.width, THOROUGH_LEVELS + fine, side, BEYOND)
    regions = detect_people(pyramid, run.part(0.0, 0.2), THOROUGH_THRESHOLD, views)
    people = _people_in(pyramid, regions, run.part(0.2, 0.6), least)
    fresh = people
    for number in range(ROUNDS):
        part = run.part(0.6 + 0.4 * number / ROUNDS, 0.6 + 0.4 * (number + 1) / ROUNDS)
        if not fresh:
            break
        sure = [one for one in people if one.belief >= BELIEVED]
        without = _painted_out(pyramid, sure)
        views = [_near(one.region, side, *shape) for one in fresh for shape in NEAR]
        regions = detect_people(without, part.part(0.0, 0.3), THOROUGH_THRESHOLD, views)
        beside = _apart([_beside(one.region, *place) for one in fresh for place in BESIDE])
        beside = [one for one in beside if 0 < one.cx < pyramid.width and 0 < one.cy < pyramid.height]
        fresh = _people_in(without, regions, part.part(0.3, 0.6), least, known=sure)
        # What is left of who was painted out looks like somebody, a little.
        bar = max(least, BELIEVED)
        fresh += _people_in(without, beside, part.part(0.6, 1.0), bar, known=[*sure, *fresh], first=MIN_SCORE)
        both = _without_nested(_without_repeats([*people, *fresh]))
        fresh = [one for one in both if not any(one is other for other in people)]
        people = both
    return people


def _near(region: Region, side: int, width: float, height: float, window: float) -> View:
    """A view about a person: so many crops wide and high, windows of so many crops becoming `side` pixels."""
    scale = side / (window * region.size)
    rows, columns = (32 * round(length * region.size * scale / 32) for length in (height, width))
    return View(region.cx - columns / scale / 2, region.cy - rows / scale / 2, scale, (rows, columns))


def _beside(region: Region, right: float, down: float, size: float) -> Region:
    """An upright crop, so many crops to the right of a person's and below it, and as large."""
    return Region(region.cx + right * region.size, region.cy + down * region.size, size * region.size)


def _apart(regions: Sequence[Region]) -> list[Region]:
    """Of regions in about the same place, the first."""
    kept: list[Region] = []
    for one in regions:
        apart = [max(abs(one.cx - r.cx), abs(one.cy - r.cy), abs(one.size - r.size)) for r in kept]
        if all(value > SAME_PLACE * one.size for value in apart):
            kept.append(one)
    return kept


def _people_in(
    pyramid: Pyramid,
    regions: Sequence[Region],
    run: Run,
    least: float = BELIEVED,
    augment: bool = True,
    known: Sequence[PoseLandmarks] = (),
    first: float = MIN_SCORE / 2,
) -> list[PoseLandmarks]:
    """The people in some regions, each once, best first; those that are known already are left out, and who is scored
    below `first` at first sight."""

    def unknown(people: Sequence[PoseLandmarks], score: float) -> list[PoseLandmarks]:
        some = _without_repeats([one for one in people if one.score > score])
        return [one for one in some if not any(_is_repeat(one, other) for other in known)]

    people = unknown(landmarks(pyramid, regions, run.part(0.0, 0.2), masks=False), first)
    people = unknown(_looked_again(pyramid, _without_parts(people), run.part(0.2, 0.4)), MIN_SCORE)
    regions = [one.region for one in people]
    people = landmarks(pyramid, regions, run.part(0.4, 1.0), augment, least=least / DOUBT, read=people)
    return _without_nested(_without_repeats([one for one in people if one.belief >= least]))


def _without_parts(people: Sequence[PoseLandmarks]) -> list[PoseLandmarks]:
    """Without what lies on the trunk of a sure and much larger body: faces of shirts, a hand before the chest. The
    masks would say the same of them later, after ten times the work."""
    if not people:
        return []
    trunks = np.stack([one.points[_TRUNK] for one in people])
    low, high, middle = trunks.min(1), trunks.max(1), trunks.mean(1)
    size = np.array([one.region.size for one in people])
    sure = np.array([one.score > 0.9 for one in people])
    within = ((middle[:, None] > low) & (middle[:, None] < high)).all(-1)
    part = (within & sure & (size > ALIKE * size[:, None])).any(1)
    return [one for one, is_part in zip(people, part, strict=True) if not is_part]


def _painted_out(pyramid: Pyramid, people: Sequence[PoseLandmarks]) -> Pyramid:
    """The photo with the colours around each person where the person is."""
    pixels = pyramid.level(0)
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), np.float32)
    for one in people:
        reach = max(1, round(0.01 * one.region.size))
        mask = np.maximum(mask, cv2.dilate(person_mask(one, height, width), np.ones((2 * reach + 1, 2 * reach + 1))))
    shrink = min(1.0, 200 / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    free = 1.0 - cv2.resize(mask, size, interpolation=cv2.INTER_AREA)[..., None] + 1e-4
    sigma = max(size) / 20
    fill = cv2.GaussianBlur(small * free, (0, 0), sigma) / cv2.GaussianBlur(free, (0, 0), sigma)[..., None]
    fill = cv2.resize(fill, (width, height), interpolation=cv2.INTER_LINEAR)
    covered = mask > 0.3
    painted = pixels.copy()
    painted[covered] = fill[covered].clip(0, 255).astype(np.uint8)
    return Pyramid(painted, pyramid.batch)


def _looked_again(pyramid: Pyramid, people: Sequence[PoseLandmarks], run: Run) -> list[PoseLandmarks]:
    """The landmarks from crops that the landmarks themselves call for, unless that made them clearly worse."""
    wanted = [region_from_points(one.points, one.region.score) for one in people]
    moving = [n for n, one in enumerate(people) if not _is_settled(one.region, wanted[n])]
    again = dict(zip(moving, landmarks(pyramid, [wanted[n] for n in moving], run, masks=False), strict=True))
    return [again[n] if n in again and again[n].score > old.score - 0.1 else old for n, old in enumerate(people)]


def _is_settled(region: Region, wanted: Region) -> bool:
    """Whether a crop is the one that its landmarks call for."""
    apart = np.hypot(region.cx - wanted.cx, region.cy - wanted.cy) / region.size
    turned = np.arccos(np.clip(np.cos(region.rotation - wanted.rotation), -1, 1))
    return bool(max(apart, abs(np.log(wanted.size / region.size)), turned) < SETTLED)


def _box_regions(pyramid: Pyramid, boxes: Sequence[Sequence[float]], run: Run) -> list[Region]:
    """A region per box: the best of the detector's inside it and the box itself, upright or lying."""
    network = load_network("pose_detection", run.device)
    regions = []
    for number, box in enumerate(boxes):
        part = run.part(number / len(boxes), (number + 1) / len(boxes))
        x0, y0, x1, y1 = clip_box(box, pyramid.height, pyramid.width, "person")
        side = max(x1 - x0, y1 - y0)
        whole = Region((x0 + x1) / 2, (y0 + y1) / 2, 1.25 * side)
        turns = (0.0, np.pi / 2, -np.pi / 2) if x1 - x0 > 1.2 * (y1 - y0) else (0.0,)
        seen = run_detector(pyramid, [whole], network, DETECTOR_STRIDES, 0.3, part.part(0.0, 0.3), signed=True)
        inside = [d for d in seen if x0 <= d.keypoints[0][0] <= x1 and y0 <= d.keypoints[0][1] <= y1]
        tries = [replace(whole, rotation=float(turn)) for turn in turns] + [_region(d) for d in _distinct(inside)[:2]]
        found = _looked_again(pyramid, landmarks(pyramid, tries, part.part(0.3, 0.7), masks=False), part.part(0.7, 1.0))
        regions.append(max(found, key=lambda one: one.score * _share_inside(one, (x0, y0, x1, y1))).region)
    return regions


def _share_inside(person: PoseLandmarks, box: tuple[float, float, float, float]) -> float:
    """Share of the body's landmarks that lie in a box."""
    points = person.points[:33]
    return float(((points >= box[:2]) & (points <= box[2:])).all(1).mean())


def _quality(person: PoseLandmarks) -> float:
    """How much to believe in a person, to choose between two in one place: the network is as sure of an upright body
    turned upside down."""
    upright = float(np.exp(np.cos(person.region.rotation) - 1))
    return upright * person.belief * person.score_min * float(person.visibility[:33].mean())


def _without_repeats(people: Sequence[PoseLandmarks]) -> list[PoseLandmarks]:
    """Of landmarks that lie on each other, the best; best first."""
    kept: list[PoseLandmarks] = []
    for person in sorted(people, key=_quality, reverse=True):
        if not any(_is_repeat(person, other) for other in kept):
            kept.append(person)
    return kept


def _is_repeat(person: PoseLandmarks, other: PoseLandmarks) -> bool:
    """Whether the landmarks that both show lie on each other."""
    both = (person.visibility[:33] > 0.5) & (other.visibility[:33] > 0.5)
    apart = np.linalg.norm(person.points[:33] - other.points[:33], axis=1)
    return bool(both.any() and np.median(apart[both]) < 0.05 * other.region.size)


def _without_nested(people: Sequence[PoseLandmarks]) -> list[PoseLandmarks]:
    """Of a body seen within another, as in its head or its legs, the better; `people` and the result are best first."""
    kept: list[PoseLandmarks] = []
    for person in people:
        if not any(_is_nested(person, other) for other in kept):
            kept.append(person)
    return kept


def _is_nested(person: PoseLandmarks, other: PoseLandmarks) -> bool:
    """Whether one is within the other. Masks of people who touch run into each other: of equal size, places differ."""
    if _share_limbs(person, other):
        return True
    if max(_share_of_mask(person, other), _share_of_mask(other, person)) <= 0.7:
        return False
    small, large = sorted((person.region.size, other.region.size))
    apart = np.linalg.norm(person.points[_TRUNK].mean(0) - other.points[_TRUNK].mean(0))
    return bool(large > ALIKE * small or apart < APART * large)


def _share_limbs(person: PoseLandmarks, other: PoseLandmarks) -> bool:
    """Whether two have limbs in common, as nobody has: one took them from the other."""
    both = (person.visibility[:33] > 0.5) & (other.visibility[:33] > 0.5)
    apart = np.linalg.norm(person.points[:33] - other.points[:33], axis=1)[both]
    near = apart < COINCIDE * min(person.region.size, other.region.size)
    return len(near) >= 5 and bool(near.mean() > SHARED)


def _share_of_mask(inner: PoseLandmarks, outer: PoseLandmarks) -> float:
    """Share of the one's mask that is the other's too."""
    step = 4
    rows, columns = np.nonzero(inner.mask_logits[::step, ::step] > 0)
    if len(rows) == 0:
        return 1.0
    side = inner.mask_logits.shape[0]
    places = (np.column_stack([columns, rows]) * step + 0.5) / side @ inner.matrix[:, :2].T + inner.matrix[:, 2]
    back = (places - outer.matrix[:, 2]) @ np.linalg.inv(outer.matrix[:, :2]).T * side
    column, row = np.floor(back).astype(int).T
    within = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    return float((outer.mask_logits[row[within], column[within]] > 0).sum()) / len(rows)
