# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0: people as the user's SMPL bodies, with the reference's numbers, and what the reference throws away.

find the people of some photos -> squares around them -> the network, over the people of several photos together -> a
body for each, before the photo's own camera. A clip (photos with a frame rate) goes on in `clip`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import BadInput
from ...results import People
from ...runtime.result_cache import recall
from ..blazepose_anny import boxes_per_photo, check_count, check_share, check_strength
from . import answers
from .clip import MotionOptions, recover_clip
from .find import Detection, Thresholds, builtin_finder
from .persons import MASK_BYTES, make_person, mask_bytes, with_masks
from .refine import refine_person
from .stream import Search, people_of
from .yolo import FOLDER, detector_file, yolo_finder

if TYPE_CHECKING:
    from ...camera import Camera
    from ...photo import Clip
    from ...results import Person
    from ...runtime.run import Run


def recover(
    clip: Clip,
    run: Run,
    *,
    det_confidence_thresh: float,
    det_iou_thresh: float,
    det_batch_size: int,
    hmr_batch_size: int,
    refine: bool,
    boxes: Sequence | None,
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
    given = boxes_per_photo(boxes, len(clip))
    thresholds = Thresholds(det_confidence_thresh, det_iou_thresh, det_batch_size)
    answers.ready(run)
    path = None if given is not None else detector_file(run.models_dir, detector)
    if given is None and path is None:
        run.report(
            0.0, "People are found by the built-in networks" + ("" if detector else f": no detector in {FOLDER}")
        )
    tracked = track and clip.fps is not None and len(clip) > 1
    find = None if path is None else yolo_finder(path, run, thresholds)
    if tracked:
        search = Search(find, given, thresholds, "fast" if refine else "")
        return recover_clip(clip, run, search, hmr_batch_size, MotionOptions(smoothing, plant, refine))
    if given is None and find is None:
        find = builtin_finder(thresholds)
    search = Search(find, given, thresholds, "accurate" if refine else "")
    if len(clip) == 1 and clip.fps is None:
        photo = next(iter(clip))
        request = (run.model_key, photo.camera_or_default(), repr(given), path, thresholds, refine)
        return recall(photo.pixels, request, lambda: _of_photos(clip, run, search, hmr_batch_size))
    return _of_photos(clip, run, search, hmr_batch_size)


def _of_photos(clip: Clip, run: Run, search: Search, batch: int) -> People:
    """People photo by photo, none of them followed from one to the next."""
    template = answers.template(run)
    cameras: list[Camera] = []
    frames: list[list[tuple[Detection, Person]]] = []
    for place, answer in answers.predict(people_of(clip, run.part(0.0, 0.9), search, cameras), run, batch):
        frames += [[] for _ in range(place.frame + 1 - len(frames))]
        if answer.is_usable:
            person = make_person(template, place.found, place.crop, answer, cameras[place.frame])
            frames[place.frame].append((place.found, person))
    if not cameras:
        raise BadInput("There is no photo to look at.", "Give at least one.")
    frames += [[] for _ in range(len(cameras) - len(frames))]
    persons, left = [], MASK_BYTES
    for number, (people, camera) in enumerate(zip(frames, cameras, strict=True)):
        part = run.part(0.9 + 0.1 * number / len(frames), 0.9 + 0.1 * (number + 1) / len(frames))
        if search.landmarks:
            people = [(found, refine_person(template, one, found, camera, part)) for found, one in people]
        left -= mask_bytes(len(people), camera)
        whole = [one for _, one in people] if left < 0 else with_masks(people, template.body.faces, camera, part)
        persons.append(tuple(replace(one, track_id=index) for index, one in enumerate(whole)))
    run.report(1.0, f"{sum(map(len, persons))} people found")
    return People(tuple(persons), template.body, cameras[0], tuple(cameras), clip.fps)
