# SPDX-License-Identifier: GPL-3.0-or-later
"""People with what ships: find them with the pose network, fit the body to each, throw out what is no person.

A clip (photos with a frame rate) is handed to `clip`, which follows people through the frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..geometry.rasteriser import rasterise
from ..results import People, Person
from ..runtime.result_cache import cached_result
from ..shipped import pose
from ..shipped.body import load_body
from ..shipped.crops import Pyramid
from .boxes import box_overlap, boxes_per_photo, landmark_box, person_box, separate_masks
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
#: The options that a photo's people depend on.
_DECIDING = ("det_confidence_thresh", "det_iou_thresh", "refine")


def recover(clip: Clip, run: Run, options: Mapping[str, Any]) -> People:
    """See `people.recover_people`."""
    if options["detector"] not in (None, "builtin"):
        raise BadInput("The built-in model has its own detector.", "Clear the detector, or choose HMR 2.0.")
    options = {**options, "boxes": boxes_per_photo(options["boxes"], len(clip))}
    if options["track"] and clip.fps is not None and len(clip) > 1:
        from .clip import recover_clip

        return recover_clip(clip, run, options)
    frames: list[tuple[Person, ...]] = []
    cameras: list[Camera] = []
    for number, photo in enumerate(clip):
        part = run.part(number / len(clip), (number + 1) / len(clip))
        camera = photo.camera_or_default()
        cameras.append(camera)
        boxes = options["boxes"][number] if options["boxes"] else None
        key = (camera, repr(boxes), *(options[name] for name in _DECIDING), run.device, run.precision)
        frames.append(cached_result(photo.pixels, key, partial(_people_of, photo, camera, part, boxes, options)))
    if not frames:
        raise BadInput("There are no photos.", "Give at least one.")
    run.report(1.0, f"{sum(map(len, frames))} people found")
    return People(tuple(frames), load_body(), cameras[0], tuple(cameras), clip.fps)


def _people_of(
    photo: Photo, camera: Camera, run: Run, boxes: Sequence[Sequence[float]] | None, options: Mapping[str, Any]
) -> tuple[Person, ...]:
    """The people of one photo, best first; with boxes, one person per box in their order."""
    pyramid = Pyramid(photo.pixels, options["det_batch_size"])
    batch, refine = options["hmr_batch_size"], options["refine"]
    found = pose.find_people(pyramid, run.part(0.0, 0.5), boxes=boxes)
    found = [one for one in found if boxes is not None or one.score >= options["det_confidence_thresh"]]
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
        candidates = without_overlaps(candidates, options["det_iou_thresh"])
    people = [_person(one, fit, mask, camera) for one, fit, mask in candidates]
    people = [replace(person, track_id=number) for number, person in enumerate(people)]
    return stand_together(load_body(), people, camera)


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
