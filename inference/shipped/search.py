# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the people of a photo: who of those that the networks see is somebody, and who is the same person twice.

Who is detected is read by the landmark network in a crop. Where that shows somebody else, who stands before the one
that was meant, it is read again without those who are known: they are painted out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.run import Run
from .crops import Detection, Pyramid, Region, clip_box
from .detect import detect_people, region_of, view_of, vouched
from .pose import BELIEVED, PoseLandmarks, landmarks, landmarks_where, person_mask, region_from_points

#: Who is scored below this in the first crop is nobody; then `PoseLandmarks.belief` decides.
MIN_SCORE = 0.3
#: Part of the belief wanted below which a first look ends it.
DOUBT = 4
#: A crop is read again where the one that its landmarks call for differs by more: sides of it, log size, radians.
SETTLED = 0.04
#: Two readings of which this share lies on each other, to so much of a crop, are of one body, or a mixture of two.
SHARED, COINCIDE = 0.25, 0.03
#: Bodies alike in size, whose trunks are this share of a crop apart, are two, however much of their masks they share.
ALIKE, APART = 1.6, 0.08
#: What the detector must say of each of two (`vouched`) for them to be two wherever their bodies lie.
SEPARATE = 0.3
#: Whom the detector scores higher is told of if nobody is found in that place; if somebody is, this belief in him is
#: enough, though the detector should say little of his pose and only nothing of anybody else's.
TOLD, BACKED, FAINT = 0.6, 0.4, 0.05
#: Whom the detector scores so high is read again by those crops alone that show him: whose landmarks are somebody's,
#: and have this share of his score. So many of the six must.
DETECTED, LIKELY, KEPT, ENOUGH = 0.35, 0.5, 0.3, 3
#: Unless somebody is believed so much, and has that share of the score.
CERTAIN, LIES_ON = 0.75, 0.6
#: Keypoints that are each about so near to some better detection's (sides of the box, median) are a mixture of these.
MIXED = 0.15

_TRUNK = [11, 12, 23, 24]


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
        return _people_in(pyramid, detect_people(pyramid, run.part(0.0, 0.2)), run.part(0.2, 1.0), augment=False)
    return search_people(pyramid, run, least)[0]


def search_people(
    pyramid: Pyramid,
    run: Run,
    least: float,
    known: Sequence[PoseLandmarks] = (),
    detections: Sequence[Detection] | None = None,
    closely: bool = True,
) -> tuple[list[PoseLandmarks], int]:
    """The people of a photo but those who are known, and how many more the detector alone is sure of.

    detections : what the detector has said already.
    closely : who hides behind others is read once more, by the crops that show him alone.
    """
    if detections is None:
        detections = detect_people(pyramid, run.part(0.0, 0.2))
    fresh = _of_nobody(detections, known)
    lowest = min(least, BACKED) if closely else least
    people = _people_in(pyramid, fresh, run.part(0.2, 0.6), lowest, known=known)
    sure = [*known, *(one for one in people if one.belief >= BELIEVED)]
    hidden = _of_nobody(fresh, sure)
    if hidden and sure:
        people += _people_in(_painted_out(pyramid, sure), hidden, run.part(0.6, 0.7), lowest, known=sure)
        people = _without_nested(_without_repeats(people), detections)
    if closely:
        people = _read_closely(pyramid, people, fresh, run.part(0.7, 1.0))
        people = [one for one in _backed(people, fresh) if one.belief >= least]
    missed = [one for one in _of_nobody(fresh, people) if one.score > TOLD]
    return people, sum(not any(_is_seen_as(one, person, fresh) for person in people) for one in missed)


def _is_seen_as(one: Detection, person: PoseLandmarks, detections: Sequence[Detection]) -> bool:
    """Whether somebody who lies badly on a detection is that one nevertheless: he lies on no other one better, or is
    hardly believed, and is told of, in that place."""
    if vouched(person, [one]) > FAINT and _best_of(person, detections) is one:
        return True
    apart = np.abs(person.points[_TRUNK].mean(0) - one.centre)
    return person.belief < BELIEVED and bool((apart < one.size / 2).all())


def _backed(people: Sequence[PoseLandmarks], detections: Sequence[Detection]) -> list[PoseLandmarks]:
    """The people, those believed whom a sure detection is best seen in that is nobody else's."""
    others = _of_nobody(detections, [one for one in people if one.belief >= BELIEVED])
    sure = [one for one in others if one.score > TOLD]
    backed: list[PoseLandmarks] = []
    for one in people:
        weak = BACKED <= one.belief < BELIEVED and vouched(one, sure) > FAINT
        own = weak and any(_best_of(one, detections) is detection for detection in sure)
        backed.append(replace(one, belief=BELIEVED) if own else one)
    return backed


