# SPDX-License-Identifier: GPL-3.0-or-later
"""Many places at once: every hand, face or person of a photo or film repainted, each with its own prompt and seed.

Over the frames of a film a place keeps its number and with it its noise: its crop is a square that is always worked on
at the size of the first frame. It starts from what was painted in the frame before, moved along with the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from .. import batch, runtime
from ..errors import BadInput, Cancelled
from ..geometry.mask_shape import shaped
from ..hands.track import follow_hands
from ..options.common import RUN_NAMES
from ..options.detail import OPTIONS, PLACES
from ..people import recover_people
from ..photo import Clip, as_clip, is_movie
from ..results import Detailed, DetailedSegment, Person
from . import request
from .arithmetic import default
from .blending import pasted
from .engines import Engine, engine_for, refiner_for
from .loop import cut
from .segments import Segment, crop_region
from .source import source_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..runtime import Run
    from .loop import Layout

    Pixels = NDArray[np.float32]

#: Landmarks of a face among those of the built-in body: nose, eyes, ears and mouth; of these, the nose and the ears.
_FACE, _NOSE, _EARS = slice(0, 11), 0, [7, 8]
#: Half axes of a face across and along, in distances of its farthest landmark from their middle.
_ACROSS, _ALONG = 1.1, 1.5
#: A pixel whose colour changed by more than this on the way from the frame before shows something else.
_CHANGED = 0.12


@dataclass(frozen=True)
class Place:
    """number : the same for one place in all frames of a film.  mask : (H, W) float32 0..1."""

    number: int
    mask: Pixels


@dataclass(frozen=True)
class _Painted:
    """What is kept of a place for the next frame. frame, refined : (h, w, 3) its crop of the photo, and repainted."""

    frame: Pixels
    refined: Pixels
    work: tuple[int, int]


def detail_places(
    photos: Any,
    kind: Literal["hands", "faces", "people"] = "hands",
    model: Any = "builtin",
    *,
    prompts: Sequence[str] = (),
    steady: float = 0.5,
    grow: float = 0.0,
    **parameters: Any,
) -> Iterator[Detailed]:
    """Every place of a kind in each photo, repainted; one result a photo, in their order, as they are asked for.

    photos : a photo, movie, folder or `Clip`, or a list of photos (as `detail_mask` takes them, at their own depth).
    prompts : of the places by their number, from 0 on; the others have `prompt`.
    steady : 0..1, how much of what was painted in the frame before a place of a film starts from; models that fill
        from the surroundings use none of it.  grow : pixels by which each place is grown, negative to shrink it.
    parameters : those of `detail_mask`.
    A photo without such a place comes back as it is, with a note. Raises `MaquetteError`.
    """
    given, run = _request("detail_places", prompts, parameters)
    if kind not in PLACES:
        raise BadInput(f"There are no places called {kind!r}.", f"Choose one of {', '.join(PLACES)}.")
    if not 0 <= steady <= 1:
        raise BadInput(f"steady is {steady}, which is not between 0 and 1.", "Choose a share.")
    clip = as_clip(photos)
    return _detailed(photos, clip, kind, model, list(prompts), steady, grow, given, run)


def detail_masks(
    photo: Any, masks: Sequence[Pixels], model: Any = "builtin", *, prompts: Sequence[str] = (), **parameters: Any
) -> Detailed:
    """A photo with the parts under each mask repainted by themselves, one mask after the other, each with its own
    prompt and seed. The arguments are those of `detail_places` and `detail_mask`. Raises `MaquetteError`; `Cancelled`
    carries what was finished."""
    given, run = _request("detail_masks", prompts, parameters)
    with run.computing():
        engine, given = _engines(model, given, run)
        places = [Place(number, mask) for number, mask in enumerate(masks)]
        return _frame(photo, places, engine, list(prompts), given, run, {}, 0.0)[0]


def masks_of(photo: Any, kind: str, **where: Any) -> list[Pixels]:
    """The mask (H, W) of each place of a kind in one photo. where : `device`, `progress` and the like."""
    run = runtime.start(**where)
    return [place.mask for place in next(_places(kind, as_clip(photo), run))]


def _request(name: str, prompts: Sequence[str], parameters: dict[str, Any]) -> tuple[dict[str, Any], Run]:
    """All parameters of `detail_mask`, and the run. Raises TypeError and `BadInput`."""
    defaults = {**OPTIONS.defaults(), **dict.fromkeys(RUN_NAMES)}
    unknown = [word for word in parameters if word not in defaults]
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {unknown[0]!r}")
    if parameters.get("batch_size", 1) != 1:
        raise BadInput("Places are painted once each.", "Leave the number of variants at 1, and choose another seed.")
    if isinstance(prompts, str):
        raise BadInput("The prompts are one text.", "Give a list of texts, one a place.")
    run = runtime.start(**{word: parameters.get(word) for word in RUN_NAMES})
    return {**defaults, **parameters, "combined": True}, run


def _engines(model: Any, given: dict[str, Any], run: Run) -> tuple[Engine, dict[str, Any]]:
    """The engine, and the parameters with the refiner's."""
    engine, refiner = engine_for(model, run, offload=given["offload"]), given["refiner"]
    if refiner is not None:
        refiner = None if engine.native else refiner_for(refiner, engine, run, offload=given["offload"])
    return engine, {**given, "refiner": refiner}


