# SPDX-License-Identifier: GPL-3.0-or-later
"""People of a photo: where they are, and 39 landmarks of each, in the photo and in metres.

The networks look at one person in one square crop; here they are made to find several, of any size, and to say how far
they can be trusted. Landmarks 0..32 are BlazePose's (nose, eyes, ears, mouth, then left and right shoulder 11 12, elbow
13 14, wrist 15 16, fingers 17..22, hip 23 24, knee 25 26, ankle 27 28, heel 29 30, foot 31 32; left is the person's
own). 33 is the middle of the hips and 34 the point that gives the crop its size; 35 36 and 37 38 are the left and the
right hand and wrist once more.

Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking", 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.run import Run
from .crops import Detection, Pyramid, Region, clip_box, region_between, run_detector, tile_regions
from .networks import load_network

#: Windows of the detector in short sides of the photo, besides the whole of it; and those of a thorough search.
TILE_LEVELS, THOROUGH_LEVELS = (1.0, 0.6), (1.0, 0.6, 0.35)
#: One more level for photos with this many pixels across, in which people that small still can be made out.
FINE_LEVEL, FINE_FROM = 0.35, 1200
DETECTOR_STRIDES = (8, 16, 32, 32, 32)
DETECTOR_THRESHOLD = 0.5
#: A crop is this many times the distance of landmarks 33 and 34: twice for the diameter, a quarter for the margin.
CROP_SCALE = 2.5
#: Sizes of the crops that one person's landmarks are averaged over; each also mirrored.
AUGMENT_SCALES = (0.8, 0.9, 1.0, 1.12)
#: Those of them, size and whether mirrored, that already tell most false people.
FIRST_ASKED = ((1.0, True), (0.8, False))
#: Landmarks of two crops agree within this share of the crop's side; beyond it they are two opinions (left and right
#: exchanged, as in people seen from the side or from behind), whose mean would be neither.
AGREE_WITHIN = 0.035
#: Who is scored below this in the first crop, or has a wider spread, is nobody; between, `_belief` decides.
MIN_SCORE, MAX_SPREAD = 0.3, 0.02
#: What speaks for a person: the weights of `_evidence`, by logistic regression on 412 people and 303 other things that
#: the networks took for people (`benchmarks/people_random.py`), and the belief from which on somebody is one.
_BELIEF = np.array([-0.44, -0.54, 6.52, -0.33, -0.66, 0.31, 2.31, 1.95, -10.3])
BELIEVED = 0.6
#: Part of the belief wanted below which a first look ends it.
DOUBT = 4
#: The detector's threshold in a thorough search; its windows (sides of the person's crop: size, steps to the side) for
#: those who stand by somebody that is painted out, and how often that is done.
THOROUGH_THRESHOLD, NEAR_WINDOWS, ROUNDS = 0.4, ((1.0, (-0.3, 0.0, 0.3)), (1.8, (0.0,))), 2
#: Where the landmark network looks for neighbours by itself, in crops to the side.
BESIDE = (-0.4, -0.2, 0.2, 0.4)

#: Bodies alike in size, whose trunks are this share of a crop apart, are two, however much of their masks they share.
ALIKE, APART = 1.6, 0.08

_TRUNK = [11, 12, 23, 24]
_MIRRORED = (0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23, 26, 25, 28, 27)
MIRRORED = np.array([*_MIRRORED, 30, 29, 32, 31, 33, 34, 37, 38, 35, 36])
#: Landmarks that change their opinion together: head and trunk, arms, legs.
_GROUPS = ([*range(13), 23, 24, 33, 34], [*range(13, 23), *range(35, 39)], list(range(25, 33)))


@dataclass(frozen=True)
class PoseLandmarks:
    """What the landmark network says of one person. float32 throughout.

    points : (39, 2) pixels of the photo (pixel centres at +0.5).
    world : (39, 3) metres from the middle of the hips; x right, y down, z away, in axes turned with the crop back to
        the photo's upright. They are parallel to the camera's only for a person in the middle of the picture: the
        turn into the viewing ray's direction is left to the fit, which knows the camera.
    visibility, presence : (39,) 0..1, not hidden by something, and inside the crop.
    score : 0..1 that there is a person (the mean over the augmented crops), score_min : the least of those that agree.
    sigma : (39,) pixels, world_sigma : (39,) metres: spread over the augmented crops that agree, 0 without any.
    agreement : (39,) share of the augmented crops that agree with the landmark, 1 without augmentation.
    spread : over the augmented crops that agree, of the median visible landmark in sides of the crop.
    belief : 0..1 that this is somebody, from what the crops agree on; 1 without augmentation.
    region : the crop.  matrix : (2, 3) float64, crop coordinates 0..1 to pixels.
    mask_logits : (256, 256) of the person, over the crop.
    """

    points: NDArray[np.float32]
    world: NDArray[np.float32]
    visibility: NDArray[np.float32]
    presence: NDArray[np.float32]
    score: float
    score_min: float
    sigma: NDArray[np.float32]
    world_sigma: NDArray[np.float32]
    agreement: NDArray[np.float32]
    spread: float
    region: Region
    matrix: NDArray[np.float64]
    mask_logits: NDArray[np.float32]
    belief: float = 1.0


def detect_people(
    pixels: NDArray[np.uint8] | Pyramid,
    run: Run,
    threshold: float = DETECTOR_THRESHOLD,
    tiles: Sequence[Region] | None = None,
) -> list[Region]:
    """Regions where people may be, best first; some hold none, or a part of a person.

    pixels : (H, W, 3) uint8 sRGB, or a `Pyramid` of them where more is to be cropped from it.
    tiles : the windows to look into; by default all of the photo at `TILE_LEVELS`.
    """
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    if tiles is None:
        fine = (FINE_LEVEL,) if min(pyramid.height, pyramid.width) >= FINE_FROM else ()
        tiles = tile_regions(pyramid.height, pyramid.width, TILE_LEVELS + fine)
    network = load_network("pose_detection", run.device)
    detections = run_detector(pyramid, tiles, network, DETECTOR_STRIDES, threshold, run, signed=True)
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


def region_from_points(points: NDArray, score: float = 1.0) -> Region:
    """The crop that a person's landmarks (39, 2) call for: to look again, or to follow them to the next frame."""
    return region_between(points[33], points[34], CROP_SCALE, score)


