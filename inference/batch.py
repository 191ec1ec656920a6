# SPDX-License-Identifier: GPL-3.0-or-later
"""Photos through a model: one, or many, one after the other (clips, folders and lists, of any length).

The functions for many take what the tasks' own take, with `photos` (a clip, movie, folder or pattern, or any photos)
instead of a photo, and `batch_size`, and give one result a photo, in the photos' order. They are generators: no more
than `batch_size` photos and results are held, however long the clip. Photos of a batch pass a network together where
their model can do that. An error names the photo; what came before it has been given out already.

A model's module has one function that is called as its task says here: `estimate(photo, run, options)`, or, where
photos pass its network together, `estimate_batch(photos, run, options)` with a list of results. Where the frames of a
film tell of each other, it has `estimate_film(clip, run, options)` too, which returns a function of a frame's number
and its run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from . import runtime
from .errors import BadInput, Cancelled, MaquetteError, NothingFound, OutOfMemory
from .options import depth, hands, normals, preprocessors, segment
from .options.common import AUTO, RUN_NAMES
from .options.common import BATCH_SIZE as _BATCH_SIZE
from .photo import Clip, Photo, PhotoLike, as_clip, as_photo
from .registry import answering, model_module
from .runtime.device import require_torch

if TYPE_CHECKING:
    from types import ModuleType

    from ..installer.models.catalogue import Model
    from .results import DepthMap, HandMaps, MapImage, NormalMap
    from .runtime.run import Run

    Photos = PhotoLike | Clip | Iterable[PhotoLike]

#: Photos that pass a network together where nothing else is asked for; more gains little and takes memory.
BATCH_SIZE: int = _BATCH_SIZE.default
#: Share of a photo's pixels that the first of several models has to know.
_LEAST_KNOWN = 0.025
#: Errors that tell of one photo, so that others may yet be done.
OF_ONE_PHOTO = (BadInput, NothingFound, OutOfMemory)
#: Task -> what the modules of its models call the work, and its options.
_TASKS = {
    "depth": ("estimate", depth.OPTIONS),
    "normals": ("estimate", normals.OPTIONS),
    "hands": ("refine", hands.OPTIONS),
    "maps": ("make", preprocessors.OPTIONS),
    "segment": ("cut_out", segment.OPTIONS),
}


def single(task: str, given: Mapping[str, Any]) -> Any:
    """The result of one photo. given : the arguments of the task's public function by name. Raises `MaquetteError`."""
    asked = _asked(task, given["model"], given)
    photo = as_photo(given["photo"])
    asked = replace(asked, options=_TASKS[task][1].checked(given))
    with asked.run.computing():
        return asked.answers([photo], asked.run)[0]


@dataclass(frozen=True)
class _Asked:
    """What is asked of some photos. models : tried in turn, until one finds something."""

    task: str
    run: Run
    models: tuple[Model, ...]
    options: Mapping[str, Any]

    @property
    def verb(self) -> str:
        return _TASKS[self.task][0]

    @property
    def together(self) -> bool:
        """Whether several photos pass the first model's network together."""
        return hasattr(self._module(0), f"{self.verb}_batch")

    def _module(self, number: int) -> ModuleType:
        return model_module(self.task, self.models[number].id)

    @property
    def film(self) -> Callable[..., Callable[[int, Run], Any]] | None:
        """What the first model has for films."""
        return getattr(self._module(0), f"{self.verb}_film", None)

    def answers(self, photos: list[Photo], run: Run) -> list[Any]:
        """A result for each photo, with the model that gave it. Raises the last model's `NothingFound`."""
        for number, model in enumerate(self.models):
            module, own = self._module(number), replace(run, model=model)
            try:
                if together := getattr(module, f"{self.verb}_batch", None):
                    found = together(photos, own, self.options)
                else:
                    found = [getattr(module, self.verb)(photo, own, self.options) for photo in photos]
                others = model is not self.models[-1] and self.task in ("depth", "normals")
                if others and all(result.valid.mean() < _LEAST_KNOWN for result in found):
                    continue  # somebody far away is not what the photo is of
                return [replace(result, model=model.id) for result in found]
            except NothingFound:
                if model is self.models[-1]:
                    raise
        raise AssertionError("unreachable")


def _asked(task: str, model: str, given: Mapping[str, Any]) -> _Asked:
    """The request without its options, which are checked after the photo was read. Raises `MaquetteError`."""
    require_torch()
    run = runtime.start(**{name: given.get(name) for name in RUN_NAMES})
    models = answering(task, model, run.models_dir)
    if task == "segment" and model == AUTO:  # only some find the main thing without being told what is wanted
        told = segment.is_prompted(given)
        models = tuple(one for one in models if bool(one.options.get("main")) != told) or models
    model_module(task, models[0].id)
    return _Asked(task, run, models, {})


