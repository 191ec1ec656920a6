# SPDX-License-Identifier: GPL-3.0-or-later
"""People with what ships: find them with the pose network, fit the body to each, throw out what is not a person.

A clip (photos with a frame rate) is handed to `clip`, which follows people through the frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import BadInput
from ..geometry.rasteriser import rasterise
from ..geometry.skinning import pose_body
from ..photo import Clip, Photo
from ..results import People, Person
from ..runtime.result_cache import cached_result
from ..runtime.run import Run
from ..shipped import pose, search
from ..shipped.body import load_body
from ..shipped.crops import Pyramid, Region
from ..shipped.mannequin import body_named
from ..shipped.pose import PoseLandmarks
from .boxes import box_overlap, boxes_per_photo, landmark_box, person_box, separate_masks
from .clip.children import said, with_children
from .clip.cover import behind_others
from .clip.ground import LEANING, said_apart, stand_together
from .fit.fitting import Fit, fit_people
from .fit.hands import read_hands
from .fit.wrists import give_hands_back

if TYPE_CHECKING:
    from .clip.measured import Measured

#: A false person gives itself away in several ways, each harmless by itself: the network is unsure of it under some
#: augmentation, its landmarks are no possible body, the body does not fill its mask. The sum of doubts decides. A face
#: without shoulders or hips, of an animal as a rule, is nobody's unless the detector is sure: one of them is seen by
#: 0.38 at least of 176 rendered people, by 0.01 of a cat.
_DOUBT = 1.0
_TRUNK, _TRUNK_SEEN = [11, 12, 23, 24], 0.3
#: A limb or a head that the picture's edge cuts off its body is taken for a small person who is all there: nearly all
#: landmarks lie in the picture while this much of the crop, which is no larger than that share of the picture's long
#: side, does not. And in a figure of so few pixels any mast or leg looks like somebody. Then less belief than this is
#: none.
_WHOLE, _BEYOND, _SMALL, _TINY, _SURE = 0.9, 0.25, 0.5, 45, 0.95
#: The name of the networks that ship, in the place of a detector's.
BUILTIN = "builtin"
#: Belief from which on somebody is told of who is not fitted; the usual threshold of confidence.
SEEN, USUAL = 0.3, 0.25
_UNFITTED = (
    "{who} more may be there, too uncertain to fit: lower Confidence in Settings, or choose a detector of your own"
)
_OVERLAPPING = "{who} left out, over a more certain one: if both are people, raise Overlap in Settings"
#: Who is believed less than this is told of: a temple's roof is taken for a person with 0.79 and 0.81 (OpenCV 4 and
#: 5). Of 531 people (random pictures and photographs) 23 are believed less, of 17 things taken for people 11.
_CERTAIN = 0.9
_UNCERTAIN = "{who} of the figures may be something else that looks like a person: delete what is wrong"
_LEANING = "People lean by {:.0f}° on the floor that was found: a figurine or a picture may tilt it"
#: What is told, and how one and several are called in it.
_CALLED = {
    _UNCERTAIN: ("One", "{count}"),
    _OVERLAPPING: ("One figure is", "{count} figures are"),
    _UNFITTED: ("Somebody", "{count} people"),
}
#: The options that a photo's people depend on.
_DECIDING = ("det_confidence_thresh", "det_iou_thresh", "refine", "detector", "hands", "body")


def recover(clip: Clip, run: Run, options: Mapping[str, Any]) -> People:
    """See `people.recover_people`."""
    if options["track"] and clip.fps is not None and len(clip) > 1:
        from .clip import solve_clip

        return solve_clip(measure(clip, run.part(0.0, 0.5), options), run.part(0.5, 1.0), options)
    boxes, run, options = _with_boxes(clip, run, options, 0, len(clip))
    frames: list[tuple[Person, ...]] = []
    cameras: list[Camera] = []
    told, floor = Counter[str](), dict[str, None]()
    for number, photo in enumerate(clip):
        part = run.part(number / len(clip), (number + 1) / len(clip))
        camera = photo.camera_or_default()
        cameras.append(camera)
        own = boxes[number] if boxes else None
        key = (camera, repr(own), *(options[name] for name in _DECIDING), run.device, run.precision)
        people, here, said_here = cached_result(
            photo.pixels, key, partial(_people_of, photo, camera, part, own, options)
        )
        frames.append(people)
        told.update(here)
        floor.update(dict.fromkeys(said_here))
    if not frames:
        raise BadInput("There are no photos.", "Give at least one.")
    notes = said(person.attributes for persons in frames for person in persons)
    notes += tuple(
        note.format(who=(one if told[note] == 1 else several).format(count=told[note]))
        for note, (one, several) in _CALLED.items()
        if told[note]
    )
    notes += tuple(floor)
    run.report(1.0, ". ".join([f"{sum(map(len, frames))} people found", *notes]))
    return People(tuple(frames), body_named(options["body"]), cameras[0], tuple(cameras), clip.fps, notes)


def measure(clip: Clip, run: Run, options: Mapping[str, Any], frames: tuple[int, int] | None = None) -> Measured:
    """See `people.measure_people`."""
    from .clip import measure_clip
    from .clip.film import Film

    film = Film(clip, frames)
    boxes, run, told = _with_boxes(clip, run, options, film.first, film.stop)
    return measure_clip(film, run, {**options, "detector": told["detector"]}, boxes)


def follow(clip: Clip, run: Run, options: Mapping[str, Any]) -> tuple[People, Callable[[int], tuple[Person, ...]]]:
    """The people of a clip, and a function that gives those who are seen in a frame with masks of their own, which are
    made when they are asked for: those of all frames would not find room."""
    from .clip import USUAL_FPS, solve_clip
    from .clip.identify import identify
    from .clip.retime import filmed

    measured = measure(clip, run.part(0.0, 0.5), options)
    people = solve_clip(measured, run.part(0.5, 1.0), options)
    tracks = identify(measured.pieces, filmed(measured, options).fps or USUAL_FPS)

    def seen(frame: int) -> tuple[Person, ...]:
        here = [one for one in people.frames[frame] if frame in tracks[one.track_id].sightings]
        whole = [tracks[one.track_id].sightings[frame].whole for one in here]
        height, width = people.cameras[frame].height, people.cameras[frame].width
        masks = separate_masks([pose.person_mask(one, height, width) for one in whole])
        return tuple(replace(one, mask=mask) for one, mask in zip(here, masks, strict=True))

    return people, seen


def solve(measured: Measured, run: Run, options: Mapping[str, Any]) -> People:
    """See `people.solve_people`."""
    from .clip import solve_clip

    return solve_clip(measured, run, options)


def _with_boxes(
    clip: Clip, run: Run, options: Mapping[str, Any], start: int, stop: int
) -> tuple[Sequence[Sequence[Sequence[float]]] | None, Run, Mapping[str, Any]]:
    """The boxes of each photo, where they are given or a detector of the user's finds them (in start .. stop - 1); what
    is left of the run, and the options with who finds people."""
    boxes = boxes_per_photo(options["boxes"], len(clip))
    if boxes is not None or options["detector"] in (None, BUILTIN):
        return boxes, run, {**options, "boxes": boxes, "detector": BUILTIN}
    some = Clip(clip.name, stop - start, clip.fps, lambda: islice(clip, start, stop))
    found = [[]] * start + _boxes_of_detector(some, run.part(0.0, 0.2), options)
    return found, run.part(0.2, 1.0), {**options, "boxes": found}


def _boxes_of_detector(clip: Clip, run: Run, options: Mapping[str, Any]) -> list[list[list[float]]]:
    """The boxes, photo by photo, of the people that a detector of the user's sees."""
    from .hmr2.detectors import detector_file, file_finder
    from .hmr2.find import Thresholds, boxes_inside

    thresholds = Thresholds(options["det_confidence_thresh"], options["det_iou_thresh"], options["det_batch_size"])
    path = detector_file(run.models_dir, options["detector"])
    assert path is not None
    find = file_finder(path, run, thresholds)
    photos, boxes = iter(clip), list[list[list[float]]]()
    while some := list(islice(photos, thresholds.batch)):
        for photo, found in zip(some, find(some, run), strict=True):
            boxes.append(boxes_inside([one.box for one in found], *photo.size))
        run.report(len(boxes) / len(clip), "Looking for people")
    return boxes


