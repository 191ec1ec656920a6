# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing cut out of all frames of a film: by SAM 2.1's own memory; with another model a frame's mask, moved by
optical flow, is the next one's rough mask. Where nothing is said, the main thing of each frame by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import batch
from ..errors import NothingFound
from ..options.common import AUTO, RUN_NAMES
from ..options.segment import OPTIONS, is_prompted
from ..photo import Clip, Photo
from ..registry import find_model
from ..results import CutOut
from ..runtime import start

#: Long side at which motion is looked for.
_SIDE = 512
#: Share of the first mask's pixels below which the thing is gone, and the median change of colour beyond which it is.
_GONE, _OTHER = 0.1, 30.0


def follow(clip: Clip, model: str = AUTO, **options: Any) -> Iterator[tuple[Photo, CutOut | NothingFound]]:
    """Every frame with its cut-out, or with the error of a frame in which the thing is gone.

    options : of `inference.cut_out`; points, box and mask are those of the first frame.
    """
    options = {**_defaults(), **options}
    prompted = is_prompted(options)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before: tuple[NDArray, NDArray] | None = None
    follower, area = None, 0
    for photo in clip:
        if follower is not None:
            yield photo, _followed(follower, photo, options)
            continue
        small = _small(photo.pixels)
        if before is not None:
            greys = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (small, before[0])]
            moved, change = _moved(before, flow.calc(*greys, None), small, photo.size)  # type: ignore[call-overload]
            options = {**options, "points": None, "box": None, "mask": moved}
            if moved.sum() < max(16, _GONE * area) or change > _OTHER:
                yield photo, NothingFound("It is out of sight.", "End the clip earlier, or begin again from here.")
                continue  # the last frame that showed it is what the next ones are compared with
        try:
            found: CutOut = batch.single("segment", {**options, "photo": photo, "model": model})
        except NothingFound as error:
            if before is None and prompted:
                raise
            yield photo, error
            continue
        if not prompted:
            yield photo, found
            continue
        follower = _follower(photo, found, options)
        inside = found.mask > 0.5
        area = area or int(inside.sum())
        before = small, inside
        yield photo, found


def _follower(photo: Photo, found: CutOut, options: dict[str, Any]) -> Any:
    """What follows the thing by its own memory; None where the model that answered has none."""
    model = find_model("segment", found.model)
    if not model.code.endswith(".sam2"):
        return None
    from .sam2_film import Follower

    where = (options.get(name) for name in RUN_NAMES)
    run = start(*where, model=model)
    with run.computing():
        return Follower(photo, found, run)


def _followed(follower: Any, photo: Photo, options: dict[str, Any]) -> CutOut | NothingFound:
    try:
        return follower.next(photo, options)
    except NothingFound as error:
        return error


def _defaults() -> dict[str, Any]:
    return {**OPTIONS.defaults(), "device": None, "precision": None, "progress": None, "models_dir": None}


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    size = max(16, round(pixels.shape[1] * scale)), max(16, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _moved(
    before: tuple[NDArray, NDArray], flow: NDArray[np.float32], now: NDArray[np.uint8], size: tuple[int, int]
) -> tuple[NDArray[np.bool_], float]:
    """The mask of the frame before, where its pixels are now, and by how many levels their colours have changed.

    before : small picture and mask.  flow : from this frame to the one before, made small.
    """
    height, width = flow.shape[:2]
    small = cv2.resize(before[1].astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = np.indices((height, width), np.float32)
    places = columns + flow[..., 0], rows + flow[..., 1]
    moved = cv2.remap(small, *places, cv2.INTER_LINEAR)
    seen = cv2.remap(before[0], *places, cv2.INTER_LINEAR)
    inside = moved > 0.5
    change = np.abs(seen[inside].astype(np.int16) - now[inside]).max(-1, initial=0) if inside.any() else np.zeros(1)
    return cv2.resize(moved, size, interpolation=cv2.INTER_LINEAR) > 0.5, float(np.median(change))
