# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras and points of a place by several photos of it, on the worker."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ... import inference
from ...inference.errors import BadInput
from ...inference.photo.decode import orientation_of
from ...inference.photo.sequence import folder_files, is_pattern, pattern_files, sequence_of
from .item import JobResult, WorkItem

if TYPE_CHECKING:
    from ...inference import Photo, Reconstruction
    from ..core.jobs import Report
    from .source import Source


@dataclass(frozen=True)
class BuiltPlace:
    """files : of separate photos, that of each camera, and whether Blender shows it upright; else empty."""

    found: Reconstruction
    files: tuple[tuple[Path, bool], ...]


@dataclass(frozen=True, kw_only=True)
class PhotogrammetryWork(WorkItem[BuiltPlace]):
    """The cameras of all photos of a clip. What tells the metres is a model of depth."""

    @property
    def kind(self) -> str:
        return "photogrammetry"

    def of_photo(self, report: Report) -> JobResult[BuiltPlace]:
        raise BadInput(
            "One photo shows a place from one side only.", "Choose a film, a folder, or numbered pictures of it."
        )

    def of_clip(self, report: Report) -> JobResult[BuiltPlace]:
        clip = self.source.clip()
        separate = self.build.cameras == "SEPARATE" or (self.build.cameras == "AUTO" and clip.fps is None)
        files = _files(self.source) if separate else []
        if separate and len(files) != len(clip):
            raise BadInput(f"{self.source.name} holds no file for each photo.", "Let one camera be animated.")
        found = inference.reconstruct_photos(clip, self.model, **self.options, **self.where(report))
        chosen = [files[index] for index in found.indices.tolist()] if separate else []
        return JobResult(
            BuiltPlace(found, tuple((file, orientation_of(file) <= 1) for file in chosen)),
            self._first(found),
            len(clip),
            None if separate else clip.fps or 24.0,
            camera=found.cameras[0],
            lens=found.cameras[0],
            world_from_camera=found.world_from_camera[0],
            file=chosen[0] if separate else None,
            model=found.model,
        )

    def _first(self, found: Reconstruction) -> Photo:
        """The first of the photos that were joined."""
        return next(islice(self.source.clip(), int(found.indices[0]), None))


def _files(source: Source) -> list[Path]:
    """The files of a clip's photos; none of a movie."""
    path = Path(source.path)
    if path.is_dir():
        return folder_files(path)
    if is_pattern(path):
        return pattern_files(path)
    return sequence_of(path) if source.sequence else []