def _people_of(
    photo: Photo, camera: Camera, run: Run, boxes: Sequence[Sequence[float]] | None, options: Mapping[str, Any]
) -> tuple[tuple[Person, ...], dict[str, int], tuple[str, ...]]:
    """The people of one photo, best first, of how many each sentence of `_CALLED` tells, and what is to be told of
    their floor; with given boxes, one person per box in their order."""
    pyramid = Pyramid(photo.pixels, options["det_batch_size"])
    batch, refine, least = options["hmr_batch_size"], options["refine"], options["det_confidence_thresh"]
    missed = 0
    if boxes is None:
        seen, missed = search.search_people(pyramid, run.part(0.0, 0.5), SEEN)
    else:
        seen = search.find_people(pyramid, run.part(0.0, 0.5), boxes=boxes)
    given = boxes is not None and options["detector"] == BUILTIN
    # A lower threshold than the usual one lets the less certain in.
    bar = min(1.0, least / USUAL) * (pose.BELIEVED if boxes is None else SEEN)
    found = seen if given else [one for one in seen if one.score >= least and one.belief >= bar]
    found = give_hands_back(pyramid, found, run.part(0.5, 0.5))
    height, width = photo.pixels.shape[:2]
    masks = separate_masks([pose.person_mask(one, height, width) for one in found])
    shown = behind_others(found, masks)
    hands = read_hands(pyramid, shown, camera, run.part(0.5, 0.6)) if options["hands"] == "full" else None
    fits: list[Fit] = []
    for start in range(0, len(found), batch):
        part = run.part(0.6 + 0.35 * start / len(found), 0.6 + 0.35 * min(1.0, (start + batch) / len(found)))
        some = slice(start, start + batch)
        cameras = [camera] * len(shown[some])
        fits += fit_people(shown[some], cameras, part, masks=masks[some], hands=hands and hands[some], refine=refine)
    candidates = list(zip(found, fits, masks, strict=True))
    unfitted, overlapping = 0 if given else len(seen) - len(found) + missed, 0
    if boxes is None:
        candidates = [(one, fit, mask) for one, fit, mask in candidates if doubt(one, fit, mask, camera) < _DOUBT]
        unfitted += len(found) - len(candidates)
        likely, candidates = candidates, without_overlaps(candidates, options["det_iou_thresh"])
        overlapping = len(likely) - len(candidates)
    people = [_person(one, fit, mask, camera) for one, fit, mask in candidates]
    people = [replace(person, track_id=number) for number, person in enumerate(people)]
    people = with_children(load_body(), people, camera)
    together, body = stand_together(load_body(), people, camera), body_named(options["body"])
    people = together.persons
    if body is not load_body():
        people = tuple(
            replace(person, vertices=pose_body(body, person.shape, person.rotations, person.translation)[0])
            for person in people
        )
    uncertain = 0 if given else sum(one.belief < _CERTAIN for one, _, _ in candidates)
    unfitted = unfitted if least < 1 else 0
    floor = said_apart(together.apart, "of the others")
    if together.lean > LEANING:
        floor += (_LEANING.format(np.degrees(together.lean)),)
    return people, {_UNFITTED: unfitted, _OVERLAPPING: overlapping, _UNCERTAIN: uncertain}, floor


