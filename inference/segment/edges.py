# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a mask that a model found: fine edges by BiRefNet, and colours without the background's halo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...installer.models import catalogue, store
from ..geometry.resample import spread
from ..photo import Photo
from ..registry import model_module, usable
from ..results import CutOut
from ..runtime import Run
from ..weights import missing
from .prompt import extent, preview

#: How far from an outline its soft edge may reach, as a share of the side of a square of the thing's size; pixels at
#: least.
_REACH, _LEAST = 0.15, 4.0
#: Share of the box around a thing that is looked at beyond it.
_MARGIN = 0.1
#: Mean of what the network of edges says inside an outline, below which it means something else.
_AGREED = 0.5
#: From here on a pixel shows the thing alone.
_SOLID = 0.98
_OTHER = "The edges are the outline's own, because BiRefNet takes something else there for the main thing."


def finished(photo: Photo, mask: NDArray[np.float32], score: float, run: Run, options: Mapping[str, Any]) -> CutOut:
    """The cut-out by the mask (H, W) 0..1 that a model found, its edges as `options` wants them."""
    notes: tuple[str, ...] = ()
    if options["edges"] == "fine":
        model = _finest(run.models_dir)
        module, own = model_module("segment", model.id), replace(run.part(0.5, 1.0), model=model)
        mask, notes = refined(photo.pixels, mask, lambda pixels: module.matte(pixels, own))
    run.report(1.0, "Cut out")
    return CutOut(mask, score, photo.camera_or_default(), preview(mask, options["resolution"]), notes=notes)


def _finest(root: Path) -> catalogue.Model:
    """The best model of edges that is installed. Raises `MissingModel`."""
    known = main_models()
    ready = [model for model in known if usable(model, root)]
    if not ready:
        file = known[0].files[0].path
        raise missing(store.find(file, root), file)
    return max(ready, key=lambda model: model.auto)


def main_models() -> list[catalogue.Model]:
    """The models that find the main thing by themselves, and its fine edges."""
    return [model for model in catalogue.models("segment") if model.options.get("main")]


def around(box: NDArray[np.float64], size: tuple[int, int], margin: float = 0.0) -> tuple[slice, slice]:
    """Rows and columns of a box (4,) and a margin, inside a picture (width, height).

    margin : in pixels; at least the usual share of the box.
    """
    margin = max(margin, _MARGIN * float((box[2:] - box[:2]).max()))
    low = np.floor(np.maximum(box[:2] - margin, 0)).astype(int)
    high = np.ceil(np.minimum(box[2:] + margin, size)).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def refined(
    pixels: NDArray[np.uint8], mask: NDArray[np.float32], matte: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The mask (H, W) with edges from `matte`, which sees what is around it; and what is to be told of that.

    The mask says what is meant: beyond the reach of a soft edge it has the say on both sides of its outline.
    """
    inside = mask > 0.5
    if not inside.any():
        return mask, ()
    reach = max(_LEAST, _REACH * float(np.sqrt(inside.sum())))
    window = around(extent(inside), (mask.shape[1], mask.shape[0]), 2 * reach)
    alpha, inside = matte(np.ascontiguousarray(pixels[window])), inside[window]
    if alpha[inside].mean() < _AGREED:
        return mask, (_OTHER,)
    outward, inward = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (~inside, inside))
    alpha = np.maximum(alpha, np.clip(inward / reach - 1, 0, 1)) * np.clip(2 - outward / reach, 0, 1)
    result = np.zeros_like(mask)
    result[window] = alpha
    return result, ()


def foreground(pixels: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The photo (H, W, 3) with the thing's own colours where its mask (H, W) is soft, so that it may lie on anything.

    Both sides' colours are spread over the soft edge, and what they do not explain of the pixel is the thing's.
    """
    alpha = np.repeat(mask[..., None].astype(np.float32), 3, 2)
    picture = pixels.astype(np.float32)
    sides = (alpha >= _SOLID).astype(np.float32), (alpha <= 1 - _SOLID).astype(np.float32)
    front, back = (spread(picture * known, known) for known in sides)
    own = front + alpha * (picture - alpha * front - (1 - alpha) * back)
    return np.where(alpha >= _SOLID, pixels, np.rint(np.clip(own, 0, 255)).astype(np.uint8))
