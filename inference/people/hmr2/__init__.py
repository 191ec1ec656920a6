# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0: people as the user's SMPL bodies, with the reference's numbers, and what the reference discards.

find the people of some photos -> squares around them -> the network, over the people of several photos together -> a
body for each, before the photo's own camera. A clip (photos with a frame rate) goes on in `clip`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...camera import Camera
from ...errors import BadInput
from ...photo import Clip
from ...results import People, Person
from ...runtime.result_cache import cached_result
from ...runtime.run import Run
from ..boxes import boxes_per_photo
from ..clip import MASK_BYTES, mask_bytes
from ..clip.film import Film
from ..clip.measured import Measured
from . import answers
from .clip import measure_clip, solve_clip
from .detectors import FOLDERS, detector_file, file_finder
from .find import Detection, Thresholds, builtin_finder
from .hands import turn_wrists
from .persons import make_person, with_masks
from .refine import refine_person
from .stream import FOLLOWED, GIVEN, Search, people_of


def recover(clip: Clip, run: Run, options: Mapping[str, Any]) -> People:
    """See `people.recover_people`."""
    if options["track"] and clip.fps is not None and len(clip) > 1:
        return solve_clip(measure(clip, run.part(0.0, 0.9), options), run.part(0.9, 1.0), options)
    search = _search(clip, run, options, "accurate")
    if search.given is None and search.find is None:
        search = replace(search, find=builtin_finder(search.thresholds))
    way = options["hmr_batch_size"], options["hands"] == "full", options["smpl_body"]
    if len(clip) == 1 and clip.fps is None:
        photo = next(iter(clip))
        path = None if search.given is not None else detector_file(run.models_dir, options["detector"])
        looked = repr(search.given), path, search.thresholds, options["refine"], *way[1:]
        request = (run.model_key, photo.camera_or_default(), *looked)
        return cached_result(photo.pixels, request, lambda: _of_photos(clip, run, search, *way))
    return _of_photos(clip, run, search, *way)


def measure(clip: Clip, run: Run, options: Mapping[str, Any], frames: tuple[int, int] | None = None) -> Measured:
    """See `people.measure_people`."""
    return measure_clip(Film(clip, frames), run, _search(clip, run, options, "fast"), options)


def solve(measured: Measured, run: Run, options: Mapping[str, Any]) -> People:
    """See `people.solve_people`."""
    return solve_clip(measured, run, options)


def _search(clip: Clip, run: Run, options: Mapping[str, Any], landmarks: str) -> Search:
    """How people are looked for; by nobody where they are to be followed by landmarks. landmarks : to refine by."""
    given = boxes_per_photo(options["boxes"], len(clip))
    thresholds = Thresholds(options["det_confidence_thresh"], options["det_iou_thresh"], options["det_batch_size"])
    answers.ready(run, options["smpl_body"])
    path = None if given is not None else detector_file(run.models_dir, options["detector"])
    if given is None and path is None:
        why = "" if options["detector"] else f": there is no file in the folders {' and '.join(FOLDERS)}"
        run.report(0.0, f"Using the built-in person detector{why}")
    find = None if path is None else file_finder(path, run, thresholds)
    by = GIVEN if given is not None else FOLLOWED if path is None else str(path)
    return Search(find, given, thresholds, landmarks if options["refine"] else "", by)


def _of_photos(clip: Clip, run: Run, search: Search, batch: int, hands: bool, kind: str) -> People:
    """People photo by photo, none of them followed from one to the next; of a kind of body."""
    template, fingered = answers.template(run), answers.fingered(run, kind)
    shown = template if fingered is None else fingered.target
    cameras: list[Camera] = []
    frames: list[list[tuple[Detection, Person]]] = []
    for place, answer in answers.predict(people_of(clip, run.part(0.0, 0.9), search, cameras), run, batch):
        frames += [[] for _ in range(place.frame + 1 - len(frames))]
        if answer.is_usable:
            person = make_person(template, place.found, place.crop, answer, cameras[place.frame])
            frames[place.frame].append((place.found, person))
    if not cameras:
        raise BadInput("There are no photos.", "Give at least one.")
    frames += [[] for _ in range(len(cameras) - len(frames))]
    persons, left = [], MASK_BYTES
    parts = run.part(0.9, 1.0).parts(len(frames))
    for photo, people, camera, part in zip(clip, frames, cameras, parts, strict=True):
        if search.landmarks:
            people = [(found, refine_person(template, one, found, camera, part)) for found, one in people]
        if fingered is not None:
            people = [(found, fingered.person(one)) for found, one in people]
        if hands:
            turned = turn_wrists(shown, [one for _, one in people], photo, camera, part)
            people = [(found, one) for (found, _), one in zip(people, turned, strict=True)]
        left -= mask_bytes(len(people), camera)
        whole = [one for _, one in people] if left < 0 else with_masks(people, shown.body.faces, camera, part)
        persons.append(tuple(replace(one, track_id=index) for index, one in enumerate(whole)))
    run.report(1.0, f"{sum(map(len, persons))} people found")
    return People(tuple(persons), shown.body, cameras[0], tuple(cameras), clip.fps)