def estimate_depth(photos: Photos, model: str = AUTO, **options: Any) -> Iterator[DepthMap]:
    """`inference.estimate_depth` of every photo; its keywords are the options."""
    return _found(each("depth", photos, model, **options))


def estimate_normals(photos: Photos, model: str = AUTO, **options: Any) -> Iterator[NormalMap]:
    """`inference.estimate_normals` of every photo; its keywords are the options."""
    return _found(each("normals", photos, model, **options))


def make_maps(photos: Photos, model: str = "canny", **options: Any) -> Iterator[MapImage]:
    """`inference.make_map` of every photo; its keywords are the options."""
    return _found(each("maps", photos, model, **options))


def refine_hands(photos: Photos, model: str = AUTO, **options: Any) -> Iterator[HandMaps]:
    """`inference.refine_hands` of every photo; its keywords are the options. Hands of a clip: `hands.track`."""
    return _found(each("hands", photos, model, **options))


def each(
    task: str,
    photos: Photos,
    model: str = AUTO,
    *,
    batch_size: int = BATCH_SIZE,
    **options: Any,
) -> Iterator[tuple[Photo, Any]]:
    """Every photo with its result, or with the `NothingFound` that the model raised for it.

    task : "depth", "normals", "hands" or "maps".  options : the keywords of its public function.
    What can be checked is checked before the first pair is asked for. Of a film (but not of separate photos) all frames
    are answered by one model.
    """
    asked, count = _checked(task, model, batch_size, options)
    clip = as_clip(photos)
    if not len(clip):
        raise BadInput("There is no photo to work on.", "Give at least one.")
    return (_of_film if clip.fps is not None and len(clip) > 1 else _pairs)(clip, asked, count)


def each_or_why(
    task: str,
    photos: Clip,
    model: str = AUTO,
    *,
    batch_size: int = BATCH_SIZE,
    film: bool = False,
    first: bool = False,
    opening: Callable[[], Photo] | None = None,
    **options: Any,
) -> Iterator[tuple[Photo | None, Any]]:
    """As `each`, but what is wrong with a photo is its result and ends nothing.

    photos : may give out an error in place of a photo that cannot be read; it is handed on.
    film : one model answers all of them.  first : no other model is tried where the first one finds nothing, so that
    the parts of a film agree.  opening : the first frame of the film that `photos` are a part of.
    Raises what is wrong with all of them: a missing model or package, an option.
    """
    asked, count = _checked(task, model, batch_size, options)
    if first:
        asked = replace(asked, models=asked.models[:1])
    return _of_film(photos, asked, count, _pairs_or_why, opening) if film else _pairs_or_why(photos, asked, count)


def _checked(task: str, model: str, batch_size: int, options: Mapping[str, Any]) -> tuple[_Asked, int]:
    """The request, and how many photos pass together. Raises `MaquetteError`, TypeError."""
    declared = _TASKS[task][1]
    unknown = options.keys() - {*declared.names, *RUN_NAMES}
    if unknown:
        raise TypeError(f"{task} got an unexpected keyword argument {min(unknown)!r}")
    count = _BATCH_SIZE.checked(batch_size)
    asked = replace(_asked(task, model, options), options=declared.checked(options))
    return asked, count if asked.together else 1


def _pairs_or_why(clip: Clip, asked: _Asked, count: int) -> Iterator[tuple[Photo | None, Any]]:
    photos: Iterator[Photo | MaquetteError] = iter(clip)
    done = 0
    while batch := list(islice(photos, count)):
        part = asked.run.part(min(done / len(clip), 1.0), min((done + count) / len(clip), 1.0))
        part.report(0.0, f"Photo {done + 1} of {len(clip)}")
        results = _results_or_why([photo for photo in batch if isinstance(photo, Photo)], part, asked)
        done += len(batch)
        for photo in batch:
            yield (photo, results.pop(0)) if isinstance(photo, Photo) else (None, photo)


def _results_or_why(photos: list[Photo], run: Run, asked: _Asked) -> list[Any]:
    try:
        with run.computing():
            return asked.answers(photos, run) if photos else []
    except Exception as error:
        if isinstance(error, Cancelled) or (isinstance(error, MaquetteError) and not isinstance(error, OF_ONE_PHOTO)):
            raise
        if len(photos) > 1:
            return [result for photo in photos for result in _results_or_why([photo], run, asked)]
        return [error if isinstance(error, MaquetteError) else unforeseen(error, photos[0].name)]


