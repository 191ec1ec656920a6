# SPDX-License-Identifier: GPL-3.0-or-later
"""What all work items share: the photo, the target, and what comes back from the worker."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...inference.options.common import AUTO
from ...installer.packages import manager
from ..core.exchange import clean_name
from ..core.preload import considerately, preload

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ...inference.camera import Camera
    from ...inference.photo import Photo
    from ..core.exchange import TracedMask
    from ..core.jobs import Report
    from .scratch import Scratch
    from .source import Source

Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True)
class Target:
    """Where the result goes, by name: scene, and the object that was active ("" where there was none)."""

    scene: str
    object: str = ""


@dataclass(frozen=True)
class ClipSpan:
    """All frames of a clip are worked on, rather than one. start_frame : of the scene, which shows the first."""

    start_frame: int


@dataclass(frozen=True)
class JobResult(Generic[Result]):
    """What comes back from the worker: the task's result, and the photo (of a clip, the first) that it belongs to.

    length, fps : of the clip; 1 and None for a photo.
    camera : the photo's camera, where what is built stands before it; else None.
    lens : the camera that the answer depends on, to be reported; None where it depends on none.
    world_from_camera : (4, 4) float64 z-up world in which the people's feet stand on the ground, or None.
    masks : name (after the photo's) -> (H, W) float32 0..1, shaped.  outlines : the same as outlines.
    files : float images by name that the worker has written already; they go with `scratch` unless moved out.
    upright : of a clip that Blender shows otherwise than it was read, its frames as files that it shows as they are;
        none of them for a single frame. None where it shows the clip itself.
    file : of the photo, where it is one of several separate ones.
    partial : the job was cancelled, and this is what was finished by then.
    model : what answered, where that was left to be chosen; "" for the item's own.
    in_place : it takes the place of what is there, and the scene's rate and range stay as they are.
    better : task and model, as the library calls them, that would make more of it; a button offers it.
    """

    result: Result
    photo: Photo
    length: int = 1
    fps: float | None = None
    camera: Camera | None = None
    lens: Camera | None = None
    world_from_camera: NDArray[np.float64] | None = None
    masks: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    outlines: Mapping[str, TracedMask] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    scratch: Scratch | None = None
    upright: tuple[Path, ...] | None = None
    partial: bool = False
    file: Path | None = None
    model: str = ""
    in_place: bool = False
    better: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkItem(Generic[Result]):
    """One run of a task.

    task : as the catalogue calls it.  options : keywords of the task's function.
    build : the values of what is to be built, as attributes (see BUILD in the task's `settings`).
    clip : where all frames of a clip are worked on.
    folder : takes the files that are written; None for the one beside the .blend.
    directory : the whole path of whichever it is; "" where the .blend has never been saved.
    match_render : give the scene's render the photo's size and shape.
    camera : name of the scene's own camera before which the result stands; "" for the photo's matched one.
    scales : digest of a photo -> by how much its matched camera was rescaled (see `builders.camera.scale`); under "" of
        the clip that is worked on. Images of metres are multiplied by it.
    """

    task: str
    source: Source
    target: Target
    model: str = AUTO
    options: Mapping[str, Any] = field(default_factory=dict)
    build: Any
    clip: ClipSpan | None = None
    folder: str | None = None
    directory: str = ""
    match_render: bool = False
    camera: str = ""
    device: str | None = None
    precision: str | None = None
    scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What is built, by which a second run finds what the first has made."""
        return self.task

    def run(self, report: Report) -> JobResult[Result]:
        """The worker thread's part. Raises MaquetteError."""
        load_torch(report)
        found = self.of_clip(report) if self.clip is not None else self.of_photo(report)
        in_time = found.fps is not None or self.clip is None
        if self.source.is_clip and in_time and not self.source.is_shown():
            found = self._with_upright(found, report)
        _ = found.photo.digest  # computed here, so that the main thread need not
        return found

    def of_photo(self, report: Report) -> JobResult[Result]:
        """The result of one photo."""
        raise NotImplementedError

    def of_clip(self, report: Report) -> JobResult[Result]:
        """The result of all frames of a clip."""
        raise NotImplementedError

    def metre(self, photo: Photo | None = None) -> float:
        """What the metres of this photo, or of the whole clip, count in the scene."""
        clip = self.scales.get("", 1.0)
        return clip if photo is None else self.scales.get(photo.digest, clip)

    def written(self, **maps: Mapping[str, NDArray] | NDArray) -> dict[str, Any]:
        """The fields of `JobResult` for maps that are to become images, written here rather than on the main thread."""
        return self.kept((name, f"{name}.exr", values) for name, values in maps.items()) if maps else {}

    def kept(self, files_of: Iterable[tuple[str, str, Any]]) -> dict[str, Any]:
        """The same for files: name, ending behind the photo's name, and what `Scratch.write` takes."""
        from .scratch import Scratch

        scratch, files = Scratch(self.directory), {}
        try:
            for name, ending, values in files_of:
                files[name] = scratch.write(f"{clean_name(self.source.name)}.{ending}", values)
        except BaseException:
            scratch.discard()
            raise
        return {"files": files, "scratch": scratch}

    def _with_upright(self, found: JobResult[Result], report: Report) -> JobResult[Result]:
        from ...inference.photo.encode import encoded
        from .scratch import Scratch

        if self.clip is None:
            return replace(found, upright=())
        scratch, files = found.scratch or Scratch(self.directory), []
        found = replace(found, scratch=scratch)
        try:
            for photo in islice(self.source.clip(), found.length):
                report(1.0, f"Writing picture {len(files) + 1} of {found.length}")
                files.append(scratch.write(f"upright.{len(files):06d}.jpg", encoded(photo.pixels, ".jpg")))
        except BaseException:
            scratch.discard()
            raise
        return replace(found, upright=tuple(files))

    def where(self, report: Report) -> dict[str, Any]:
        """The keywords that every task's function takes."""
        return {"device": self.device, "precision": self.precision, "progress": report}


def load_torch(report: Report) -> None:
    """Make the packages importable, and torch with its few threads, where that has not been done yet. Raises
    `MissingPackages`: nothing of the core is there then."""
    if "torch" not in sys.modules:
        from ...inference.runtime.device import require_torch, wait_quietly

        report(0.0, "Loading PyTorch")
        manager.activate()
        wait_quietly()
        with considerately():
            preload()
            require_torch()
