# SPDX-License-Identifier: GPL-3.0-or-later
"""People with what ships: find them with the pose network, fit the body to each, throw out what is no person.

A clip (photos with a frame rate) is handed to `clip`, which follows people through the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput
from ..geometry.rasteriser import rasterise
from ..results import People, Person
from ..runtime.result_cache import recall
from ..shipped import pose
from ..shipped.body import load_body
from ..shipped.crops import Pyramid
from .clip.ground import stand_together
from .fit.fitting import Fit, fit_people
from .fit.wrists import give_hands_back

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..camera import Camera
    from ..photo import Clip, Photo
    from ..runtime.run import Run
    from ..shipped.pose import PoseLandmarks

#: A false person gives itself away in several ways, each harmless by itself: the network is unsure of it under some
#: augmentation, its landmarks are no possible body, the body does not fill its mask. The sum of doubts decides.
_DOUBT = 1.0
_NUMBERS = (int, float, np.integer, np.floating)

Boxes = Sequence[Sequence[tuple[float, float, float, float]]]


def recover(
    clip: Clip,
    run: Run,
    *,
    det_confidence_thresh: float,
    det_iou_thresh: float,
    det_batch_size: int,
    hmr_batch_size: int,
    refine: bool,
    boxes: Boxes | Sequence[tuple[float, float, float, float]] | None,
    track: bool,
    smoothing: float = 1.0,
    plant: float = 1.0,
    detector: str | None = None,
) -> People:
    """See `people.recover_people`."""
    check_share(det_confidence_thresh, "confidence threshold")
    check_share(det_iou_thresh, "overlap threshold")
    check_count(det_batch_size, "detection batch size")
    check_count(hmr_batch_size, "body batch size")
    check_strength(smoothing, "smoothing")
    check_share(plant, "strength of planting the feet")
    if detector not in (None, "builtin"):
        raise BadInput("The built-in people are found by the built-in networks.", "Leave out the detector.")
    given = boxes_per_photo(boxes, len(clip))
    if track and clip.fps is not None and len(clip) > 1:
        from .clip import recover_clip

        return recover_clip(
            clip,
            run,
            det_confidence_thresh=det_confidence_thresh,
            refine=refine,
            boxes=given,
            smoothing=smoothing,
            plant=plant,
        )
    frames: list[tuple[Person, ...]] = []
    cameras: list[Camera] = []
    for number, photo in enumerate(clip):
        part = run.part(number / len(clip), (number + 1) / len(clip))
        camera = photo.camera_or_default()
        cameras.append(camera)
        box_list = given[number] if given else None
        request = (camera, repr(box_list), det_confidence_thresh, det_iou_thresh, refine, run.device, run.precision)
        recover_here = partial(
            _people_of, photo, Pyramid(photo.pixels, det_batch_size), camera, part, box_list,
            det_confidence_thresh, det_iou_thresh, hmr_batch_size, refine,
        )  # fmt: skip
        frames.append(recall(photo.pixels, request, recover_here))
    if not frames:
        raise BadInput("There is no photo to look at.", "Give at least one.")
    run.report(1.0, f"{sum(map(len, frames))} people found")
    return People(tuple(frames), load_body(), cameras[0], tuple(cameras), clip.fps)


def check_share(value: float, what: str) -> None:
    """Raise `BadInput` unless `value` is between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not 0 <= value <= 1:
        raise BadInput(f"The {what} {value!r} is not between 0 and 1.", "Choose a number from 0 to 1.")


def check_strength(value: float, what: str) -> None:
    """Raise `BadInput` unless `value` is a number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not 0 <= value < 1e6:
        raise BadInput(f"The {what} {value!r} is not a number from 0 on.", "Choose 0, or a number of about 1.")


def check_count(value: int, what: str) -> None:
    """Raise `BadInput` unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise BadInput(f"The {what} {value!r} is not a whole number of at least 1.", "Choose 1 or more.")


def boxes_per_photo(boxes: Sequence | None, count: int) -> Sequence[Sequence[Sequence[float]]] | None:
    """Boxes as one list a photo; for a single photo a flat list of boxes will do."""
    if boxes is None:
        return None
    try:
        listed = [list(entry) for entry in boxes]
        flat = bool(listed) and all(np.ndim(value) == 0 for entry in listed for value in entry) and bool(listed[0])
    except (TypeError, ValueError):
        raise BadInput(
            "The boxes are not a list of boxes.", "Give (x0, y0, x1, y1) per person, a list per photo."
        ) from None
    if count == 1 and (flat or not listed):
        return [listed]
    if flat or len(listed) != count:
        raise BadInput(
            f"There are {len(listed)} lists of boxes for {count} photos.", "Give one list of boxes per photo."
        )
    return listed


