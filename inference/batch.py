# SPDX-License-Identifier: GPL-3.0-or-later
"""Photos through a model: one, or many, one after the other (clips, folders and lists, of any length).

The functions for many take what the tasks' own take, with `photos` (a clip, movie, folder or pattern, or any photos)
instead of a photo, and `batch_size`, and give one result a photo, in the photos' order. They are generators: no more
than `batch_size` photos and results are held, however long the clip. Photos of a batch pass a network together where
their model can do that. An error names the photo; what came before it has been given out already.

A model's module has one function that is called as its task says here: `estimate(photo, run, options)`, or, where
photos pass its network together, `estimate_batch(photos, run, options)` with a list of results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import runtime
from .errors import BadInput, MaquetteError, NothingFound
from .options import depth, hands, normals, preprocessors
from .options.common import BATCH_SIZE as _BATCH_SIZE
from .options.common import RUN_NAMES
from .photo import Clip, Photo, PhotoLike, as_clip, as_photo
from .registry import find_model, model_module

if TYPE_CHECKING:
    from .results import DepthMap, HandMaps, MapImage, NormalMap
    from .runtime.run import Run

    Photos = PhotoLike | Clip | Iterable[PhotoLike]

#: Photos that pass a network together where nothing else is asked for; more gains little and takes memory.
BATCH_SIZE: int = _BATCH_SIZE.default
#: Task -> what the modules of its models call the work, and its options.
_TASKS = {
    "depth": ("estimate", depth.OPTIONS),
    "normals": ("estimate", normals.OPTIONS),
    "hands": ("refine", hands.OPTIONS),
    "maps": ("make", preprocessors.OPTIONS),
}


def single(task: str, given: Mapping[str, Any]) -> Any:
    """The result of one photo. given : the arguments of the task's public function by name. Raises `MaquetteError`."""
    verb, declared = _TASKS[task]
    module = model_module(task, given["model"])
    photo = as_photo(given["photo"])
    options = declared.checked(given)
    run = runtime.start(**{name: given[name] for name in RUN_NAMES}, model=find_model(task, given["model"]))
    with run.computing():
        return _answers(module, verb, [photo], run, options)[0]


def estimate_depth(photos: Photos, model: str = "builtin", **options: Any) -> Iterator[DepthMap]:
    """`inference.estimate_depth` of every photo; its keywords are the options."""
    return _found(each("depth", photos, model, **options))


def estimate_normals(photos: Photos, model: str = "builtin", **options: Any) -> Iterator[NormalMap]:
    """`inference.estimate_normals` of every photo; its keywords are the options."""
    return _found(each("normals", photos, model, **options))


def make_maps(photos: Photos, model: str = "canny", **options: Any) -> Iterator[MapImage]:
    """`inference.make_map` of every photo; its keywords are the options."""
    return _found(each("maps", photos, model, **options))


def refine_hands(photos: Photos, model: str = "builtin", **options: Any) -> Iterator[HandMaps]:
    """`inference.refine_hands` of every photo; its keywords are the options. Hands of a clip: `hands.track`."""
    return _found(each("hands", photos, model, **options))


def each(
    task: str,
    photos: Photos,
    model: str = "builtin",
    *,
    batch_size: int = BATCH_SIZE,
    **options: Any,
) -> Iterator[tuple[Photo, Any]]:
    """Every photo with its result, or with the `NothingFound` that the model raised for it.

    task : "depth", "normals", "hands" or "maps".  options : the keywords of its public function.
    What can be checked is checked before the first pair is asked for.
    """
    verb, declared = _TASKS[task]
    unknown = options.keys() - {*declared.names, *RUN_NAMES}
    if unknown:
        raise TypeError(f"{task} got an unexpected keyword argument {min(unknown)!r}")
    count = _BATCH_SIZE.checked(batch_size)
    module = model_module(task, model)
    checked = declared.checked(options)
    run = runtime.start(**{name: options.get(name) for name in RUN_NAMES}, model=find_model(task, model))
    clip = as_clip(photos)
    if not len(clip):
        raise BadInput("There is no photo to work on.", "Give at least one.")
    return _pairs(clip, run, module, verb, count, checked)


def _found(pairs: Iterator[tuple[Photo, Any]]) -> Iterator[Any]:
    for _, result in pairs:
        if isinstance(result, NothingFound):
            raise result
        yield result


def _pairs(
    clip: Clip, run: Run, module: ModuleType, verb: str, count: int, options: Mapping[str, Any]
) -> Iterator[tuple[Photo, Any]]:
    photos, many = iter(clip), len(clip) > 1
    count, done = count if _together(module, verb) else 1, 0
    while batch := _read(photos, count, done if many else None):
        part = run.part(min(done / len(clip), 1.0), min((done + count) / len(clip), 1.0))
        part.report(0.0, f"Photo {done + 1} of {len(clip)}")
        try:
            with part.computing():
                results = _answers(module, verb, batch, part, options)
        except NothingFound as error:  # only of models that see one photo at a time
            results = [_at(error, batch[0].name, done) if many else error]
        except MaquetteError as error:
            raise (_at(error, batch[0].name, done) if many else error) from error
        done += len(batch)
        while results:
            yield batch.pop(0), results.pop(0)


def _together(module: ModuleType, verb: str) -> Any:
    """The function of a model whose network several photos pass together, else None."""
    return getattr(module, f"{verb}_batch", None)


def _answers(module: ModuleType, verb: str, photos: list[Photo], run: Run, options: Mapping[str, Any]) -> list[Any]:
    if together := _together(module, verb):
        return together(photos, run, options)
    return [getattr(module, verb)(photo, run, options) for photo in photos]


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
