# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of a whole clip: every frame goes to its file as it comes, so that memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ...inference import batch
from ...inference.errors import BadInput, NothingFound
from .item import JobResult, WorkItem
from .scratch import Scratch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ...inference.photo import Clip, Photo
    from ..core.jobs import Report

Map = TypeVar("Map", covariant=True)

#: Frames over which the scale of heights without unit is followed.
_MEMORY = 24
#: A frame's heights are stretched by at most this factor, however flat it is.
_MAX_STRETCH = 4.0
#: Rows and columns that medians are taken of, at most.
_SAMPLED = 256


@dataclass(frozen=True)
class ClipMaps(Generic[Map]):
    """files : one a frame, in order.  first : the first frame's map that shows something.
    found : frames in which the model saw something."""

    files: list[Path]
    first: Map
    found: int


@dataclass
class ScaleStabilizer:
    """Heights without unit on one scale, frame by frame.

    Models scale each frame by itself, so that something bright coming into view moves everything else at once. Here
    every frame is moved and stretched until its median and the distance between its quartiles, which such a thing
    hardly changes, are the mean of those of the last frames. Slow changes pass; heights may leave 0..1 a little.
    """

    middle: float = 0.0
    spread: float = 0.0
    frames: int = 0

    def __call__(self, heights: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        step = tuple(slice(None, None, -(-side // _SAMPLED)) for side in heights.shape)
        seen = heights[step][valid[step]]
        if not seen.size:
            return np.zeros_like(heights)
        low, middle, high = (float(value) for value in np.percentile(seen, (25, 50, 75)))
        share = 1.0 / min(self.frames + 1, _MEMORY)
        self.middle += share * (middle - self.middle)
        self.spread += share * (high - low - self.spread)
        self.frames += 1
        factor = np.clip(self.spread / max(high - low, 1e-6), 1 / _MAX_STRETCH, _MAX_STRETCH)
        return np.where(valid, (heights - middle) * np.float32(factor) + np.float32(self.middle), np.float32(0))


def frames_of(item: WorkItem, clip: Clip, report: Report) -> Iterator[tuple[Photo, Any]]:
    """Every frame of the item's clip with its result, or with the NothingFound of a frame without."""
    done = 0

    def progress(fraction: float, message: str) -> None:
        step = "" if message.startswith("Photo ") else f": {message}"  # which says the same
        report(fraction, f"Frame {min(done + 1, len(clip))} of {len(clip)}{step}")

    for pair in batch.each(item.task, clip, item.model, **item.options, **item.where(progress)):
        yield pair
        done += 1


def recorded(
    item: WorkItem, report: Report, name: str, values: Callable[[Map], NDArray[np.float32]], empty: ArrayLike
) -> JobResult[ClipMaps[Map]]:
    """Every frame through the model and into a file `<name>.<number>.exr`; what was written is removed where that ends
    early. Raises NothingFound where no frame shows anything.

    values : of a frame's map.  empty : the value of all pixels of a frame without one.
    """
    clip, scratch = item.source.film(), Scratch(item.directory)
    files: list[Path] = []
    first: Photo | None = None
    known: Any = None
    found = 0
    try:
        for photo, result in frames_of(item, clip, report):
            first = first or photo
            _check_size(photo, first, len(files))
            if isinstance(result, NothingFound):
                array = np.broadcast_to(np.asarray(empty, np.float32), (*photo.size[::-1], *np.shape(empty)))
            else:
                known, found, array = known or result, found + 1, values(result)
            files.append(scratch.write(f"{name}.{len(files):06d}.exr", array))
        if first is None or known is None:
            raise NothingFound("No frame of the clip shows what the model looks for.", "Choose another clip or model.")
    except BaseException:
        scratch.discard()
        raise
    return JobResult(ClipMaps(files, known, found), first, len(files), clip.fps, scratch=scratch, model=known.model)


def _check_size(photo: Photo, first: Photo, index: int) -> None:
    if photo.size != first.size:
        raise BadInput(
            f"Frame {index + 1} of the clip has {photo.size[0]} x {photo.size[1]} pixels, the first has "
            f"{first.size[0]} x {first.size[1]}.",
            "Give all frames one size.",
        )