def landmarks(
    pixels: NDArray[np.uint8] | Pyramid,
    regions: Sequence[Region],
    run: Run,
    augment: bool = False,
    masks: bool = True,
    least: float = 0.0,
) -> list[PoseLandmarks]:
    """Landmarks of the person in each region, in the order of the regions.

    masks : with the person's mask, which is nearly half of the work.

    augment : average over `AUGMENT_SCALES` and mirrored crops: eight times the work, less noise, and `score_min` and
        `spread` tell true people from false ones.  least : no more than `FIRST_ASKED` are asked about whom less is
        believed in after those.
    """
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    found = _read(pyramid, regions, [False] * len(regions), run.part(0.0, 0.2 if augment else 1.0), masks)
    if not augment or not regions:
        return found
    variants = [(scale, mirror) for scale in AUGMENT_SCALES for mirror in (False, True) if scale != 1.0 or mirror]
    variants.sort(key=lambda variant: variant not in FIRST_ASKED)
    few, averages = len(FIRST_ASKED), list(found)
    others: list[list[PoseLandmarks]] = [[] for _ in regions]
    asked = list(range(len(regions)))
    for start, part in ((0, variants[:few]), (few, variants[few:])):
        crops = [replace(regions[i], size=regions[i].size * scale) for i in asked for scale, _ in part]
        mirrors = [mirror for _ in asked for _, mirror in part]
        share = run.part(0.4, 1.0) if start else run.part(0.2, 0.4)
        read = _read(pyramid, crops, mirrors, share, masks=False)
        for number, i in enumerate(asked):
            others[i] += read[number * len(part) : (number + 1) * len(part)]
            averages[i] = _average(found[i], others[i])
        asked = [i for i in asked if averages[i].belief >= least]
    return averages


def _read(
    pyramid: Pyramid, regions: Sequence[Region], mirrors: Sequence[bool], run: Run, masks: bool
) -> list[PoseLandmarks]:
    """Run the landmark network over the regions, `mirrors` of them turned left to right."""
    network = load_network("pose_landmark", run.device)
    found = []
    for start, pictures in pyramid.batches(regions, network.size, run.device, replicate=True, mirror=mirrors):
        run.report(start / len(regions), "Reading poses")
        outputs = [value.cpu().numpy() for value in network(pictures, (0, 1, 2, 3, 4) if masks else (0, 1, 3, 4))]
        rows, scores, heat, world = outputs[0], outputs[1], outputs[-2], outputs[-1]
        logits = outputs[2][..., 0] if masks else np.zeros((len(rows), 0, 0), np.float32)
        rows = rows.reshape(-1, 39, 5)
        places = _refined(rows[..., :2] / network.size, heat)
        for i in range(len(rows)):
            region, mirror = regions[start + i], mirrors[start + i]
            found.append(
                _landmarks(places[i], rows[i], world[i].reshape(39, 3), float(scores[i, 0]), logits[i], region, mirror)
            )
    return found


