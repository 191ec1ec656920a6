# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0: people as the user's SMPL bodies, with the reference's numbers, and what the reference throws away.

find the people of some photos -> squares around them -> the network, over the people of several photos together -> a
body for each, before the photo's own camera. A clip (photos with a frame rate) goes on in `clip`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from ...errors import BadInput
from ...results import People
from ...runtime.recall import recall
from ..builtin import boxes_per_photo, check_count, check_share
from . import answers
from .answers import Wanted
from .crops import Crop, picture
from .find import Finder, Found, Thresholds, builtin_finder, given_boxes
from .persons import MASK_BYTES, make_person, mask_bytes, with_masks
from .yolo import FOLDER, detector_file, yolo_finder

if TYPE_CHECKING:
    from ...camera import Camera
    from ...photo import Clip, Photo
    from ...results import Person
    from ...runtime.run import Run

#: Share of the work that is finding people, the rest is the network's.
_FINDING = 0.3


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
) -> People:
    """See `people.recover_people`."""
    check_share(det_confidence_thresh, "confidence threshold")
    check_share(det_iou_thresh, "overlap threshold")
    check_count(det_batch_size, "detection batch size")
    check_count(hmr_batch_size, "body batch size")
    given = boxes_per_photo(boxes, len(clip))
    thresholds = Thresholds(det_confidence_thresh, det_iou_thresh, det_batch_size)
    answers.ready(run)
    if len(clip) == 1 and clip.fps is None:
        photo = next(iter(clip))
        request = (run.model_key, photo.camera_or_default(), repr(given), thresholds, refine)
        return recall(photo.pixels, request, lambda: _of_photos(clip, run, thresholds, hmr_batch_size, given, refine))
    return _of_photos(clip, run, thresholds, hmr_batch_size, given, refine)


def _of_photos(
    clip: Clip, run: Run, thresholds: Thresholds, batch: int, given: Sequence | None, refine: bool
) -> People:
    """People photo by photo, none of them followed from one to the next."""
    find = finder(run, thresholds) if given is None else None
    template = answers.template(run)
    cameras: list[Camera] = []
    frames: list[list[tuple[Found, Person]]] = []
    stream = people_of(clip, run.part(0.0, 0.95), find, given, thresholds.batch, cameras)
    for (frame, found, crop), answer in answers.predict(stream, run, batch):
        frames += [[] for _ in range(frame + 1 - len(frames))]
        if answer.is_usable:
            frames[frame].append((found, make_person(template, found, crop, answer, cameras[frame])))
    if not cameras:
        raise BadInput("There is no photo to look at.", "Give at least one.")
    frames += [[] for _ in range(len(cameras) - len(frames))]
    persons, left = [], MASK_BYTES
    for number, (people, camera) in enumerate(zip(frames, cameras, strict=True)):
        part = run.part(0.95 + 0.05 * number / len(frames), 0.95 + 0.05 * (number + 1) / len(frames))
        left -= mask_bytes(len(people), camera)
        whole = [one for _, one in people] if left < 0 else with_masks(people, template.body.faces, camera, part)
        persons.append(tuple(replace(one, track_id=index) for index, one in enumerate(whole)))
    run.report(1.0, f"{sum(map(len, persons))} people found")
    return People(tuple(persons), template.body, cameras[0], tuple(cameras), clip.fps)


def finder(run: Run, thresholds: Thresholds) -> Finder:
    """The user's YOLO detector where there is one, else the networks that ship."""
    path = detector_file(run.models_dir)
    if path is not None:
        return yolo_finder(path, run, thresholds)
    run.report(0.0, f"No detector in {run.models_dir / FOLDER}: people are found by the built-in one")
    return builtin_finder(thresholds)


Tag = tuple[int, Found, Crop]


def people_of(
    clip: Clip, run: Run, find: Finder | None, given: Sequence | None, batch: int, cameras: list[Camera]
) -> Iterator[Wanted[Tag]]:
    """The people of all photos in order; `batch` photos are read and searched at a time, their cameras appended."""
    count, photos = len(clip), iter(clip)
    while some := list(islice(photos, batch)):
        start = len(cameras)
        cameras += [photo.camera_or_default() for photo in some]
        part = run.part(start / count, min(1.0, len(cameras) / count))
        part.report(0.0, f"Photo {start + 1} of {count}" if count > 1 else "Looking for people")
        found = _find(some, start, part.part(0.0, _FINDING), find, given)
        for number, (photo, people) in enumerate(zip(some, found, strict=True)):
            for index, one in enumerate(people):
                low, high = ((number + (index + more) / len(people)) / len(some) for more in (0, 1))
                own = part.part(_FINDING + (1 - _FINDING) * low, _FINDING + (1 - _FINDING) * high)
                crop = Crop.around(one.box)
                yield Wanted(picture(photo.pixels, crop), (start + number, one, crop), own)


def _find(
    photos: Sequence[Photo], start: int, run: Run, find: Finder | None, given: Sequence | None
) -> list[list[Found]]:
    if given is not None:
        return [given_boxes(given[start + number], photo) for number, photo in enumerate(photos)]
    assert find is not None
    return find(photos, run)
