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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.run import Run
from .crops import Pyramid, Region, region_between
from .networks import load_network

#: A crop is this many times the distance of landmarks 33 and 34: twice for the diameter, a quarter for the margin.
CROP_SCALE = 2.5
#: Crops that one person's landmarks are averaged over, beside the first: size of it, and whether mirrored. So few of
#: them already tell most false people; the mask is read in the one that is as large as the first.
AUGMENTED = ((0.8, True), (0.9, False), (1.0, True), (0.9, True), (1.12, False))
FIRST_ASKED = 2
#: Crops of which each frame of a clip has another beside the first: size of it, whether mirrored, radians turned by.
#: What the network gets wrong of somebody lasts from frame to frame in the same crop, but is another thing in each.
IN_TURN = ((1.0, False, 0.12), (1.0, True, -0.12), (1.0, False, 0.25), (0.8, True, 0.0), (1.0, False, -0.25),
           (0.9, True, 0.12))  # fmt: skip
#: Of two crops, which tell little of how far many would lie apart, so much of the spread counts.
_OF_TWO = 0.5
#: Landmarks of two crops agree within this share of the crop's side; beyond it they are two opinions (left and right
#: exchanged, as in people seen from the side or from behind), whose mean would be neither.
AGREE_WITHIN = 0.035
#: Whose crops that agree spread wider (sides of the crop) is nobody; else `_evidence` decides.
MAX_SPREAD = 0.02
#: What speaks for a person: the weights of `_evidence`, by logistic regression on 646 readings of 549 people and 582
#: other things that the networks took for people (random pictures by `benchmarks/people_random.py`, captured motions,
#: photographs and crops of them), and the belief from which on somebody is one. The last weight is 0.6 more than
#: fitted: so as many people lie above that and the other thresholds as with the weights before.
_BELIEF = np.array([-0.19, 2.54, 5.53, 19.06, -11.75])
BELIEVED = 0.6

_MIRRORED = (0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23, 26, 25, 28, 27)
MIRRORED = np.array([*_MIRRORED, 30, 29, 32, 31, 33, 34, 37, 38, 35, 36])
#: Landmarks that change their opinion together: head and trunk, arms, legs.
_GROUPS = ([*range(13), 23, 24, 33, 34], [*range(13, 23), *range(35, 39)], list(range(25, 33)))
#: Trunk and limbs, which false people lack: the face's heat maps rise on many things.
_BELOW_HEAD = slice(11, 33)


@dataclass(frozen=True)
class PoseLandmarks:
    """What the landmark network says of one person. float32 throughout.

    points : (39, 2) pixels of the photo (pixel centres at +0.5).
    world : (39, 3) metres from the middle of the hips; x right, y down, z away, in axes turned with the crop back to
        the photo's upright. They are parallel to the camera's only for a person in the middle of the picture: the
        turn into the viewing ray's direction is left to the fit, which knows the camera.
    visibility, presence : (39,) 0..1, not hidden by something, and inside the crop.
    score : 0..1 that there is a person (the mean over the augmented crops), score_min : the least of those that agree.
    sigma : (39,) pixels, world_sigma : (39,) metres: spread over the crops that agree, 0 of a single one.
    agreement : (39,) share of the crops that agree with the landmark, 1 of a single one.
    spread : over the crops that agree, of the median visible landmark in sides of the crop.
    belief : 0..1 that this is somebody, from what the crops agree on; 1 without augmentation, but for `believed`.
    region : the crop.  matrix : (2, 3) float64, crop coordinates 0..1 to pixels.
    mask_logits : (256, 256) of the person, over the crop.
    peak : 0..1, how high the heat maps rise for what lies in the photo below the head; mean over the augmented crops.
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
    peak: float = 1.0


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
    read: Sequence[PoseLandmarks] | None = None,
) -> list[PoseLandmarks]:
    """Landmarks of the person in each region, in the order of the regions.

    masks : with the person's mask, which takes a fifth more time.
    augment : average over `AUGMENTED`: six times the work, less noise, and `score_min` and `spread` tell true people
        from false ones.  least : no more than `FIRST_ASKED` are asked about whom less is believed in after those, nor
        is their mask read.
    read : what these regions were read as before, without masks.
    """
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    late = masks and read is not None
    if read is None:
        read = _read(pyramid, regions, [False] * len(regions), run.part(0.0, 0.2 if augment else 1.0), masks)
    if augment:
        return _averages(pyramid, read, run.part(0.2, 1.0), least, late)
    if late:
        masked = _read(pyramid, regions, [False] * len(regions), run.part(0.2, 1.0), masks)
        return [replace(one, mask_logits=again.mask_logits) for one, again in zip(read, masked, strict=True)]
    return list(read)


def read_again(
    pyramid: Pyramid,
    people: Sequence[PoseLandmarks],
    frame: int,
    run: Run,
    foretold: Sequence[NDArray | None] = (),
) -> list[PoseLandmarks]:
    """People who were read in one crop, averaged with a second one of theirs: of `IN_TURN` that of the frame.

    foretold : where each one's landmarks (39, 2) should be, if that tells: of two opinions of a limb the nearer counts.
    """
    scale, mirror, turn = IN_TURN[frame % len(IN_TURN)]
    regions = [one.region for one in people]
    crops = [replace(crop, size=scale * crop.size, rotation=crop.rotation + turn) for crop in regions]
    again = _read(pyramid, crops, [mirror] * len(crops), run, masks=False)
    places = foretold or [None] * len(people)
    both = [_average(one, [other], own) for one, other, own in zip(people, again, places, strict=True)]
    return [
        replace(mean, belief=one.belief, sigma=_OF_TWO * mean.sigma, world_sigma=_OF_TWO * mean.world_sigma)
        for one, mean in zip(people, both, strict=True)
    ]


def landmarks_where(
    pyramid: Pyramid, region: Region, vouched: Callable[[PoseLandmarks], float], least: int, run: Run
) -> PoseLandmarks | None:
    """Landmarks over those of a region's crops, itself and `AUGMENTED`, that are vouched for (above 0); None where
    fewer than `least` are, or none of the first two. Their region's score is the mean of what vouches for them."""
    variants, read = ((1.0, False), *AUGMENTED), list[PoseLandmarks]()
    kept: dict[int, float] = {}
    for start in range(0, len(variants), 2):
        read += _read_variants(pyramid, [region], variants[start : start + 2], run)[0]
        kept |= {n: score for n in range(start, len(read)) if (score := vouched(read[n])) > 0}
        if not kept or len(kept) + len(variants) - len(read) < least:
            return None
    number = next(iter(kept))
    crop = replace(read[number].region, score=sum(kept.values()) / len(kept))
    (first,) = _read(pyramid, [crop], [variants[number][1]], run, masks=True)
    return _average(first, [read[n] for n in kept if n != number])


