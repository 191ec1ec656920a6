# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands of a photo: where they are, and 21 landmarks of each, in the photo and in metres.

Landmarks: wrist, then thumb, index, middle, ring and little finger, each from the palm to the tip. Palms are looked for
on tiles, and at the wrists of the bodies already found, where hands too small for the palm detector still are.

Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .crops import Detection, Pyramid, Region, clip_box, region_between, run_detector, tile_regions
from .networks import load_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..runtime.run import Run
    from .pose import PoseLandmarks

TILE_LEVELS = (1.0, 0.6, 0.35)
#: Palms are small in a window that shows them well, so the windows need less overlap than those for people.
TILE_STEP = 0.65
DETECTOR_STRIDES = (8, 16, 16, 16)
DETECTOR_THRESHOLD = 0.5
#: Sizes of the crops that one hand's landmarks are averaged over; each also mirrored.
AUGMENT_SCALES = (0.85, 1.0, 1.18)
#: Landmarks of two crops agree within this share of the crop's side; beyond it they are two opinions, not to be mixed.
AGREE_WITHIN = 0.06
#: Hands below this mean score over the augmented crops are none.
MIN_SCORE = 0.5
#: Nor is what at least one crop scores below the first, while its landmarks spread wider than the second (crop sides).
DOUBTFUL_SCORE, DOUBTFUL_SPREAD = 0.4, 0.05
#: A hand further from every wrist of the bodies found than this (metres) belongs to none of them.
WRIST_REACH = 0.2
#: Such a hand is believed only above this score: a hand alone in the picture, or a body that was missed.
ALONE_SCORE = 0.8
#: What speaks for one side of a hand against the other: the network's word, and the body's, which errs where arms cross
#: or people stand close.
NETWORK_WEIGHT, BODY_WEIGHT = 2.0, 7.5
#: Within this distance (metres) of the middle of a head, a hand that belongs to no wrist is the face.
HEAD_REACH = 0.15

_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]


@dataclass(frozen=True)
class HandLandmarks:
    """What the landmark network says of one hand. float32 throughout.

    points : (21, 2) pixels of the photo (pixel centres at +0.5).
    world : (21, 3) metres; x right, y down, z away, upright as the photo is (see `pose.PoseLandmarks.world`).
    right : 0..1 that it is the person's right hand.
    score : 0..1 that there is a hand (mean over the augmented crops), score_min : the least.
    sigma : (21,) pixels, spread over the augmented crops that agree; 0 without augmentation.
    spread : over all augmented crops, of the median landmark in sides of the crop.
    region : the crop.
    body_side : "left" or "right" by the body whose wrist it is at, None where there is none.
    """

    points: NDArray[np.float32]
    world: NDArray[np.float32]
    right: float
    score: float
    score_min: float
    sigma: NDArray[np.float32]
    region: Region
    spread: float = 0.0
    body_side: str | None = None

    @property
    def side(self) -> str:
        """ "left" or "right", the person's own, by the network."""
        return "right" if self.right > 0.5 else "left"

    @property
    def likely_side(self) -> str:
        """ "left" or "right", by the network and by the body that the hand is at."""
        return min(("left", "right"), key=self.against)

    def against(self, side: str) -> float:
        """How much speaks against a side: the network's word, and the body's."""
        likely = np.clip(self.right if side == "right" else 1.0 - self.right, 0.01, 0.99)
        against_body = self.body_side is not None and self.body_side != side
        return float(-NETWORK_WEIGHT * np.log(likely) + BODY_WEIGHT * against_body)


def detect_hands(
    pixels: NDArray[np.uint8] | Pyramid,
    run: Run,
    threshold: float = DETECTOR_THRESHOLD,
    windows: Sequence[Region] | None = None,
) -> list[Region]:
    """Regions where the palm detector sees hands, best first.  windows : where it looks; None takes the whole photo."""
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    tiles = tile_regions(pyramid.height, pyramid.width, TILE_LEVELS, TILE_STEP) if windows is None else windows
    network = load_network("palm_detection", run.device)
    kept: list[Detection] = []
    for detection in run_detector(pyramid, tiles, network, DETECTOR_STRIDES, threshold, run):
        size = detection.size.max()
        if all(np.linalg.norm(detection.centre - k.centre) > 0.5 * max(size, k.size.max()) for k in kept):
            kept.append(detection)
    return [_palm_region(detection) for detection in kept]


