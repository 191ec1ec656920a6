# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the people of photos are: boxes and, where the finder draws them, masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...builtin import pose
from ...builtin.crops import Pyramid, clip_box
from ..builtin import box_overlap, landmark_box, person_box, separate_masks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...builtin.pose import PoseLandmarks
    from ...camera import Camera
    from ...photo import Photo
    from ...runtime.run import Run


@dataclass(frozen=True)
class Found:
    """A person of a photo.

    box : (4,) float32 pixels.
    mask : draws the person's mask (H, W) float32 0..1 for the photo's height and width; None where the finder has
        none. Of a long clip there is not room for the masks themselves.
    """

    box: NDArray[np.float32]
    score: float
    mask: Callable[[int, int], NDArray[np.float32]] | None = None


@dataclass(frozen=True)
class Thresholds:
    """As `recover_people` takes them; batch : photos that are looked at together."""

    confidence: float = 0.25
    overlap: float = 0.7
    batch: int = 10


#: Photos -> the people of each, the surest first.
Finder = Callable[[Sequence["Photo"], "Run"], list[list[Found]]]


def given_boxes(boxes: Sequence[Sequence[float]], photo: Photo) -> list[Found]:
    """The boxes that the caller gave, in their order; they may reach out of the photo. Raises `BadInput`."""
    width, height = photo.size
    for box in boxes:
        clip_box(box, height, width, "person")
    return [Found(np.array(box, np.float32), 1.0) for box in boxes]


def builtin_finder(thresholds: Thresholds) -> Finder:
    """The networks that ship."""

    def find(photos: Sequence[Photo], run: Run) -> list[list[Found]]:
        found = []
        for number, photo in enumerate(photos):
            part = run.part(number / len(photos), (number + 1) / len(photos))
            found.append(_found_by_landmarks(photo, thresholds, part))
        return found

    return find


def _found_by_landmarks(photo: Photo, thresholds: Thresholds, run: Run) -> list[Found]:
    people = pose.find_people(Pyramid(photo.pixels, thresholds.batch), run)
    people = sorted((one for one in people if one.score >= thresholds.confidence), key=lambda one: -one.score)
    kept: list[PoseLandmarks] = []
    for one in people:
        if all(box_overlap(landmark_box(one), landmark_box(other)) <= thresholds.overlap for other in kept):
            kept.append(one)
    width, height = photo.size
    masks = separate_masks([pose.person_mask(one, height, width) for one in kept])
    return [found_person(one, mask, photo.camera_or_default()) for one, mask in zip(kept, masks, strict=True)]


def found_person(one: PoseLandmarks, mask: NDArray[np.float32], camera: Camera) -> Found:
    """A person by the landmarks that the built-in network gives, and the mask (H, W) that they draw in the picture."""
    return Found(np.array(person_box(one, mask, camera), np.float32), one.score, partial(pose.person_mask, one))