def _of_nobody(detections: Sequence[Detection], people: Sequence[PoseLandmarks]) -> list[Detection]:
    """Those who were detected and are none of these people."""
    return [one for one in detections if not any(_is_of(one, person) for person in people)]


def _read_closely(
    pyramid: Pyramid, people: list[PoseLandmarks], detections: Sequence[Detection], run: Run
) -> list[PoseLandmarks]:
    """The people, and each who was detected but is nobody certain, by the crops that show him alone."""

    def is_certain(person: PoseLandmarks, one: Detection) -> bool:
        return person.belief >= CERTAIN and vouched(person, [one]) > LIES_ON * one.score

    certain = [person for person in people if any(is_certain(person, one) for one in detections)]
    doubtful = [
        one
        for number, one in enumerate(detections)
        if one.score >= DETECTED
        and not any(is_certain(person, one) for person in certain)
        and not _is_mixture(one, detections[:number])
    ]
    painted = _painted_out(pyramid, certain) if certain and doubtful else pyramid
    for number, one in enumerate(doubtful):
        part = run.part(number / len(doubtful), (number + 1) / len(doubtful))
        hidden = any(_meet(region_of(one), person.region) for person in certain)
        own = _own(one, [pyramid, painted] if hidden else [pyramid], part)
        people = _with_own(people, one, own, detections)
    return people


def _meet(one: Region, other: Region) -> bool:
    """Whether two crops have a part of the photo in common, about."""
    return bool(np.hypot(one.cx - other.cx, one.cy - other.cy) < (one.size + other.size) / 2)


def _own(one: Detection, pictures: Sequence[Pyramid], run: Run) -> PoseLandmarks | None:
    """Somebody who was detected, by the crops that show him, in the picture where most do; None where few do."""

    def is_his(read: PoseLandmarks) -> float:
        share = vouched(read, [one])
        return share if read.score > LIKELY and share > KEPT * one.score else 0.0

    read = [landmarks_where(picture, region_of(one), is_his, ENOUGH, run) for picture in pictures]
    best = max([person for person in read if person is not None and is_his(person)], key=is_his, default=None)
    return best if best is not None and best.belief >= BELIEVED else None


def _with_own(
    people: list[PoseLandmarks], one: Detection, own: PoseLandmarks | None, detections: Sequence[Detection]
) -> list[PoseLandmarks]:
    """The people with somebody's own landmarks, instead of others that lie less well on what was detected of him."""
    if own is None:
        return people
    others = [person for person in people if _is_of(one, person) and _best_of(person, detections) is one]
    if any(vouched(person, [one]) >= vouched(own, [one]) for person in others):
        return people
    left = [person for person in people if not any(person is other for other in others)]
    return _without_nested(_without_repeats([*left, own]), detections)


def _best_of(person: PoseLandmarks, detections: Sequence[Detection]) -> Detection:
    """The detection that somebody lies on best."""
    return max(detections, key=lambda one: vouched(person, [one]))


def _is_mixture(detection: Detection, others: Sequence[Detection]) -> bool:
    """Whether the keypoints of a detection are taken from several others."""
    apart = [np.linalg.norm(one.keypoints - detection.keypoints, axis=1) for one in others]
    return bool(apart) and bool(np.median(np.min(apart, 0)) < MIXED * detection.size.max())


def _is_of(detection: Detection, person: PoseLandmarks) -> bool:
    """Whether somebody is the one who was detected."""
    return vouched(person, [detection]) > detection.score / 5


def _people_in(
    pyramid: Pyramid,
    detections: Sequence[Detection],
    run: Run,
    least: float = BELIEVED,
    augment: bool = True,
    known: Sequence[PoseLandmarks] = (),
) -> list[PoseLandmarks]:
    """The people who were detected, each once, best first, without those who are known already."""

    def unknown(people: Sequence[PoseLandmarks], score: float) -> list[PoseLandmarks]:
        people = [vouched_for(one, detections) for one in people]
        some = _without_repeats([one for one in people if max(one.score, one.region.score) > score])
        return [one for one in some if not any(_is_repeat(one, other) for other in known)]

    regions = [region_of(one) for one in detections]
    people = unknown(landmarks(pyramid, regions, run.part(0.0, 0.2), masks=False), MIN_SCORE / 2)
    people = unknown(_looked_again(pyramid, _without_parts(people), run.part(0.2, 0.4), detections), MIN_SCORE)
    regions = [one.region for one in people]
    people = landmarks(pyramid, regions, run.part(0.4, 1.0), augment, least=least / DOUBT, read=people)
    return _without_nested(_without_repeats([one for one in people if one.belief >= least]), detections)


