# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes of a photo: edges, lines and what else ControlNets take, as pictures."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from .. import runtime
from ..errors import BadInput
from ..photo import PhotoLike, as_photo
from ..registry import find_model, model_module

if TYPE_CHECKING:
    from ..results import MapImage
    from ..runtime.run import ProgressCallback


@dataclass(frozen=True)
class Options:
    """What acts on some of the models; see `make_map`."""

    thresholds: tuple[float, float] | None = None
    safe: bool | None = None
    scribble: bool = False
    seed: int = 0


def make_map(
    photo: PhotoLike,
    model: str = "canny",
    *,
    resolution: int = 512,
    thresholds: tuple[float, float] | None = None,
    safe: bool | None = None,
    scribble: bool = False,
    seed: int = 0,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> MapImage:
    """Make an image pass of a photo: bright lines on black, or shuffled content.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3) uint8 sRGB, or path.
    model : "canny", "lineart-standard", "content-shuffle" (need no file), or "hed", "pidinet", "teed", "anyline",
        "lineart", "lineart-coarse", "lineart-anime", "mlsd".
    resolution : short side of the picture in pixels, up to 16384; 0 leaves it at the photo's size. Models see the photo
        at this size, so it changes what they find.
    thresholds : two numbers; None takes the model's own. canny: levels at which an edge goes on and begins (100, 200).
        mlsd: least score and least length of a line (0.1, 0.1). lineart-standard: blur in pixels, and levels by which a
        line is darker (6, 8); anyline: the same of the lines it adds (2, 3).
    safe : edges in three grey levels only (hed, pidinet, teed, anyline); None takes the model's own.
    scribble : only the ridges of the edges, with a broad pen (hed, pidinet, teed).
    seed : of the noise by which content is shuffled.

    Returns a `MapImage`. Raises `MaquetteError` with a remedy.
    """
    module = model_module("maps", model)
    photo = as_photo(photo)
    options = checked(thresholds, safe, scribble, seed)
    run = runtime.start(device, precision, progress, models_dir, find_model("maps", model))
    with run.computing():
        return module.make(photo, run, resolution=resolution, options=options)


def checked(thresholds: tuple[float, float] | None, safe: bool | None, scribble: bool, seed: int) -> Options:
    """The options, or `BadInput`."""
    if thresholds is not None:
        try:
            low, high = (float(value) for value in thresholds)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadInput(
                f"The thresholds {reprlib.repr(thresholds)} are not two numbers.", "Give two, or None."
            ) from error
        if not (0 <= low < float("inf") and 0 <= high < float("inf")):
            raise BadInput(f"The thresholds {low} and {high} are out of range.", "Give two numbers from 0 up.")
        thresholds = low, high
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise BadInput(f"The seed {reprlib.repr(seed)} is not a whole number.", "Give 0 or more.")
    for name, value in (("safe", safe), ("scribble", scribble)):
        if not isinstance(value, (bool, np.bool_, Integral, type(None))):
            raise BadInput(f"{name} = {reprlib.repr(value)} is neither true nor false.", "Give True or False.")
    return Options(thresholds, None if safe is None else bool(safe), bool(scribble), int(seed))