def _landmarks(places, rows, world, score: float, logits, region: Region, mirror: bool) -> PoseLandmarks:
    """From the crop's coordinates to the photo's. A mirrored crop is turned back, left and right changing places."""
    visibility, presence = (1.0 / (1.0 + np.exp(-np.clip(rows[:, i], -50.0, 50.0))) for i in (3, 4))
    if mirror:
        places, world = places[MIRRORED] * (-1.0, 1.0) + (1.0, 0.0), world[MIRRORED] * (-1.0, 1.0, 1.0)
        visibility, presence = visibility[MIRRORED], presence[MIRRORED]
    matrix = region.matrix
    turned = world.copy()
    turned[:, :2] = world[:, :2] @ (matrix[:, :2].T / region.size)
    zeros = np.zeros(39, np.float32)
    return PoseLandmarks(
        points=(places @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32),
        world=turned.astype(np.float32),
        visibility=visibility.astype(np.float32),
        presence=presence.astype(np.float32),
        score=score,
        score_min=score,
        sigma=zeros,
        world_sigma=zeros,
        agreement=zeros + 1,
        spread=0.0,
        region=region,
        matrix=matrix,
        mask_logits=logits,
    )


def _refined(places: NDArray, heat: NDArray, kernel: int = 7, least: float = 0.5) -> NDArray[np.float64]:
    """Landmarks (B, K, 2), 0..1, moved to the heat maps' centre of mass near them.

    heat : (B, h, w, K) logits. A landmark whose map stays below `least` within the window, or that lies outside of the
    map, is left where it is.
    """
    batch, height, width, count = heat.shape
    reach = kernel // 2
    column, row = (places[..., 0] * width).astype(int), (places[..., 1] * height).astype(int)
    inside = (places >= 0).all(-1) & (column < width) & (row < height)
    steps = np.arange(-reach, reach + 1)
    xs, ys = column[..., None] + steps, row[..., None] + steps
    window_x = np.clip(xs, 0, width - 1)[:, :, None, :]
    window_y = np.clip(ys, 0, height - 1)[:, :, :, None]
    logits = heat[np.arange(batch)[:, None, None, None], window_y, window_x, np.arange(count)[None, :, None, None]]
    weights = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -50.0, 50.0)))
    weights *= ((ys >= 0) & (ys < height))[..., None] & ((xs >= 0) & (xs < width))[:, :, None, :]
    total = np.maximum(weights.sum((2, 3)), 1e-9)
    moved = np.stack(
        [(weights.sum(2) * xs).sum(-1) / total / width, (weights.sum(3) * ys).sum(-1) / total / height], -1
    )
    sure = inside & (weights.max((2, 3)) >= least)
    return np.where(sure[..., None], moved, places)


def _average(first: PoseLandmarks, others: Sequence[PoseLandmarks]) -> PoseLandmarks:
    """Mean over the crops of one person that agree, weighted by what each says of its own certainty, and the spread."""
    every = [first, *others]
    points, world = np.stack([one.points for one in every]), np.stack([one.world for one in every])
    agreeing = _agreeing(points / first.region.size, np.array([one.score for one in every]))
    weight = np.stack([one.score * (one.visibility * one.presence + 0.05) + 1e-6 for one in every]) * agreeing
    weight = (weight / weight.sum(0))[..., None]
    mean_points, mean_world = (points * weight).sum(0), (world * weight).sum(0)
    distance = np.linalg.norm(points - mean_points, axis=-1)
    scores, trunk = np.array([one.score for one in every]), agreeing[:, 11]
    seen = np.mean([one.visibility * one.presence for one in every], 0)
    spread = _spread(np.where(agreeing, distance, np.nan), seen) / first.region.size
    evidence = _evidence(spread, agreeing, scores, seen, first.region.rotation)
    return replace(
        first,
        points=mean_points.astype(np.float32),
        world=mean_world.astype(np.float32),
        visibility=np.mean([one.visibility for one in every], 0),
        presence=np.mean([one.presence for one in every], 0),
        score=float(scores.mean()),
        score_min=float(scores[trunk].min()),
        sigma=np.sqrt((distance**2 * weight[..., 0]).sum(0)).astype(np.float32),
        world_sigma=np.sqrt(((world - mean_world) ** 2 * weight).sum((0, 2))).astype(np.float32),
        agreement=agreeing.mean(0).astype(np.float32),
        spread=spread,
        belief=float(1 / (1 + np.exp(-_BELIEF @ evidence))) if spread <= MAX_SPREAD else 0.0,
    )


def _evidence(spread: float, agreeing: NDArray, scores: NDArray, seen: NDArray, rotation: float) -> NDArray[np.float64]:
    """What speaks for a person, (9,). Where people touch, some crops jump to the neighbour: those that stay count.

    spread : see `PoseLandmarks`.  agreeing : (N, 39).  scores : (N,).  seen : (39,) visibility and presence.
    rotation : radians of the crop, 0 for somebody upright.
    """
    trunk = agreeing[:, 11]
    return np.array(
        [
            np.log(spread + 1e-3),
            trunk.mean(),
            agreeing[:, :33].mean(),
            np.log(1.02 - min(scores[trunk].min(), 1)),
            np.log(1.02 - min(float(np.median(scores)), 1)),
            seen[:33].mean(),
            (seen[:33] > 0.5).mean(),
            np.cos(rotation),
            1.0,
        ]
    )


