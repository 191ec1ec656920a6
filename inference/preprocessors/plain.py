# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes that need no network: edges (Canny 1986), lines from local darkness, and shuffled content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..errors import BadInput
from ..geometry.previews import padded, preview_size, to_resolution
from ..geometry.relative import unit
from ..options.preprocessors import THRESHOLDS
from ..results import MapImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ..photo import Photo
    from ..runtime import Run

    Options = Mapping[str, Any]

#: Cells of the noise by which content is shuffled, pixels.
_CELL = 256
#: Grey level that lines of middling strength get, and the least strength that counts as such.
_MIDDLE, _LEAST_STRENGTH = 127, 16


def make(photo: Photo, run: Run, options: Options) -> MapImage:
    """The image pass of a photo."""
    assert run.model is not None
    resolution = options["resolution"]
    height, width = preview_size(photo.pixels.shape[0], photo.pixels.shape[1], resolution)
    run.report(0.0, f"Making {run.model.label}")
    working = padded(to_resolution(photo.pixels, resolution))
    made = _MAKERS[run.model.id](working, height, width, options)[:height, :width]
    run.report(1.0, "Map made")
    return MapImage(np.ascontiguousarray(made), run.model.id)


def usual(model: str) -> tuple[float, float]:
    """The two thresholds that a model takes where none are given."""
    low, high = THRESHOLDS[model].defaults().values()
    return low, high


def _canny(working: NDArray[np.uint8], _height: int, _width: int, options: Options) -> NDArray[np.uint8]:
    low, high = options["thresholds"] or usual("canny")
    if low > high:
        raise BadInput(
            f"The low threshold {low:g} must not exceed the high one, {high:g}.", "Give the lower one first."
        )
    return three(cv2.Canny(working, low, high))


def _standard_lines(working: NDArray[np.uint8], _height: int, _width: int, options: Options) -> NDArray[np.uint8]:
    sigma, threshold = options["thresholds"] or usual("lineart-standard")
    return three(darker_than_around(working, sigma, threshold))


def darker_than_around(picture: NDArray[np.uint8], sigma: float, threshold: float) -> NDArray[np.uint8]:
    """(h, w) uint8: how much darker in all channels a pixel is than the blur of its surroundings.

    sigma : of that blur, pixels.  threshold : levels; the median of what is darker than that becomes middle grey.
    """
    if not 0 < sigma <= max(picture.shape):
        raise BadInput(
            f"The Gaussian sigma of {sigma:g} pixels does not fit the picture.", "Give a few pixels, 6 for most photos."
        )
    values = picture.astype(np.float32)
    strength = np.min(cv2.GaussianBlur(values, (0, 0), sigma) - values, axis=2).clip(0, 255)
    strong = strength[strength > threshold]
    middle = max(_LEAST_STRENGTH, float(np.median(strong))) if strong.size else _LEAST_STRENGTH
    return (strength * (_MIDDLE / middle)).clip(0, 255).astype(np.uint8)


def _shuffled(working: NDArray[np.uint8], height: int, width: int, options: Options) -> NDArray[np.uint8]:
    """The photo's content moved about by smooth noise: its colours and style without its places."""
    random = np.random.default_rng(options["seed"])
    across, down = (_noise(random, height, width) * np.float32(side - 1) for side in (width, height))
    return np.asarray(cv2.remap(working[:height, :width], across, down, cv2.INTER_LINEAR), np.uint8)


def _noise(random: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """(height, width) smooth noise from 0 to 1."""
    coarse = random.random((height // _CELL + 2, width // _CELL + 2))
    fine = cv2.resize(coarse, (width + 2 * _CELL, height + 2 * _CELL), interpolation=cv2.INTER_CUBIC)
    return unit(fine[_CELL : _CELL + height, _CELL : _CELL + width].astype(np.float32))


def three(grey: NDArray) -> NDArray[np.uint8]:
    """A grey picture (h, w) as (h, w, 3)."""
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, -1)


_MAKERS: dict[str, Callable[[NDArray[np.uint8], int, int, Options], NDArray[np.uint8]]] = {
    "canny": _canny,
    "lineart-standard": _standard_lines,
    "content-shuffle": _shuffled,
}