def unforeseen(error: Exception, name: str) -> MaquetteError:
    """What no check foresaw, of one photo."""
    return MaquetteError(f"{name} failed ({type(error).__name__}: {error}).", "Please report it, with this file.")


def _found(pairs: Iterator[tuple[Photo, Any]]) -> Iterator[Any]:
    for _, result in pairs:
        if isinstance(result, NothingFound):
            raise result
        yield result


def _of_film(
    clip: Clip,
    asked: _Asked,
    count: int,
    pairs_of: Callable[..., Iterator[tuple[Any, Any]]] | None = None,
    opening: Callable[[], Photo] | None = None,
) -> Iterator[tuple[Any, Any]]:
    """The pairs of the first model that finds something in any frame: metres and heights never follow one another."""
    for model in asked.models:
        only = replace(asked, models=(model,))
        film = _through_found_lens(clip, only, opening) if model.options.get("lens") else clip
        pairs = (pairs_of or (_film_pairs if only.film else _pairs))(film, only, count)
        if asked.options.get("steady"):
            pairs = _steadied(pairs)
        if model is asked.models[-1]:
            yield from pairs
            return
        empty: list[MaquetteError] = []
        for pair in pairs:
            if not isinstance(pair[1], MaquetteError):
                yield from chain(zip(islice(clip, len(empty)), empty, strict=False), [pair], pairs)
                return
            empty.append(pair[1])


def _through_found_lens(clip: Clip, asked: _Asked, opening: Callable[[], Photo] | None) -> Clip:
    """The film through the lens that the model finds in its first frame, where it does not say its own."""
    first = opening() if opening else next((photo for photo in clip if isinstance(photo, Photo)), None)
    if first is None or first.camera_or_default().source != "default":
        return clip
    with asked.run.computing():
        camera = asked.answers([first], asked.run)[0].camera

    def frames() -> Iterator[Any]:
        for photo in clip:
            fits = isinstance(photo, Photo) and photo.size == first.size
            guessed = fits and (photo.camera is None or photo.camera.source == "default")
            yield replace(photo, camera=camera) if guessed else photo

    return Clip(clip.name, len(clip), clip.fps, frames, clip.notes)


def _steadied(pairs: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """The pairs with depths of one scale; see `geometry.steady`."""
    from .geometry.steady import Steady
    from .results import DepthMap

    steady = Steady()
    for photo, result in pairs:
        yield photo, steady(photo.pixels, result) if isinstance(result, DepthMap) else result


def _pairs(clip: Clip, asked: _Asked, count: int) -> Iterator[tuple[Photo, Any]]:
    photos, many, run = iter(clip), len(clip) > 1, asked.run
    done = 0
    while batch := _read(photos, count, done if many else None):
        part = run.part(min(done / len(clip), 1.0), min((done + count) / len(clip), 1.0))
        part.report(0.0, f"Photo {done + 1} of {len(clip)}")
        try:
            with part.computing():
                results = asked.answers(batch, part)
        except NothingFound as error:  # only of models that see one photo at a time
            results = [_at(error, batch[0].name, done) if many else error]
        except MaquetteError as error:
            raise (_at(error, batch[0].name, done) if many else error) from error
        done += len(batch)
        while results:
            yield batch.pop(0), results.pop(0)


def _film_pairs(clip: Clip, asked: _Asked, _count: int) -> Iterator[tuple[Photo, Any]]:
    """The pairs of a model that takes the frames of a film as one."""
    assert asked.film is not None
    model = asked.models[0]
    with asked.run.computing():
        answer = asked.film(clip, replace(asked.run.part(0.0, 0.8), model=model), asked.options)
    parts = asked.run.part(0.8, 1.0).parts(len(clip))
    for number, (photo, part) in enumerate(zip(clip, parts, strict=False)):
        try:
            with asked.run.computing():
                result = replace(answer(number, part), model=model.id)
        except NothingFound as error:
            result = _at(error, photo.name, number)
        yield photo, result


def _read(photos: Iterator[Photo], count: int, done: int | None) -> list[Photo]:
    """The next photos. A file that cannot be read is named by its own error.

    done : photos before them; None where there is only one.
    """
    batch: list[Photo] = []
    try:
        batch.extend(islice(photos, count))
    except MaquetteError as error:
        if done is None:
            raise
        raise _at(error, "", done + len(batch)) from error
    return batch


def _at(error: MaquetteError, name: str, number: int) -> MaquetteError:
    """The error with the number of the photo (and its name, where it does not say it)."""
    what = f"Photo {number + 1}" + (f" ({name})" if name and name not in error.message else "")
    return type(error)(f"{what}: {error.message}", error.remedy, error.operator, error.arguments)