def _palm_region(detection: Detection) -> Region:
    """The whole hand's region from its palm's: turned from the wrist to the middle finger, moved along, enlarged."""
    wrist, middle = detection.keypoints[0], detection.keypoints[2]
    upright = region_between(wrist, middle, 1.0, detection.score)
    size = float(detection.size.max())
    along = 0.5 * size * np.array([np.sin(upright.rotation), -np.cos(upright.rotation)])
    centre = detection.centre + along
    return replace(upright, cx=float(centre[0]), cy=float(centre[1]), size=2.6 * size)


def region_from_points(points: NDArray, score: float = 1.0) -> Region:
    """The crop that a hand's landmarks (21, 2) call for."""
    wrist = points[0].astype(np.float64)
    knuckles = (points[9] + (points[5] + points[13]) / 2) / 2
    rotation = region_between(wrist, knuckles, 1.0).rotation
    turn = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    upright = points[_PALM].astype(np.float64) @ turn
    low, high = upright.min(0), upright.max(0)
    size = max(float((high - low).max()), 1.0)
    centre = turn @ ((low + high) / 2 - (0.0, 0.1 * size))
    return Region(float(centre[0]), float(centre[1]), 2.0 * size, rotation, score)


def wrist_regions(person: PoseLandmarks) -> list[Region]:
    """Where the body's hands should be: along the forearm, two sizes a hand; none for a wrist that is out of sight."""
    scale = pixels_per_metre(person)
    regions = []
    for wrist, elbow, fingers in ((15, 13, (17, 19)), (16, 14, (18, 20))):
        if person.presence[wrist] < 0.3 or person.visibility[wrist] < 0.2:
            continue
        at = person.points[wrist].astype(np.float64)
        along = 0.5 * (person.points[wrist] - person.points[elbow]) + (person.points[list(fingers)].mean(0) - at)
        length = float(np.hypot(*along))
        along = along / length if length > 1e-6 else np.array([0.0, 1.0])
        for size in (0.28, 0.4):
            centre = at + 0.07 * scale * along
            rotation = float(np.arctan2(along[0], -along[1]))
            regions.append(Region(float(centre[0]), float(centre[1]), max(size * scale, 1.0), rotation))
    return regions


def pixels_per_metre(person: PoseLandmarks) -> float:
    """Scale of a body in the photo: its landmarks' spread in pixels over that in metres across the line of sight."""
    seen = person.presence[:33] * person.visibility[:33] + 1e-3
    weight = (seen / seen.sum())[:, None]
    flat = person.world[:33, :2]
    spread = [np.sqrt((weight * (v - (weight * v).sum(0)) ** 2).sum()) for v in (person.points[:33], flat)]
    return float(spread[0] / max(spread[1], 1e-3))


def landmarks(
    pixels: NDArray[np.uint8] | Pyramid,
    regions: Sequence[Region],
    run: Run,
    augment: bool = False,
    read: Sequence[HandLandmarks] | None = None,
) -> list[HandLandmarks]:
    """Landmarks of the hand in each region, in the order of the regions; `augment` averages over six crops each.

    read : what these regions were read as before.
    """
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    if read is None:
        read = _read(pyramid, regions, [False] * len(regions), run.part(0.0, 0.2 if augment else 1.0))
    if not augment:
        return list(read)
    variants = [(scale, mirror) for scale in AUGMENT_SCALES for mirror in (False, True) if scale != 1.0 or mirror]
    crops = [replace(region, size=region.size * scale) for region in regions for scale, _ in variants]
    found = _read(pyramid, crops, [mirror for _ in regions for _, mirror in variants], run.part(0.2, 1.0))
    count = len(variants)
    return [_average([one, *found[i * count : (i + 1) * count]]) for i, one in enumerate(read)]