def _detailed(
    photos: Any,
    clip: Clip,
    kind: str,
    model: Any,
    prompts: list[str],
    steady: float,
    grow: float,
    given: dict[str, Any],
    run: Run,
) -> Iterator[Detailed]:
    film = clip.fps is not None and len(clip) > 1
    with run.computing():
        engine, given = _engines(model, given, run)
    seeking, painting = run.part(0.0, 0.3), run.part(0.3, 1.0)
    before: dict[int, _Painted] = {}
    for number, (photo, places) in enumerate(zip(_sources(photos, clip), _places(kind, clip, seeking), strict=False)):
        places = [replace(one, mask=shaped(one.mask, grow, 0.0)) for one in places] if grow else places
        part = painting.part(number / len(clip), (number + 1) / len(clip))
        with run.computing():
            result, painted = _frame(photo, places, engine, prompts, given, part, before if film else {}, steady)
        before = {**before, **painted}
        yield result


def _sources(photos: Any, clip: Clip) -> Iterable[Any]:
    """The photos as they were given, so that their depth is not lost on the way; frames of films are bytes."""
    if isinstance(photos, (list, tuple)) and len(photos) == len(clip):
        return photos
    if len(clip) == 1 and not isinstance(photos, Clip) and not _is_clip_path(photos):
        return [photos]
    return clip


def _is_clip_path(photos: Any) -> bool:
    return isinstance(photos, (str, PathLike)) and (not Path(photos).is_file() or is_movie(Path(photos)))


def _places(kind: str, clip: Clip, run: Run) -> Iterator[list[Place]]:
    """The places of each photo."""
    given = {"device": run.device, "models_dir": run.models_dir, "progress": run.report}
    if kind == "hands":
        maps = batch.refine_hands(clip, **given)
        for frame in follow_hands(maps, fps=clip.fps) if clip.fps is not None else maps:
            yield [Place(at if clip.fps is None else hand.track_id, hand.mask) for at, hand in enumerate(frame.hands)]
        return
    people = recover_people(clip, "builtin" if kind == "faces" else "auto", track=clip.fps is not None, **given)
    for persons, camera in zip(people.frames, people.cameras, strict=True):
        drawn = [(one, _mask(kind, one, (camera.height, camera.width))) for one in persons]
        if clip.fps is None:
            yield [Place(at, mask) for at, (_, mask) in enumerate(drawn) if mask is not None]
        else:
            yield [Place(one.track_id, mask) for one, mask in drawn if mask is not None]


def _mask(kind: str, person: Person, shape: tuple[int, int]) -> Pixels | None:
    """Where a person or the face is; None for a face that looks away."""
    mask = np.zeros(shape, np.float32)
    if kind == "people":
        if person.mask is not None:
            return person.mask
        x0, y0, x1, y1 = (round(value) for value in person.box)
        mask[max(y0, 0) : y1, max(x0, 0) : x1] = 1
        return mask
    points, deep = person.keypoints_2d[_FACE], person.keypoints_3d
    if deep is not None and deep[_NOSE, 2] > deep[_EARS, 2].mean():
        return None
    middle = points.mean(0)
    reach = float(np.linalg.norm(points - middle, axis=1).max())
    eyes, mouth = points[1:7].mean(0), points[9:11].mean(0)
    angle = np.degrees(np.arctan2(*(mouth - eyes)[::-1])) - 90
    axes = max(1, round(_ACROSS * reach)), max(1, round(_ALONG * reach))
    centre = round(float(middle[0])), round(float(middle[1]))
    cv2.ellipse(mask, centre, axes, float(angle), 0, 360, (1.0,), cv2.FILLED)
    return mask if mask.any() else None