def _people_of(
    photo: Photo,
    pyramid: Pyramid,
    camera: Camera,
    run: Run,
    boxes: Sequence[Sequence[float]] | None,
    confidence: float,
    overlap: float,
    batch: int,
    refine: bool,
) -> tuple[Person, ...]:
    """The people of one photo, best first; with boxes, one person per box in their order."""
    found = pose.find_people(pyramid, run.part(0.0, 0.5), boxes=boxes)
    found = [one for one in found if boxes is not None or one.score >= confidence]
    found = give_hands_back(pyramid, found, run.part(0.5, 0.5))
    height, width = photo.pixels.shape[:2]
    masks = separate_masks([pose.person_mask(one, height, width) for one in found])
    fits: list[Fit] = []
    for start in range(0, len(found), batch):
        part = run.part(0.5 + 0.45 * start / len(found), 0.5 + 0.45 * min(1.0, (start + batch) / len(found)))
        some = slice(start, start + batch)
        fits += fit_people(found[some], [camera] * len(found[some]), part, masks=masks[some], refine=refine)
    candidates = list(zip(found, fits, masks, strict=True))
    if boxes is None:
        candidates = [(one, fit, mask) for one, fit, mask in candidates if doubt(one, fit, mask, camera) < _DOUBT]
        candidates = without_overlaps(candidates, overlap)
    people = [_person(one, fit, mask, camera) for one, fit, mask in candidates]
    people = [replace(person, track_id=number) for number, person in enumerate(people)]
    return stand_together(load_body(), people, camera)


def separate_masks(masks: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Masks (H, W) 0..1 in which no pixel belongs to two people: it goes to the one who claims it most."""
    if len(masks) < 2:
        return masks
    stacked = np.stack(masks)
    owner = stacked.argmax(0)
    return [np.where(owner == number, mask, 0).astype(np.float32) for number, mask in enumerate(masks)]


def doubt(one: PoseLandmarks, fit: Fit, mask: NDArray[np.float32], camera: Camera) -> float:
    """How little there is to say for a person: 0 none, 1 enough to leave the person out."""
    unsure = np.clip((0.6 - one.score_min) / 0.6, 0, 1)
    deformed = np.clip((fit.residual - 0.06) / 0.08, 0, 0.8)
    unfilled = np.clip((0.55 - filled(fit, mask, camera)) / 0.35, 0, 1)
    return float(unsure + deformed + unfilled)


def filled(fit: Fit, mask: NDArray[np.float32], camera: Camera) -> float:
    """Intersection over union of the body's picture and the mask."""
    depth, _ = rasterise(fit.vertices, load_body().faces, camera)
    body, person = depth > 0, mask > 0.5
    return float((body & person).sum() / max((body | person).sum(), 1))


def without_overlaps(candidates: list, overlap: float) -> list:
    """Of people whose landmarks' boxes overlap by more than `overlap` (intersection over union), the more certain."""
    kept: list = []
    for candidate in sorted(candidates, key=lambda entry: -entry[0].score_min):
        box = landmark_box(candidate[0])
        if all(box_overlap(box, landmark_box(other[0])) <= overlap for other in kept):
            kept.append(candidate)
    return kept


def landmark_box(one: PoseLandmarks) -> NDArray[np.float32]:
    """(x0, y0, x1, y1) around the landmarks that are seen."""
    seen = one.visibility[:33] * one.presence[:33] > 0.3
    points = one.points[:33][seen] if seen.sum() > 1 else one.points[:33]
    return np.concatenate([points.min(0), points.max(0)])


def box_overlap(first: NDArray, second: NDArray) -> float:
    """Intersection over union of two boxes."""
    shared = np.prod(np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None))
    return float(shared / max(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared, 1e-9))


def _person(one: PoseLandmarks, fit: Fit, mask: NDArray[np.float32], camera: Camera) -> Person:
    return Person(
        track_id=0,
        box=person_box(one, mask, camera),
        score=one.score,
        mask=mask,
        vertices=fit.vertices,
        joints=fit.joints,
        keypoints_2d=one.points[:33].copy(),
        rotations=fit.rotations,
        shape=fit.shape,
        translation=fit.translation,
        confidence=fit.confidence,
        attributes=fit.attributes,
    )


def person_box(one: PoseLandmarks, mask: NDArray[np.float32], camera: Camera) -> tuple[float, float, float, float]:
    """The box around the person's mask, or around the landmarks where the mask is empty, inside the picture."""
    rows, columns = np.flatnonzero((mask > 0.5).any(1)), np.flatnonzero((mask > 0.5).any(0))
    if len(rows):
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    box = np.clip(landmark_box(one), 0, [camera.width, camera.height] * 2)
    return tuple(float(value) for value in box)  # type: ignore[return-value]