def vouched_for(person: PoseLandmarks, detections: Sequence[Detection]) -> PoseLandmarks:
    """Somebody whose crop has as its score what the detections say of who is seen in it."""
    score = vouched(person, detections)
    return replace(person, region=replace(person.region, score=score))


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


def _looked_again(
    pyramid: Pyramid,
    people: Sequence[PoseLandmarks],
    run: Run,
    detections: Sequence[Detection] = (),
) -> list[PoseLandmarks]:
    """The landmarks from crops that the landmarks themselves call for, unless that made them clearly worse, or others
    than the detector saw."""
    wanted = [region_from_points(one.points, one.region.score) for one in people]
    moving = [n for n, one in enumerate(people) if not _is_settled(one.region, wanted[n])]
    again = dict(zip(moving, landmarks(pyramid, [wanted[n] for n in moving], run, masks=False), strict=True))

    def better(new: PoseLandmarks, old: PoseLandmarks) -> bool:
        own = max(([one] for one in detections), key=lambda own: vouched(old, own), default=[])
        return new.score > old.score - 0.1 and vouched(new, own) >= vouched(old, own) - 0.1

    return [again[n] if n in again and better(again[n], old) else old for n, old in enumerate(people)]


def _is_settled(region: Region, wanted: Region) -> bool:
    """Whether a crop is the one that its landmarks call for."""
    apart = np.hypot(region.cx - wanted.cx, region.cy - wanted.cy) / region.size
    turned = np.arccos(np.clip(np.cos(region.rotation - wanted.rotation), -1, 1))
    return bool(max(apart, abs(np.log(wanted.size / region.size)), turned) < SETTLED)


def _box_regions(pyramid: Pyramid, boxes: Sequence[Sequence[float]], run: Run) -> list[Region]:
    """A region per box: the best of the detector's inside it and the box itself, upright or lying."""
    regions = []
    for number, box in enumerate(boxes):
        part = run.part(number / len(boxes), (number + 1) / len(boxes))
        x0, y0, x1, y1 = clip_box(box, pyramid.height, pyramid.width, "person")
        side = max(x1 - x0, y1 - y0)
        whole = Region((x0 + x1) / 2, (y0 + y1) / 2, 1.25 * side)
        turns = (0.0, np.pi / 2, -np.pi / 2) if x1 - x0 > 1.2 * (y1 - y0) else (0.0,)
        seen = detect_people(pyramid, part.part(0.0, 0.3), views=[view_of(whole)])
        inside = [one for one in seen if x0 <= one.centre[0] <= x1 and y0 <= one.centre[1] <= y1]
        tries = [replace(whole, rotation=float(turn)) for turn in turns] + [region_of(one) for one in inside[:2]]
        found = _looked_again(pyramid, landmarks(pyramid, tries, part.part(0.3, 0.7), masks=False), part.part(0.7, 1.0))
        best = max(found, key=lambda one: one.score * _share_inside(one, (x0, y0, x1, y1)))
        regions.append(replace(best.region, score=1.0))
    return regions


def _share_inside(person: PoseLandmarks, box: tuple[float, float, float, float]) -> float:
    """Share of the body's landmarks that lie in a box."""
    points = person.points[:33]
    return float(((points >= box[:2]) & (points <= box[2:])).all(1).mean())


def _quality(person: PoseLandmarks) -> float:
    """How much to believe in a person, to choose between two in one place: the network is as sure of an upright body
    turned upside down, and of a half figure squeezed whole into a crop about its chest; the detector is not."""
    upright = float(np.exp(np.cos(person.region.rotation) - 1)) * max(person.region.score, FAINT)
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


def _without_nested(people: Sequence[PoseLandmarks], detections: Sequence[Detection] = ()) -> list[PoseLandmarks]:
    """Of a body seen within another, as in its head or its legs, the better, unless the detector saw both; `people` and
    the result are best first."""
    kept: list[PoseLandmarks] = []
    for person in people:
        if not any(_is_nested(person, other) and not _are_two(person, other, detections) for other in kept):
            kept.append(person)
    return kept


def _are_two(person: PoseLandmarks, other: PoseLandmarks, detections: Sequence[Detection]) -> bool:
    """Whether each is surely somebody whom the detector saw, and not the same one."""
    said = np.array([[vouched(one, [detection]) for detection in detections] for one in (person, other)])
    return bool(said.size and said.max(1).min() > SEPARATE and said[0].argmax() != said[1].argmax())


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
