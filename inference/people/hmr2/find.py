# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the people of photos are: boxes and, where the finder draws them, masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera
from ...errors import BadInput
from ...photo import Photo
from ...runtime.run import Run
from ...shipped import pose, search
from ...shipped.crops import Pyramid, clip_box
from ...shipped.pose import PoseLandmarks
from ..boxes import box_overlap, landmark_box, person_box, separate_masks

#: A given box may be so many times as large as the photo: to reduce a larger one would take hours.
_FARTHEST = 8


@dataclass(frozen=True)
class Detection:
    """A person of a photo.

    box : (4,) float32 pixels.
    mask : draws the person's mask (H, W) float32 0..1 for the photo's height and width; None where the finder has
        none. Of a long clip there is not room for the masks themselves.
    landmarks : what the built-in pose network sees of the person, where it has run.
    """

    box: NDArray[np.float32]
    score: float
    mask: Callable[[int, int], NDArray[np.float32]] | None = None
    landmarks: PoseLandmarks | None = None


@dataclass(frozen=True)
class Thresholds:
    """As `recover_people` takes them; batch : photos that are looked at together."""

    confidence: float = 0.25
    overlap: float = 0.7
    batch: int = 10


#: Photos -> the people of each, the surest first.
Finder = Callable[[Sequence["Photo"], "Run"], list[list[Detection]]]


def apart(scores: NDArray, boxes: NDArray, overlap: float) -> list[Detection]:
    """Of boxes (Q, 4) in pixels, the surest first, those of a pixel or more that no surer one overlaps by more."""
    found: list[Detection] = []
    for score, box in zip(scores, boxes.astype(np.float32), strict=True):
        if (box[2:] - box[:2] < 1).any():
            continue
        if overlap >= 1 or all(box_overlap(box, one.box) <= overlap for one in found):
            found.append(Detection(box, float(score)))
    return found


def given_boxes(boxes: Sequence[Sequence[float]], photo: Photo) -> list[Detection]:
    """The boxes that the caller gave, in their order; they may reach out of the photo. Raises `BadInput`."""
    width, height = photo.size
    for box in boxes:
        clip_box(box, height, width, "person")
        x0, y0, x1, y1 = (float(edge) for edge in box)
        if max(x1 - x0, y1 - y0) > _FARTHEST * max(width, height):
            raise BadInput(
                f"The person box {box!r} is more than {_FARTHEST} times as large as the photo.",
                "Give (x0, y0, x1, y1) in pixels of the photo.",
            )
    return [Detection(np.array(box, np.float32), 1.0) for box in boxes]


def builtin_finder(thresholds: Thresholds) -> Finder:
    """The networks that ship."""

    def find(photos: Sequence[Photo], run: Run) -> list[list[Detection]]:
        parts = run.parts(len(photos))
        return [_found_by_landmarks(photo, thresholds, part) for photo, part in zip(photos, parts, strict=True)]

    return find


def _found_by_landmarks(photo: Photo, thresholds: Thresholds, run: Run) -> list[Detection]:
    people = search.find_people(Pyramid(photo.pixels, thresholds.batch), run)
    people = sorted((one for one in people if one.score >= thresholds.confidence), key=lambda one: -one.score)
    kept: list[PoseLandmarks] = []
    for one in people:
        if all(box_overlap(landmark_box(one), landmark_box(other)) <= thresholds.overlap for other in kept):
            kept.append(one)
    width, height = photo.size
    masks = separate_masks([pose.person_mask(one, height, width) for one in kept])
    return [found_person(one, mask, photo.camera_or_default()) for one, mask in zip(kept, masks, strict=True)]


def found_person(one: PoseLandmarks, mask: NDArray[np.float32], camera: Camera) -> Detection:
    """A person by the landmarks that the built-in network gives, and the mask (H, W) that they draw in the picture."""
    box = np.array(person_box(one, mask, camera), np.float32)
    return Detection(box, one.score, partial(pose.person_mask, one), one)


def with_landmarks(people: Sequence[Detection], photo: Photo, run: Run, augment: bool) -> list[Detection]:
    """The people with what the built-in pose network sees of each. augment : see `pose.landmarks`."""
    width, height = photo.size
    bare = [number for number, one in enumerate(people) if one.landmarks is None]
    boxes = boxes_inside([people[number].box for number in bare], width, height)
    seen = search.find_people(Pyramid(photo.pixels), run, boxes=boxes, augment=augment) if boxes else []
    found = list(people)
    for number, landmarks in zip(bare, seen, strict=True):
        # The masks of these are not used, and a long clip has no room for them.
        found[number] = replace(found[number], landmarks=replace(landmarks, mask_logits=landmarks.mask_logits[:0, :0]))
    return found


def boxes_inside(boxes: Sequence[NDArray[np.float32]], width: int, height: int) -> list[list[float]]:
    """The boxes where they lie in the picture, a pixel at least."""
    if not len(boxes):
        return []
    low = np.clip(np.array(boxes)[:, :2], 0, [width - 1, height - 1])
    high = np.maximum(np.minimum(np.array(boxes)[:, 2:], [width, height]), low + 1)
    return np.concatenate([low, high], 1).astype(float).tolist()