def _averages(
    pyramid: Pyramid, read: Sequence[PoseLandmarks], run: Run, least: float, masks: bool
) -> list[PoseLandmarks]:
    """Everybody's landmarks over the crops that were asked about, with `masks` of whom all are."""
    regions, late = [one.region for one in read], FIRST_ASKED + 1
    few = _read_variants(pyramid, regions, AUGMENTED[:FIRST_ASKED], run.part(0.0, 0.4))
    averages = [_average(one, more) for one, more in zip(read, few, strict=True)]
    asked = [i for i, one in enumerate(averages) if one.belief >= least]
    regions = [regions[i] for i in asked]
    same = _read_variants(pyramid, regions, AUGMENTED[FIRST_ASKED:late], run.part(0.4, 0.6), masks)
    rest = _read_variants(pyramid, regions, AUGMENTED[late:], run.part(0.6, 1.0))
    for i, (turned,), more in zip(asked, same, rest, strict=True):
        averages[i] = _average(read[i], [*few[i], turned, *more])
        if masks:
            averages[i] = replace(averages[i], mask_logits=turned.mask_logits)
    return averages


def _read_variants(
    pyramid: Pyramid, regions: Sequence[Region], variants: Sequence[tuple[float, bool]], run: Run, masks: bool = False
) -> list[list[PoseLandmarks]]:
    """Of each region what its variants, sizes of it and whether mirrored, are read as."""
    crops = [replace(region, size=region.size * scale) for region in regions for scale, _ in variants]
    found = _read(pyramid, crops, [mirror for _ in regions for _, mirror in variants], run, masks)
    return [found[i * len(variants) : (i + 1) * len(variants)] for i in range(len(regions))]


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
        peaks = _sigmoid(heat.max((1, 2)))
        for i in range(len(rows)):
            region, mirror = regions[start + i], mirrors[start + i]
            space, score = world[i].reshape(39, 3), float(scores[i, 0])
            one = _landmarks(places[i], rows[i], space, score, logits[i], region, mirror)
            found.append(replace(one, peak=_peak(peaks[i][MIRRORED] if mirror else peaks[i], one.points, pyramid)))
    return found


def _landmarks(places, rows, world, score: float, logits, region: Region, mirror: bool) -> PoseLandmarks:
    """From the crop's coordinates to the photo's. A mirrored crop is turned back, left and right changing places."""
    visibility, presence = (_sigmoid(rows[:, i]) for i in (3, 4))
    if mirror:
        places, world = places[MIRRORED] * (-1.0, 1.0) + (1.0, 0.0), world[MIRRORED] * (-1.0, 1.0, 1.0)
        visibility, presence, logits = visibility[MIRRORED], presence[MIRRORED], logits[:, ::-1]
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


def _sigmoid(logits: NDArray) -> NDArray:
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0)))


