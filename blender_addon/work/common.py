# SPDX-License-Identifier: GPL-3.0-or-later
"""What all requests share: the photo, the target, and what comes back from the worker."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ... import inference
from ...inference.errors import BadInput
from ...inference.photo import Clip, Photo, as_clip, as_photo
from ...inference.photo.colour import light_to_bytes, quantised
from ..core.exchange import clean_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ...inference.camera import Lens
    from ..core.exchange import TracedMask
    from ..core.jobs import Report
    from .scratch import Scratch


@dataclass(frozen=True)
class Focal:
    """The focal length asked for: in pixels, or the lens of a camera object; nothing for the photo's own."""

    fx: float | None = None
    fy: float | None = None
    lens: Lens | None = None

    def applied_to(self, photo: Photo) -> Photo:
        """The photo with the camera that was asked for; unchanged where nothing was."""
        if self.fx is not None or self.fy is not None:
            return replace(photo, camera=photo.camera_or_default(self.fx, self.fy))
        return replace(photo, camera=self.lens.camera(*photo.size)) if self.lens is not None else photo


@dataclass(frozen=True)
class Source:
    """The photo or clip of a request: a file, or the pixels of an image datablock.

    path : of a photo, a movie, a folder, or numbered pictures; "" where `pixels` are given.
    pixels : (H, W, 4) float32 0..1, first row on top, or None.
    linear : the pixels are scene-linear light, not sRGB.
    is_clip : the path is more than one photo.  sequence : it is one of numbered pictures, and stands for all of them.
    fps : the scene's frame rate, for clips that have none of their own.
    frame : index of the photo in a clip, for tasks that take one photo.
    """

    name: str
    path: str = ""
    pixels: NDArray[np.float32] | None = None
    linear: bool = False
    is_clip: bool = False
    sequence: bool = False
    fps: float | None = None
    frame: int = 0
    focal: Focal = field(default_factory=Focal)

    def photo(self) -> Photo:
        """The photo to compute on: for a clip, its frame `frame`."""
        return self.focal.applied_to(replace(self._read_photo(), name=self.name))

    def clip(self) -> Clip:
        """All frames; a photo is a clip of one frame."""
        if not self.is_clip:
            return as_clip(self.photo())
        clip = inference.load_clip(self.path, fps=self.fps, sequence=self.sequence)
        return Clip(self.name, len(clip), clip.fps, lambda: map(self.focal.applied_to, clip))

    def _read_photo(self) -> Photo:
        if self.pixels is not None:
            return as_photo(_srgb_bytes(self.pixels, self.linear))
        if not self.is_clip:
            return inference.load_photo(self.path)
        clip = inference.load_clip(self.path, fps=self.fps, sequence=self.sequence)
        for photo in islice(clip, self.frame, None):
            return photo
        raise BadInput(
            f"The clip has no frame {self.frame + 1}; it ends at {len(clip)}.", "Choose an earlier frame of the clip."
        )


@dataclass(frozen=True)
class Target:
    """Where the result goes, by name: scene, and the object that was active ("" where there was none)."""

    scene: str
    object: str = ""


@dataclass(frozen=True)
class Inferred:
    """What comes back from the worker: the task's result, and the photo that it belongs to.

    length : frames of the clip; 1 for a photo.
    world_from_camera : (4, 4) float64 z-up world in which the people's feet stand on the ground, or None.
    masks : name (after the photo's) -> (H, W) float32 0..1 as `MaskBuild` shapes them.
    outlines : name -> the mask's outlines, where they were asked for.
    maps : further maps of the task by name, computed here so that the main thread need not.
    files : maps by name that the worker has written to OpenEXR files already; they go with `scratch` unless moved out.
    """

    result: Any
    photo: Photo
    length: int = 1
    world_from_camera: NDArray[np.float64] | None = None
    masks: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    outlines: Mapping[str, TracedMask] = field(default_factory=dict)
    maps: Mapping[str, NDArray] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    scratch: Scratch | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What all tasks share.

    folder : takes the files that are written; None for the one beside the .blend.
    directory : the whole path of whichever it is; "" where the .blend has never been saved.
    match_render : give the scene's render the photo's size and shape.
    scales : digest of a photo -> by how much its matched camera was rescaled (see `builders.scale`); under "" of the
        clip that is worked on. Images of metres are multiplied by it.
    of_lens : the answer depends on the focal length.
    """

    of_lens: ClassVar[bool] = True
    source: Source
    target: Target
    model: str
    folder: str | None = None
    directory: str = ""
    match_render: bool = False
    device: str | None = None
    precision: str | None = None
    scales: Mapping[str, float] = field(default_factory=dict)

    def infer(self, report: Report) -> Inferred:
        """Run the task; this is the worker thread's part."""
        raise NotImplementedError

    def metre(self, photo: Photo | None = None) -> float:
        """What the metres of this photo, or of the whole clip, count in the scene."""
        clip = self.scales.get("", 1.0)
        return clip if photo is None else self.scales.get(photo.digest, clip)

    def _written(self, **maps: NDArray[np.float32]) -> dict[str, Any]:
        """The fields of `Inferred` for maps that are to become images, written here rather than on the main thread."""
        from .scratch import Scratch

        if not maps:
            return {}
        scratch, files = Scratch(self.directory), {}
        try:
            for name, values in maps.items():
                files[name] = scratch.write(f"{clean_name(self.source.name)}.{name}.exr", values)
        except BaseException:
            scratch.discard()
            raise
        return {"files": files, "scratch": scratch}

    def _where(self, report: Report) -> dict[str, Any]:
        return {"device": self.device, "precision": self.precision, "progress": report}


def parsed_boxes(text: str, example: str) -> list | None:
    """Boxes as typed into an operator property (JSON); None where nothing was typed, so that the detector runs."""
    if not text.strip():
        return None
    try:
        boxes = json.loads(text)
        if not isinstance(boxes, list):
            raise ValueError(text)
    except ValueError as error:
        raise BadInput(
            f"The boxes {text!r} cannot be read.", f"Write them as {example}, or leave them empty."
        ) from error
    return boxes


def _srgb_bytes(pixels: NDArray[np.float32], linear: bool) -> NDArray[np.uint8]:
    """Blender's float pixels -> (H, W, 4) uint8; scene-linear light through the sRGB curve (IEC 61966-2-1)."""
    colours = light_to_bytes(pixels[..., :3]) if linear else quantised(pixels[..., :3])
    return np.concatenate([colours, quantised(pixels[..., 3:])], -1)
