# SPDX-License-Identifier: GPL-3.0-or-later
"""Photos and clips: anything an artist points at becomes 8-bit sRGB pixels with a camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Union

from .camera import Camera
from .errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Photo:
    """pixels : (H, W, 3) uint8 sRGB.  camera : from the file's EXIF or the caller, None where unknown."""

    pixels: NDArray[np.uint8]
    camera: Camera | None = None
    name: str = "photo"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.pixels.shape[1], self.pixels.shape[0]

    def camera_or_default(self, fx: float | None = None, fy: float | None = None) -> Camera:
        """The camera to compute with: given focal length, else the photo's own, else the stated default."""
        return (self.camera or Camera.default(*self.size)).with_focal(fx, fy)


#: What every task accepts as a photo.
PhotoLike = Union["Photo", "NDArray", str, "PathLike[str]"]


class Clip:
    """Photos in order, read one at a time, so that a long clip streams. Iterating again starts from the beginning.

    fps : frames per second of a movie; None for photos that are no clip in time.
    """

    def __init__(self, name: str, length: int, fps: float | None, read: Callable[[], Iterator[Photo]]) -> None:
        self.name = name
        self.fps = fps
        self._length = length
        self._read = read

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Photo]:
        return self._read()


def load_photo(path: str | PathLike[str]) -> Photo:
    """Read a photo file."""
    import numpy as np
    from PIL import Image, ImageOps

    path = Path(fspath(path))
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return Photo(np.asarray(upright), None, path.stem)


def load_clip(path: str | PathLike[str]) -> Clip:
    """Open a movie, a folder of pictures, or a printf pattern (`shot_%04d.png`)."""
    import cv2

    path = Path(fspath(path))
    movie = cv2.VideoCapture(str(path))
    length, fps = int(movie.get(cv2.CAP_PROP_FRAME_COUNT)), float(movie.get(cv2.CAP_PROP_FPS))

    def frames() -> Iterator[Photo]:
        movie = cv2.VideoCapture(str(path))
        for index in range(length):
            read, pixels = movie.read()
            if not read:
                return
            yield Photo(pixels[..., ::-1].copy(), None, f"{path.stem}.{index:04d}")

    return Clip(path.stem, length, fps, frames)


def as_photo(photo: PhotoLike) -> Photo:
    """A `Photo` from a Photo, an array (H, W[, 1|3|4]) or a path."""
    if isinstance(photo, Photo):
        return photo
    return load_photo(photo) if isinstance(photo, (str, PathLike)) else Photo(photo)


def as_clip(photos: PhotoLike | Clip | Iterable[PhotoLike]) -> Clip:
    """A `Clip` from a clip, one photo, or several; a single photo is a clip of one frame without fps."""
    if isinstance(photos, Clip):
        return photos
    listed = photos if isinstance(photos, (list, tuple)) else [photos]
    return Clip("photos", len(listed), None, lambda: (as_photo(photo) for photo in listed))