def _peak(peaks: NDArray, points: NDArray, pyramid: Pyramid) -> float:
    """How high the heat maps (39,) rise for the trunk and limbs that lie in the photo, on average; 0.5 without any."""
    places, peaks = points[_BELOW_HEAD], peaks[_BELOW_HEAD]
    inside = ((places >= 0) & (places < (pyramid.width, pyramid.height))).all(1)
    return float((peaks[inside].sum() + 1) / (inside.sum() + 2))


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
    weights = _sigmoid(logits.astype(np.float64))
    weights *= ((ys >= 0) & (ys < height))[..., None] & ((xs >= 0) & (xs < width))[:, :, None, :]
    total = np.maximum(weights.sum((2, 3)), 1e-9)
    moved = np.stack(
        [(weights.sum(2) * xs).sum(-1) / total / width, (weights.sum(3) * ys).sum(-1) / total / height], -1
    )
    sure = inside & (weights.max((2, 3)) >= least)
    return np.where(sure[..., None], moved, places)


def _average(first: PoseLandmarks, others: Sequence[PoseLandmarks], foretold: NDArray | None = None) -> PoseLandmarks:
    """Mean over the crops of one person that agree, weighted by what each says of its own certainty, and the spread.

    foretold : (39, 2) where the landmarks should be, if that is known: see `_agreeing`.
    """
    every = [first, *others]
    points, world = np.stack([one.points for one in every]), np.stack([one.world for one in every])
    places = None if foretold is None else foretold / first.region.size
    agreeing = _agreeing(points / first.region.size, np.array([one.score for one in every]), places)
    weight = np.stack([one.score * (one.visibility * one.presence + 0.05) + 1e-6 for one in every]) * agreeing
    weight = (weight / weight.sum(0))[..., None]
    mean_points, mean_world = (points * weight).sum(0), (world * weight).sum(0)
    distance = np.linalg.norm(points - mean_points, axis=-1)
    scores, trunk = np.array([one.score for one in every]), agreeing[:, 11]
    seen = np.mean([one.visibility * one.presence for one in every], 0)
    spread = _spread(np.where(agreeing, distance, np.nan), seen) / first.region.size
    peak = float(np.mean([one.peak for one in every]))
    evidence = _evidence(scores, first.region, peak)
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
        belief=float(_sigmoid(_BELIEF @ evidence)) if spread <= MAX_SPREAD else 0.0,
        peak=peak,
    )


def _evidence(scores: NDArray, region: Region, peak: float) -> NDArray[np.float64]:
    """What speaks for a person, (5,). The crops' spread and what they say to see tell nothing more.

    scores : (N,) of the crops; where people touch, some jump to the neighbour.  region : the first crop; its turn is 0
    for somebody upright, its score the detector's.  peak : see `PoseLandmarks`.
    """
    unsure = 1.02 - min(float(np.median(scores)), 1)
    return np.array([np.log(unsure), np.cos(region.rotation), region.score, peak, 1.0])


def believed(one: PoseLandmarks) -> PoseLandmarks:
    """Somebody who is followed, with the belief that follows from what was read of him."""
    evidence = _evidence(np.array([one.score]), one.region, one.peak)
    return replace(one, belief=float(_sigmoid(_BELIEF @ evidence)))


def _spread(distance: NDArray, seen: NDArray) -> float:
    """Median over the visible landmarks of their distance (N, 39) to the mean, root mean square over the crops; NaN
    where a crop does not agree."""
    visible = np.flatnonzero(seen[:33] > 0.5)
    visible = visible if len(visible) >= 5 else np.arange(33)
    return float(np.median(np.sqrt(np.nanmean(distance[:, visible] ** 2, 0))))


def _agreeing(points: NDArray, scores: NDArray, foretold: NDArray | None = None) -> NDArray[np.bool_]:
    """(N, 39): which of N crops hold the opinion that most of them share, for each group of landmarks.

    points : (N, 39, 2) in sides of the crop, the upright crop first; on a tie its opinion counts.
    foretold : (39, 2) the same of where they should be: of a limb the nearer opinion counts, as much as it is nearer.
    """
    agreeing = np.zeros(points.shape[:2], bool)
    for group in _GROUPS:
        apart = np.linalg.norm(points[:, None, group] - points[None, :, group], axis=-1).mean(-1)
        near = apart < AGREE_WITHIN
        votes = near @ scores
        if foretold is None or group is _GROUPS[0]:  # a trunk elsewhere is somebody else's
            votes[0] += 1e-3
        else:
            votes -= np.linalg.norm(points[:, group] - foretold[group], axis=-1).mean(-1)
        agreeing[:, group] = near[np.argmax(votes)][:, None]
    return agreeing


def person_mask(person: PoseLandmarks, height: int, width: int) -> NDArray[np.float32]:
    """The network's own mask of the person, (height, width) float32 0..1, in the photo that the landmarks are of."""
    side = person.mask_logits.shape[0]
    matrix = person.matrix.copy()
    matrix[:, :2] /= side
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    mask = _sigmoid(person.mask_logits)
    warped = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.float32)