def doubt(one: PoseLandmarks, fit: Fit, mask: NDArray[np.float32], camera: Camera) -> float:
    """How little there is to say for a person: 0 none, 1 enough to leave the person out."""
    unsure = np.clip((0.9 - one.belief) / 0.8, 0, 1)
    deformed = np.clip((fit.residual - 0.12) / 0.12, 0, 0.8)
    unfilled = np.clip((0.35 - filled(fit, mask, camera)) / 0.35, 0, 1)
    inside = ((one.points >= 0) & (one.points < (camera.width, camera.height))).all(1)
    seen = (one.visibility * one.presence * inside)[_TRUNK].max() >= _TRUNK_SEEN
    bodiless = _DOUBT * (not seen and one.region.score < search.SEPARATE)
    small = one.region.size < _SMALL * max(camera.width, camera.height)
    squeezed = small and inside[:33].mean() > _WHOLE and _beyond(one.region, camera) > _BEYOND
    tiny = np.ptp(one.points[:33], axis=0).max() < _TINY
    return float(unsure + deformed + unfilled + bodiless + _DOUBT * (one.belief < _SURE and (squeezed or tiny)))


def _beyond(region: Region, camera: Camera) -> float:
    """Share of a crop, taken as upright, that lies outside of the picture."""
    middle, half = np.array([region.cx, region.cy]), region.size / 2
    low, high = np.maximum(middle - half, 0), np.minimum(middle + half, (camera.width, camera.height))
    return 1 - float(np.maximum(high - low, 0).prod()) / region.size**2


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