def _spread(distance: NDArray, seen: NDArray) -> float:
    """Median over the visible landmarks of their distance (N, 39) to the mean, root mean square over the crops; NaN
    where a crop does not agree."""
    visible = np.flatnonzero(seen[:33] > 0.5)
    visible = visible if len(visible) >= 5 else np.arange(33)
    return float(np.median(np.sqrt(np.nanmean(distance[:, visible] ** 2, 0))))


def _agreeing(points: NDArray, scores: NDArray) -> NDArray[np.bool_]:
    """(N, 39): which of N crops hold the opinion that most of them share, for each group of landmarks.

    points : (N, 39, 2) in sides of the crop, the upright crop first; on a tie its opinion counts.
    """
    agreeing = np.zeros(points.shape[:2], bool)
    for group in _GROUPS:
        apart = np.linalg.norm(points[:, None, group] - points[None, :, group], axis=-1).mean(-1)
        near = apart < AGREE_WITHIN
        votes = near @ scores + np.where(np.arange(len(scores)) == 0, 1e-3, 0.0)
        agreeing[:, group] = near[np.argmax(votes)][:, None]
    return agreeing


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
    tiles = tile_regions(pyramid.height, pyramid.width, THOROUGH_LEVELS, step=0.6, beyond=0.25)
    regions = detect_people(pyramid, run.part(0.0, 0.2), THOROUGH_THRESHOLD, tiles)
    people = _people_in(pyramid, regions, run.part(0.2, 0.6), least)
    fresh = people
    for number in range(ROUNDS):
        part = run.part(0.6 + 0.4 * number / ROUNDS, 0.6 + 0.4 * (number + 1) / ROUNDS)
        if not fresh:
            break
        # Who touches somebody hides behind the better seen one, until that one is painted out.
        without = _painted_out(pyramid, [one for one in people if one.belief >= BELIEVED])
        tiles = [_moved(one.region, size, step) for one in fresh for size, steps in NEAR_WINDOWS for step in steps]
        regions = detect_people(without, part.part(0.0, 0.3), THOROUGH_THRESHOLD, tiles)
        beside = [_moved(one.region, 1.0, step) for one in fresh for step in BESIDE]
        fresh = _people_in(without, regions, part.part(0.3, 0.7), least)
        fresh += _people_in(pyramid, beside, part.part(0.7, 1.0), least, known=people)
        both = _without_nested(_without_repeats([*people, *fresh]))
        fresh = [one for one in both if not any(one is other for other in people)]
        people = both
    return people


def _people_in(
    pyramid: Pyramid,
    regions: Sequence[Region],
    run: Run,
    least: float = BELIEVED,
    augment: bool = True,
    known: Sequence[PoseLandmarks] = (),
) -> list[PoseLandmarks]:
    """The people in some regions, each once, best first; those that are known already are left out."""
    people = landmarks(pyramid, regions, run.part(0.0, 0.2), masks=False)
    people = _without_parts([one for one in people if one.score > MIN_SCORE / 2])
    people = _looked_again(pyramid, people, run.part(0.2, 0.4))
    people = _without_repeats([one for one in people if one.score > MIN_SCORE])
    people = [one for one in people if not any(_is_repeat(one, other) for other in known)]
    people = landmarks(pyramid, [one.region for one in people], run.part(0.4, 1.0), augment, least=least / DOUBT)
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


def _moved(region: Region, size: float, step: float) -> Region:
    """A window about a person: `size` crops large, `step` crops to the right."""
    return Region(region.cx + step * region.size, region.cy, size * region.size)


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
    again = landmarks(pyramid, [region_from_points(one.points, one.region.score) for one in people], run, masks=False)
    return [new if new.score > old.score - 0.1 else old for old, new in zip(people, again, strict=True)]


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
    if max(_share_of_mask(person, other), _share_of_mask(other, person)) <= 0.7:
        return False
    small, large = sorted((person.region.size, other.region.size))
    apart = np.linalg.norm(person.points[_TRUNK].mean(0) - other.points[_TRUNK].mean(0))
    return bool(large > ALIKE * small or apart < APART * large)


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


def person_mask(person: PoseLandmarks, height: int, width: int) -> NDArray[np.float32]:
    """The network's own mask of the person, (height, width) float32 0..1, in the photo that the landmarks are of."""
    side = person.mask_logits.shape[0]
    matrix = person.matrix.copy()
    matrix[:, :2] /= side
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    mask = 1.0 / (1.0 + np.exp(-np.clip(person.mask_logits, -50.0, 50.0)))
    warped = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.float32)
