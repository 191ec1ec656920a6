# SPDX-License-Identifier: GPL-3.0-or-later
"""The photo or clip of a work item, as the worker reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import inference
from ...inference.errors import BadInput
from ...inference.photo import Clip, Photo, as_clip, as_photo
from ...inference.photo.colour import light_to_bytes, quantised
from ...inference.photo.sequence import folder_files, is_pattern, pattern_files, sequence_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.camera import Camera, Lens
    from ..core.exchange import ShownPicture


@dataclass(frozen=True)
class Focal:
    """The focal length asked for: in pixels, or the lens of a camera object; nothing for the photo's own.

    known : what straight lines have given for photos of its size.
    lenses : of each frame of a clip, of a camera object whose lens may be animated.
    """

    fx: float | None = None
    fy: float | None = None
    lens: Lens | None = None
    known: Camera | None = None
    lenses: tuple[Lens, ...] = ()

    def applied_to(self, photo: Photo) -> Photo:
        """The photo with the camera that was asked for; unchanged where nothing was."""
        if self.fx is not None or self.fy is not None:
            return replace(photo, camera=photo.camera_or_default(self.fx, self.fy))
        if self.known is not None and (self.known.width, self.known.height) == photo.size:
            return replace(photo, camera=self.known)
        return replace(photo, camera=self.lens.camera(*photo.size)) if self.lens is not None else photo

    def through(self, clip: Clip) -> Iterator[Photo]:
        """The frames of a clip with the cameras that were asked for."""
        if not self.lenses:
            return map(self.applied_to, clip)
        return (replace(photo, camera=lens.camera(*photo.size)) for photo, lens in zip(clip, self.lenses, strict=False))


@dataclass(frozen=True)
class Source:
    """A file, or the pixels of an image datablock.

    origin : the name of the file or image that the artist chose: two of the same pixels are two photos.
    path : of a photo, a movie, a folder, or numbered pictures; "" where `pixels` are given.
    pixels : (H, W, 4) float32 0..1, first row on top, or None.
    linear : the pixels are scene-linear light, not sRGB.
    is_clip : the path is more than one photo.  sequence : it is one of numbered pictures, and stands for all of them.
    fps : the scene's frame rate, for clips that have none of their own.
    layer : of OpenEXR files; None for the one that is taken unasked.
    frame : index of the photo in a clip, for tasks that take one photo.
    shown : the first picture of a clip as Blender shows it, None where it cannot; see `JobResult.upright`.
    clip_notes : what its clips have to say once they are read; see `inference.Clip`.
    """

    name: str
    path: str = ""
    pixels: NDArray[np.float32] | None = None
    linear: bool = False
    is_clip: bool = False
    sequence: bool = False
    fps: float | None = None
    layer: str | None = None
    frame: int = 0
    shown: ShownPicture | None = field(default=None, compare=False, repr=False)
    focal: Focal = field(default_factory=Focal)
    origin: str = ""
    clip_notes: list[list[str]] = field(default_factory=list, compare=False)

    def photo(self) -> Photo:
        """The photo to compute on: for a clip, its frame `frame`."""
        return self.focal.applied_to(replace(self._read_photo(), name=self.name))

    def clip(self) -> Clip:
        """All frames; a photo is a clip of one frame."""
        if not self.is_clip:
            return as_clip(self.photo())
        clip = self._open()
        self.clip_notes.append(clip.notes)
        return Clip(self.name, len(clip), clip.fps, lambda: self.focal.through(clip), clip.notes)

    def film(self) -> Clip:
        """All frames of a clip in time. Raises BadInput for photos that are none."""
        clip = self.clip()
        if clip.fps is None and len(clip) > 1:
            why = clip.notes[0].partition(",")[0] if clip.notes else "Its photos have names of their own"
            raise BadInput(
                f"The folder {self.name} is not a clip. {why}.",
                "Choose one photo, or the frames by their pattern (shot_####.png).",
            )
        return clip

    def is_shown(self) -> bool:
        """Whether Blender shows the clip as it is read here: not where EXIF data or a matrix turn it, or where it
        plays none of its kind."""
        if self.shown is None:
            return False
        return self.shown.is_of(next(iter(self._open())))

    def stamp(self) -> str:
        """Sizes and times of a clip's files: the same, nobody has written them since."""
        path = Path(self.path)
        if path.is_file() and not self.sequence:
            files = [path]
        else:
            files = pattern_files(path) if is_pattern(path) else (sequence_of if self.sequence else folder_files)(path)
        found = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return hashlib.sha1(repr(found).encode(), usedforsecurity=False).hexdigest()

    def _open(self) -> Clip:
        return inference.load_clip(self.path, fps=self.fps, sequence=self.sequence, layer=self.layer)

    def _read_photo(self) -> Photo:
        if self.pixels is not None:
            return as_photo(_srgb_bytes(self.pixels, self.linear))
        if not self.is_clip:
            return inference.load_photo(self.path, layer=self.layer)
        clip = self._open()
        for photo in islice(clip, self.frame, None):
            return photo
        raise BadInput(
            f"The clip has no frame {self.frame + 1}; it ends at {len(clip)}.", "Choose an earlier frame of the clip."
        )


def _srgb_bytes(pixels: NDArray[np.float32], linear: bool) -> NDArray[np.uint8]:
    """Blender's float pixels -> (H, W, 4) uint8; scene-linear light, which Blender holds multiplied by its alpha,
    through the sRGB curve (IEC 61966-2-1)."""
    if linear:
        alpha = pixels[..., 3:]
        pixels = np.concatenate([pixels[..., :3] / np.where(alpha > 0, alpha, 1), alpha], -1)
    colours = light_to_bytes(pixels[..., :3]) if linear else quantised(pixels[..., :3])
    return np.concatenate([colours, quantised(pixels[..., 3:])], -1)
