# SPDX-License-Identifier: GPL-3.0-or-later
"""Many photos, one after the other: clips, folders and lists, of any length.

The functions take what the tasks' own take, with `photos` (a clip, movie, folder or pattern, or any photos) instead of
a photo, and `batch_size`, and give one result a photo, in the photos' order. They are generators: no more than
`batch_size` photos and results are held, however long the clip. Photos of a batch pass a network together where their
model can do that. An error names the photo; what came before it has been given out already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import runtime
from .errors import BadInput, MaquetteError
from .photo import Clip, Photo, PhotoLike, as_clip
from .registry import find_model, model_module

if TYPE_CHECKING:
    from .results import DepthMap, HandMaps, MapImage, NormalMap
    from .runtime.run import Run

#: Photos that pass a network together unless told otherwise; more gains little and takes memory.
BATCH_SIZE = 4

#: Defaults of the tasks' own functions.
_DEPTH: dict[str, Any] = {"fx": None, "fy": None, "resolution": 512}
_NORMALS: dict[str, Any] = {"a": 6.283185307179586, "bg_threshold": 0.1, "resolution": 512}


def estimate_depth(
    photos: PhotoLike | Clip | Iterable[PhotoLike],
    model: str = "builtin",
    *,
    batch_size: int = BATCH_SIZE,
    **options: Any,
) -> Iterator[DepthMap]:
    """`inference.estimate_depth` of every photo; its keywords are the options."""
    return _each("depth", "estimate", photos, model, batch_size, {**_DEPTH, **options})


def estimate_normals(
    photos: PhotoLike | Clip | Iterable[PhotoLike],
    model: str = "builtin",
    *,
    batch_size: int = BATCH_SIZE,
    **options: Any,
) -> Iterator[NormalMap]:
    """`inference.estimate_normals` of every photo; its keywords are the options."""
    return _each("normals", "estimate", photos, model, batch_size, {**_NORMALS, **options})


def make_maps(
    photos: PhotoLike | Clip | Iterable[PhotoLike],
    model: str = "canny",
    *,
    batch_size: int = BATCH_SIZE,
    **options: Any,
) -> Iterator[MapImage]:
    """`inference.make_map` of every photo; its keywords are the options."""
    from .preprocessors import checked, make_map

    given = {name: default for name, default in (make_map.__kwdefaults__ or {}).items() if name not in _WHERE}
    unknown = options.keys() - given.keys() - set(_WHERE)
    if unknown:
        raise TypeError(f"make_maps() got an unexpected keyword argument {min(unknown)!r}")
    given |= {name: value for name, value in options.items() if name in given}
    where = {name: value for name, value in options.items() if name in _WHERE}
    wanted = {"resolution": given.pop("resolution"), "options": checked(**given)}
    return _each("maps", "make", photos, model, batch_size, {**wanted, **where})


def refine_hands(
    photos: PhotoLike | Clip | Iterable[PhotoLike],
    model: str = "builtin",
    *,
    batch_size: int = BATCH_SIZE,
    **options: Any,
) -> Iterator[HandMaps]:
    """`inference.refine_hands` of every photo; its keywords are the options. Hands of a clip: `hands.track`."""
    from .hands import refine_hands as refine_one

    given = {name: default for name, default in (refine_one.__kwdefaults__ or {}).items() if name not in _WHERE}
    given.pop("rand_seed")  # nothing is random
    return _each("hands", "refine", photos, model, batch_size, {**given, **options})


_WHERE = ("device", "precision", "progress", "models_dir")


def _each(
    task: str,
    function: str,
    photos: PhotoLike | Clip | Iterable[PhotoLike],
    model: str,
    batch_size: int,
    options: dict[str, Any],
) -> Iterator[Any]:
    """Checks what can be checked before the first result is asked for."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise BadInput(f"The batch size {batch_size!r} is not a whole number of at least 1.", "Choose 1 or more.")
    where = {name: options.pop(name, None) for name in _WHERE}
    options.pop("rand_seed", None)
    module = model_module(task, model)
    run = runtime.start(**where, model=find_model(task, model))
    clip = as_clip(photos)
    if not len(clip):
        raise BadInput("There is no photo to work on.", "Give at least one.")
    return _results(clip, run, module, function, batch_size, options)


def _results(clip: Clip, run: Run, module: Any, function: str, batch_size: int, options: dict[str, Any]) -> Iterator:
    together = getattr(module, f"{function}_batch", None)
    photos = iter(clip)
    done = 0
    count = batch_size if together else 1
    while batch := _read(photos, count, done if len(clip) > 1 else None):
        part = run.part(min(done / len(clip), 1.0), min((done + count) / len(clip), 1.0))
        part.report(0.0, f"Photo {done + 1} of {len(clip)}")
        try:
            with part.computing():
                if together:
                    results = together(batch, part, **options)
                else:
                    results = [getattr(module, function)(batch[0], part, **options)]
        except MaquetteError as error:
            if len(clip) == 1:
                raise  # nobody asks which
            raise _at(error, batch[0].name, done) from error
        done += len(batch)
        del batch
        while results:
            yield results.pop(0)


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
