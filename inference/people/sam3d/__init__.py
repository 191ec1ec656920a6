# SPDX-License-Identifier: GPL-3.0-or-later
"""SAM 3D Body: people with hands as the body MHR, read by the user's own network.

find the people of some photos -> what the network reads of each -> their builds and poses as one `results.Body`. A clip
(photos with a frame rate) goes on in `clip`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...camera import Camera
from ...errors import BadInput
from ...results import People, Person
from ...runtime.result_cache import cached_result
from ..boxes import boxes_per_photo
from ..clip import MASK_BYTES, mask_bytes
from ..clip.film import Film
from ..hmr2.detectors import BUILTIN, detector_file, file_finder
from ..hmr2.find import Detection, Thresholds, builtin_finder
from ..hmr2.persons import with_masks
from ..hmr2.stream import GIVEN, Search
from .body import Build, People3D
from .clip import measure_clip, solve_clip
from .model import Model, Reading, load_model
from .passes import read
from .persons import make_person
from .stream import camera_of, queries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...photo import Clip
    from ...runtime.run import Run
    from ..clip.measured import Measured

#: Megabytes that a run takes beside its weights, and for each person of a batch, on the CPU.
_BESIDE, _EACH = 900, 330


def recover(clip: Clip, run: Run, options: Mapping[str, Any]) -> People:
    """See `people.recover_people`."""
    model, search, masks = _ready(clip, run, options)
    if options["track"] and clip.fps is not None and len(clip) > 1:
        measured = measure_clip(Film(clip, lens=camera_of), run.part(0.0, 0.85), model, search, masks, options)
        return solve_clip(measured, run.part(0.85, 1.0), model, options)
    if len(clip) == 1 and clip.fps is None:
        photo = next(iter(clip))
        told = repr([None if one is None else hash(np.asarray(one).tobytes()) for one in masks[0]]) if masks else ""
        way = options["hands"], options["mask_prompts"], run.half
        path = None if search.given is not None else detector_file(run.models_dir, options["detector"])
        request = (run.model_key, photo.camera, repr(search.given), told, path, search.thresholds, way)
        return cached_result(photo.pixels, request, lambda: _of_photos(clip, run, model, search, masks, options))
    return _of_photos(clip, run, model, search, masks, options)


def measure(clip: Clip, run: Run, options: Mapping[str, Any], frames: tuple[int, int] | None = None) -> Measured:
    """See `people.measure_people`."""
    return measure_clip(Film(clip, frames, camera_of), run, *_ready(clip, run, options), options)


def solve(measured: Measured, run: Run, options: Mapping[str, Any]) -> People:
    """See `people.solve_people`. The network's file is mapped for the rig's numbers, and does not run."""
    return solve_clip(measured, run, load_model(run), options)


def _ready(clip: Clip, run: Run, options: Mapping[str, Any]) -> tuple[Model, Search, list | None]:
    """The model, how people are looked for, and the masks to show."""
    given = boxes_per_photo(options["boxes"], len(clip))
    masks = _masks_per_photo(options["masks"], given, len(clip))
    thresholds = Thresholds(options["det_confidence_thresh"], options["det_iou_thresh"], options["det_batch_size"])
    assert run.model is not None
    need = run.model.memory_mb + _BESIDE + _EACH * (options["hmr_batch_size"] - 1)
    run.report(0.0, f"Loading {run.model.label}, which takes about {need / 1000:.1f} GB of memory")
    model = load_model(run)
    path = None if given is not None else detector_file(run.models_dir, options["detector"])
    find = builtin_finder(thresholds) if path is None else file_finder(path, run, thresholds)
    by = GIVEN if given is not None else BUILTIN if path is None else str(path)
    return model, Search(find, given, thresholds, by=by), masks


def _of_photos(
    clip: Clip, run: Run, model: Model, search: Search, masks: Sequence | None, options: Mapping[str, Any]
) -> People:
    """People photo by photo, none of them followed from one to the next."""
    cameras: list[Camera] = []
    stream = queries(clip, run.part(0.0, 0.9), search, masks, options["mask_prompts"], cameras)
    known = [
        (place, reading)
        for place, reading in read(stream, model, options["hmr_batch_size"], options["hands"] == "full")
        if reading.is_usable
    ]
    if not cameras:
        raise BadInput("There are no photos.", "Give at least one.")
    people = People3D(model, [Build(reading.shape, reading.scale) for _, reading in known])
    frames: list[list[tuple[Detection, Person]]] = [[] for _ in cameras]
    for number, (place, reading) in enumerate(known):
        person = make_person(people, number, place.found, reading, cameras[place.frame])
        frames[place.frame].append((place.found, person))
    persons, left = [], MASK_BYTES
    for ones, camera, part in zip(frames, cameras, run.part(0.9, 1.0).parts(len(frames)), strict=True):
        left -= mask_bytes(len(ones), camera)
        whole = [one for _, one in ones] if left < 0 else with_masks(ones, people.body.faces, camera, part)
        persons.append(tuple(replace(one, track_id=index) for index, one in enumerate(whole)))
    run.report(1.0, f"{len(known)} people found")
    return People(tuple(persons), people.body, cameras[0], tuple(cameras), clip.fps)


def _masks_per_photo(masks: Any, boxes: Sequence | None, count: int) -> list[list[NDArray | None]] | None:
    """Masks as one list a photo, of the people that the boxes tell. Raises `BadInput`."""
    if masks is None:
        return None
    if boxes is None:
        raise BadInput("There are masks of people without their boxes.", "Give the boxes of the people too.")
    try:
        masks = list(masks)
        listed = [masks] if count == 1 and len(masks) == len(boxes[0]) and all(map(_is_mask, masks)) else masks
        fits = len(listed) == count and all(len(own) == len(box) for own, box in zip(listed, boxes, strict=False))
    except TypeError:  # no lists
        listed, fits = [], False
    if not fits or not all(_is_mask(one) for own in listed for one in own):
        raise BadInput("The masks do not belong to the boxes.", "Give a mask (H, W), or None, for each box of a photo.")
    return [[None if one is None else np.asarray(one) for one in own] for own in listed]


def _is_mask(mask: Any) -> bool:
    return mask is None or getattr(mask, "ndim", 0) == 2


__all__ = ["Reading", "recover"]
