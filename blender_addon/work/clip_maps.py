# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth and normals of a whole clip on the worker: every frame goes to its file as it comes.

Nothing here imports bpy. Memory does not grow with the length of the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...inference import batch
from ...inference.errors import BadInput, NothingFound
from . import DepthRequest, Inferred, NormalsRequest
from .depth import Heights
from .scratch import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.camera import Camera
    from ...inference.photo import Clip, Photo
    from ...inference.results import DepthMap
    from ..core.jobs import Report

#: Frames over which the scale of heights without unit is followed.
_MEMORY = 24
#: A frame's heights are stretched by at most this factor, however flat it is.
_MOST = 4.0
#: Rows and columns that medians are taken of, at most.
_SAMPLED = 256


@dataclass
class ClipMaps:
    """What the worker hands over of a clip: one file a frame, in order.

    camera : of the first frame.  found : frames in which the model saw something.
    """

    files: list[Path]
    camera: Camera
    length: int
    fps: float | None
    metric: bool
    found: int


@dataclass(frozen=True, kw_only=True)
class DepthClipRequest(DepthRequest):
    """The depth of all frames. start_frame : frame of the scene that shows the first one."""

    start_frame: int = 1

    def infer(self, report: Report) -> Inferred:
        """Metres stay metres; heights without unit are brought to one scale (see `Steady`). A frame in which a model
        finds nothing is left empty; raises NothingFound where all are."""

        steady, metre = Steady(), np.float32(self.metre())
        heights = Heights(self.build.max_distance / self.metre())

        def values(depth_map: DepthMap) -> NDArray[np.float32]:
            if depth_map.metric and self.build.output == "MATERIAL":
                return heights(depth_map) * metre
            if depth_map.metric:
                return np.where(depth_map.valid, depth_map.depth * metre, np.float32(0))
            return steady(depth_map.depth, depth_map.valid)

        options = {"resolution": self.resolution, **self._where(report)}
        return _recorded(self, "depth", options, values)


@dataclass(frozen=True, kw_only=True)
class NormalsClipRequest(NormalsRequest):
    """The normals of all frames, as colours. start_frame : frame of the scene that shows the first one."""

    start_frame: int = 1

    def infer(self, report: Report) -> Inferred:
        options = {**self.parameters(), **self._where(report)}
        return _recorded(self, "normals", options, self.colours)


@dataclass
class Steady:
    """Heights without unit on one scale, frame by frame.

    Models scale each frame by itself, so that something bright coming into view moves everything else at once. Here
    every frame is moved and stretched until its median and the distance between its quartiles, which such a thing
    hardly changes, are the mean of those of the last frames. Slow changes pass; heights may leave 0..1 a little.
    """

    middle: float = 0.0
    spread: float = 0.0
    frames: int = field(default=0)

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
        factor = np.clip(self.spread / max(high - low, 1e-6), 1 / _MOST, _MOST)
        return np.where(valid, (heights - middle) * np.float32(factor) + np.float32(self.middle), np.float32(0))


def _results(task: str, model: str, clip: Clip, options: dict[str, Any]) -> Iterator[tuple[Photo, Any]]:
    """Each frame with its result, or with the NothingFound of a frame without."""
    report, count, done = options["progress"], len(clip), 0

    def progress(fraction: float, message: str) -> None:
        report(fraction, f"Frame {min(done + 1, count)} of {count}: {message}")

    for pair in batch.each(task, clip, model, **{**options, "progress": progress}):
        yield pair
        done += 1


def _recorded(
    request: DepthClipRequest | NormalsClipRequest,
    task: str,
    options: dict[str, Any],
    values: Callable[[Any], NDArray[np.float32]],
) -> Inferred:
    """Every frame through the model and into its file; what was written is removed where that ends early."""
    clip, scratch = request.source.clip(), Scratch(request.directory)
    files: list[Path] = []
    first: Photo | None = None
    known, found = None, 0
    try:
        for photo, result in _results(task, request.model, clip, options):
            first = first or photo
            _check_size(photo, first, len(files))
            is_found = not isinstance(result, NothingFound)
            known, found = known or (result if is_found else None), found + is_found
            array = values(result) if is_found else _empty(photo, task)
            files.append(scratch.write(f"{task.rstrip('s')}.{len(files):06d}.exr", array))
        if first is None or known is None:
            raise NothingFound("No frame of the clip shows what the model looks for.", "Choose another clip or model.")
    except BaseException:
        scratch.discard()
        raise
    metric = bool(getattr(known, "metric", True))
    maps = ClipMaps(files, known.camera, len(files), clip.fps, metric, found)
    return Inferred(maps, first, len(files), scratch=scratch)


def _check_size(photo: Photo, first: Photo, index: int) -> None:
    if photo.size != first.size:
        raise BadInput(
            f"Frame {index + 1} of the clip has {photo.size[0]} x {photo.size[1]} pixels, the first has "
            f"{first.size[0]} x {first.size[1]}.",
            "Give all frames one size.",
        )


def _empty(photo: Photo, task: str) -> NDArray[np.float32]:
    """Depth 0, or normals towards the viewer."""
    width, height = photo.size
    if task == "depth":
        return np.zeros((height, width), np.float32)
    return np.broadcast_to(np.array([0.5, 0.5, 1], np.float32), (height, width, 3))