class _SamePlace:
    """The default arithmetic for one place: a square crop, and a seed that does not depend on where it is."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(default, name)

    def split_mask(self, mask: Pixels, size: tuple[int, int], layout: Layout) -> Any:
        kept, dropped = default.split_mask(mask, size, layout)
        return [self._square(one, size, layout.crop_factor) for one in kept], dropped

    def _square(self, segment: Segment, size: tuple[int, int], factor: float) -> Segment:
        x0, y0, x1, y1 = segment.box
        side = max(segment.size)
        box = ((x0 + x1 - side) / 2, (y0 + y1 - side) / 2, (x0 + x1 + side) / 2, (y0 + y1 + side) / 2)
        crop = crop_region(box, size, factor)
        whole = np.zeros(size[::-1], np.float32)
        left, top, right, bottom = segment.crop
        whole[top:bottom, left:right] = segment.mask
        return replace(segment, crop=crop, mask=whole[crop[1] : crop[3], crop[0] : crop[2]])

    def seed_for(self, seed: int, batch_number: int, number: int, segment: Segment, cycle: int) -> int:
        everywhere = replace(segment, box=(2 * self.number, 0, 2 * self.number, 0))
        return default.seed_for(seed, batch_number, number, everywhere, cycle)


class _SameSize:
    """The request's hook, with the size of the first frame."""

    def __init__(self, hook: Any, work: tuple[int, int]) -> None:
        self.hook, self.work = hook, work

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hook, name)

    def touch_scaled_size(self, width: int, height: int) -> tuple[int, int]:
        return self.work if width == height else (width, height)


def _frame(
    photo: Any,
    places: list[Place],
    engine: Engine,
    prompts: list[str],
    given: dict[str, Any],
    run: Run,
    before: dict[int, _Painted],
    steady: float,
) -> tuple[Detailed, dict[int, _Painted]]:
    """All places of one photo. before : what was painted of each in the frame before."""
    source = source_of(photo, given["linear"])
    picture, records, notes, painted = source.pixels, [], [], {}
    for place, part in zip(places, run.parts(len(places)), strict=True):
        prompt = prompts[place.number] if place.number < len(prompts) else given["prompt"]
        own = {**given, "prompt": prompt, "refiner": None}
        last = None if engine.native else before.get(place.number)
        if last is not None:
            own["hook"] = _SameSize(own["hook"], last.work)
        job = request.checked(source.pixels, place.mask, part, {**own, "linear": False})
        job = replace(job, layout=replace(job.layout, arithmetic=_SamePlace(place.number)))
        if given["refiner"] is not None:
            job = job.refined_by(given["refiner"])
        if last is not None and steady > 0:
            job = replace(job, source=replace(job.source, pixels=_started(job, last, steady)))
        try:
            found = list(job.steps(engine))[-1]
        except Cancelled as cancelled:
            done = Detailed(picture[None], tuple(records), tuple(notes))
            cancelled.finished = source.finished(done) if records else None
            raise
        notes += [note for note in found.notes if note not in notes]
        for record in found.segments:
            records.append(record)
            if record.alpha is not None:
                picture = pasted(picture, record.alpha[..., :3], record.alpha[..., 3], record.crop[:2])
                painted[place.number] = _kept(source.pixels, record)
    if not places:
        notes.append("Nothing to repaint was found, so the photo is as it was.")
    return source.finished(Detailed(picture[None], tuple(records), tuple(notes))), painted


def _kept(pixels: Pixels, record: DetailedSegment) -> _Painted:
    assert record.alpha is not None
    return _Painted(cut(pixels, record.crop).copy(), np.ascontiguousarray(record.alpha[..., :3]), record.work)


def _started(job: Any, last: _Painted, steady: float) -> Pixels:
    """The photo with what was painted in the frame before under the mask, moved along by optical flow."""
    segments, _ = job.segments(False)
    picture: Pixels = job.source.pixels
    if not segments:
        return picture
    fit = job.fitted(segments[0], False)
    x0, y0, x1, y1 = fit.segment.crop
    size, now = (x1 - x0, y1 - y0), cut(picture, fit.segment.crop)
    frame, refined = (cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in (last.frame, last.refined))
    greys = [cv2.cvtColor((np.clip(one, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for one in (now, frame)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(*greys, None)  # type: ignore[call-overload]
    columns, rows = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    way = (columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    moved, old = cv2.remap(refined, *way), cv2.remap(frame, *way)  # type: ignore[call-overload]
    same = (np.abs(now - old).max(-1) < _CHANGED).astype(np.float32)
    return pasted(picture, np.asarray(moved, np.float32), steady * same * fit.segment.mask, (x0, y0))