def _read(pyramid: Pyramid, regions: Sequence[Region], mirrors: Sequence[bool], run: Run) -> list[HandLandmarks]:
    """Run the landmark network over the regions, `mirrors` of them turned left to right."""
    network = load_network("hand_landmark", run.device)
    found = []
    for start, pictures in pyramid.batches(regions, network.size, run.device, replicate=True, mirror=mirrors):
        run.report(start / len(regions), "Reading hands")
        rows, scores, rights, worlds = (value.cpu().numpy() for value in network(pictures))
        for i in range(len(rows)):
            region, mirror = regions[start + i], mirrors[start + i]
            places, world = rows[i].reshape(21, 3)[:, :2].astype(np.float64) / network.size, worlds[i].reshape(21, 3)
            # The published label map calls above 0.5 "left" since it expects a selfie camera's mirrored picture.
            right = float(rights[i, 0])
            if mirror:
                places, world, right = places * (-1, 1) + (1, 0), world * (-1, 1, 1), 1.0 - right
            matrix = region.matrix
            turned = world.copy()
            turned[:, :2] = world[:, :2] @ (matrix[:, :2].T / region.size)
            points = (places @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
            score, sigma = float(scores[i, 0]), np.zeros(21, np.float32)
            found.append(HandLandmarks(points, turned.astype(np.float32), right, score, score, sigma, region))
    return found


def _average(every: Sequence[HandLandmarks]) -> HandLandmarks:
    """Mean over the crops of one hand that agree with most of them, weighted by their scores, and the spread."""
    first = every[0]
    points, scores = np.stack([one.points for one in every]), np.array([one.score for one in every])
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1).mean(-1) / first.region.size
    near = apart < AGREE_WITHIN
    weight = near[np.argmax(near @ scores)] * (scores + 1e-6)
    weight = (weight / weight.sum())[:, None, None]
    middle = (points * weight).sum(0)
    distance = np.linalg.norm(points - middle, axis=-1)
    return replace(
        first,
        points=middle.astype(np.float32),
        world=(np.stack([one.world for one in every]) * weight).sum(0).astype(np.float32),
        right=float(np.array([one.right for one in every]) @ weight[:, 0, 0]),
        score=float(scores.mean()),
        score_min=float(scores.min()),
        sigma=np.sqrt((distance**2 * weight[..., 0]).sum(0)).astype(np.float32),
        spread=float(np.median(np.sqrt((distance**2).mean(0))) / first.region.size),
    )


def find_hands(
    pixels: NDArray[np.uint8] | Pyramid,
    run: Run,
    people: Sequence[PoseLandmarks] = (),
    min_score: float = MIN_SCORE,
    threshold: float = DETECTOR_THRESHOLD,
) -> list[HandLandmarks]:
    """The hands of a photo with averaged landmarks, best first.

    people : the bodies of the photo. Their wrists show where to look, and which hands to believe.
    min_score : least score of the landmarks.  threshold : of the palm detector.
    """
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    regions = detect_hands(pyramid, run.part(0.0, 0.6), threshold)
    regions += [region for person in people for region in wrist_regions(person)]
    hands = [_at_wrist(hand, people) for hand in hands_in_regions(pyramid, regions, run.part(0.6, 1.0), min_score)]
    return _without_repeats([hand for hand in hands if hand.body_side or _is_alone(hand, people)])


def hands_in_regions(
    pyramid: Pyramid, regions: Sequence[Region], run: Run, min_score: float = MIN_SCORE
) -> list[HandLandmarks]:
    """The hands that some of the regions show, with averaged landmarks."""
    found = landmarks(pyramid, regions, run.part(0.0, 0.25))
    found = _looked_again(pyramid, [hand for hand in found if hand.score > 0.1], run.part(0.25, 0.5))
    found = _without_repeats([hand for hand in found if hand.score > 0.5 * min_score])
    found = landmarks(pyramid, [hand.region for hand in found], run.part(0.5, 1.0), augment=True, read=found)
    sure = [hand for hand in found if not (hand.score_min < DOUBTFUL_SCORE and hand.spread > DOUBTFUL_SPREAD)]
    return [hand for hand in sure if hand.score >= min_score]


def _is_alone(hand: HandLandmarks, people: Sequence[PoseLandmarks]) -> bool:
    """Whether to believe in a hand at none of the bodies' wrists: it is seen well, and is not one of their faces."""
    if people and hand.score < ALONE_SCORE:
        return False
    middle = hand.points.mean(0)
    heads = [(person.points[:11].mean(0), HEAD_REACH * pixels_per_metre(person)) for person in people]
    return all(np.linalg.norm(middle - head) > reach for head, reach in heads)


def hands_in_boxes(
    pixels: NDArray[np.uint8] | Pyramid, boxes: Sequence[Sequence[float]], run: Run
) -> list[HandLandmarks]:
    """The hand in each box (x0, y0, x1, y1), one result per box in their order, however bad.

    Raises `BadInput` for a box that holds no pixel of the photo.
    """
    pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
    network = load_network("palm_detection", run.device)
    regions = []
    for number, box in enumerate(boxes):
        part = run.part(number / len(boxes), (number + 0.7) / len(boxes))
        x0, y0, x1, y1 = clip_box(box, pyramid.height, pyramid.width, "hand")
        whole = Region((x0 + x1) / 2, (y0 + y1) / 2, 1.5 * max(x1 - x0, y1 - y0))
        seen = run_detector(pyramid, [whole], network, DETECTOR_STRIDES, 0.2, part.part(0.0, 0.3))
        tries = [_palm_region(d) for d in seen[:2] if x0 <= d.centre[0] <= x1 and y0 <= d.centre[1] <= y1]
        # A palm that the detector does not see: the box itself, turned every way that a hand may point.
        tries += [replace(whole, rotation=turn * np.pi / 4) for turn in range(8)]
        found = _looked_again(pyramid, landmarks(pyramid, tries, part.part(0.3, 0.7)), part.part(0.7, 1.0))
        best = max(found, key=lambda one: one.score * _share_inside(one, (x0, y0, x1, y1)))
        regions.append(best.region)
    return landmarks(pyramid, regions, run.part(0.7, 1.0), augment=True)


def _share_inside(hand: HandLandmarks, box: tuple[float, float, float, float]) -> float:
    """Share of the landmarks that lie in a box."""
    return float(((hand.points >= box[:2]) & (hand.points <= box[2:])).all(1).mean())


def _looked_again(pyramid: Pyramid, hands: Sequence[HandLandmarks], run: Run) -> list[HandLandmarks]:
    """The landmarks from crops that the landmarks themselves call for, unless that made them clearly worse."""
    again = landmarks(pyramid, [region_from_points(hand.points, hand.region.score) for hand in hands], run)
    return [new if new.score > old.score - 0.1 else old for old, new in zip(hands, again, strict=True)]


def _without_repeats(hands: Sequence[HandLandmarks]) -> list[HandLandmarks]:
    """Of landmarks that lie on each other, the best; best first."""
    kept: list[HandLandmarks] = []
    for hand in sorted(hands, key=lambda one: -one.score):
        reach = [0.2 * max(hand.region.size, other.region.size) for other in kept]
        apart = [np.median(np.linalg.norm(hand.points - other.points, axis=1)) for other in kept]
        if all(distance > limit for distance, limit in zip(apart, reach, strict=True)):
            kept.append(hand)
    return kept


def _at_wrist(hand: HandLandmarks, people: Sequence[PoseLandmarks]) -> HandLandmarks:
    """The hand with the side of the nearest wrist of a body, where one is near enough."""
    nearest, side = WRIST_REACH, None
    for person in people:
        scale = pixels_per_metre(person)
        for wrist, name in ((15, "left"), (16, "right")):
            distance = float(np.linalg.norm(hand.points[0] - person.points[wrist])) / scale
            if distance < nearest and person.presence[wrist] > 0.2:
                nearest, side = distance, name
    return replace(hand, body_side=side)
