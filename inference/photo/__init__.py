# SPDX-License-Identifier: GPL-3.0-or-later
"""Photos and clips: anything an artist points at becomes 8-bit sRGB pixels with a camera."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from os import PathLike, fsdecode
from pathlib import Path
from typing import Union

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import BadInput
from . import exr
from .bars import bar_of
from .checks import check_file, check_size
from .colour import over_white, quantised, sixteen_to_eight
from .decode import read_picture
from .movie import ANIMATION_SUFFIXES, DEFAULT_FPS, Movie, is_movie
from .sequence import apart, are_frames, folder_files, is_pattern, pattern_files, sequence_of, without_gaps
from .webp import AnimatedWebP, is_animated

#: By how much (log) the focal lengths given and shown by straight edges may differ for these to tell the way up.
_SAME_LENS = 0.1
#: Seconds between the pictures of a film in which straight edges are looked for, and how many are looked at.
EDGES_EVERY, LOOKED_AT = 0.3, 8
_ARRAYS = "Give an array (height, width, 3) of uint8, or of floats from 0 to 1, in sRGB."


@dataclass(frozen=True)
class Photo:
    """pixels : (H, W, 3) uint8 sRGB.  camera : from the file's EXIF or the caller, None where unknown."""

    pixels: NDArray[np.uint8]
    camera: Camera | None = None
    name: str = "photo"

    def __post_init__(self) -> None:
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            object.__setattr__(self, "pixels", pixels_from_array(pixels))
        check_size(*self.size)
        # A view from right to left has negative strides, which torch does not take.
        object.__setattr__(self, "pixels", np.ascontiguousarray(self.pixels))
        if self.camera is not None and (self.camera.width, self.camera.height) != self.size:
            raise BadInput(
                f"The camera is for {self.camera.width} x {self.camera.height} pixels, the photo has "
                f"{self.size[0]} x {self.size[1]}.",
                "Scale it with Camera.resized(width, height).",
            )

    @cached_property
    def digest(self) -> str:
        """SHA-1 of the pixels, hexadecimal: what results of the same photo are known by. Computed once."""
        return hashlib.sha1(self.pixels.data, usedforsecurity=False).hexdigest()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.pixels.shape[1], self.pixels.shape[0]

    def camera_or_default(self, fx: float | None = None, fy: float | None = None) -> Camera:
        """The camera to compute with: given focal length, else the photo's own, else by its straight edges where they
        are clear, else the stated default."""
        camera = self.camera
        if camera is None and fx is None and fy is None:
            from ..geometry.vanishing import lens_of

            camera = lens_of(self.pixels, self.digest)
        return (camera or _default_lens(self.pixels)).with_focal(fx, fy)


#: What every task accepts as a photo.
PhotoLike = Union["Photo", "NDArray", str, "PathLike[str]"]


class Clip:
    """Photos in order, read one at a time, so that a long clip streams. Iterating again starts from the beginning.

    fps : frames per second; None for photos without a time.
    notes : what the artist has to know of it, in sentences: frames that are missing or uneven, pixels that are not
        square. A damaged movie may yield fewer photos than its length, and notes it when that shows.
    """

    def __init__(
        self,
        name: str,
        length: int,
        fps: float | None,
        read: Callable[[], Iterator[Photo]],
        notes: list[str] | None = None,
    ) -> None:
        self.name = name
        self.fps = fps
        self.notes = [] if notes is None else notes
        self._length = length
        self._read = read

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Photo]:
        return self._read() if self.fps is None else self._through_one_lens()

    def _through_one_lens(self) -> Iterator[Photo]:
        """A film's photos; those that do not say their lens have one by straight edges, so that it does not flicker.
        Lenses that do not know the way up have it from these edges, if they show the same lens: all of them where it is
        the first picture that shows them, else the picture that does, since the camera may turn."""
        lens: Camera | None = None
        edges: tuple[int, Camera] | None = None
        for number, photo in enumerate(self._read()):
            if number == 0:
                edges = self._edges if photo.camera is None or photo.camera.up is None else None
                lens = edges[1] if edges else _default_lens(photo.pixels)
                lens = replace(lens, up=None) if edges and edges[0] else lens
            camera = photo.camera or (lens if lens is not None and photo.size == (lens.width, lens.height) else None)
            if camera is not None and camera.up is None and edges is not None and edges[0] in (0, number):
                camera = _with_way_up(camera, edges[1])
            yield photo if camera is photo.camera else replace(photo, camera=camera)

    @cached_property
    def _edges(self) -> tuple[int, Camera] | None:
        """The number of the first photo, of a few, that has straight edges, and the lens that these tell."""
        from ..geometry.vanishing import lens_of

        every = max(1, round(EDGES_EVERY * (self.fps or 1)))
        try:
            for number, photo in enumerate(islice(self._read(), 0, LOOKED_AT * every, every)):
                camera = lens_of(photo.pixels, photo.digest)
                if camera is not None:
                    return number * every, camera
        except BadInput:  # a damaged file is told of when it is reached
            pass
        return None


def _with_way_up(camera: Camera, edges: Camera) -> Camera:
    """The camera with the way up that straight edges of the same picture tell, if it is much the same lens."""
    lens, shown = ((one.fx, one.fy, one.width, one.height) for one in (camera, edges))
    if lens[2:] != shown[2:] or max(abs(math.log(a / b)) for a, b in zip(lens, shown, strict=True)) > _SAME_LENS:
        return camera
    return replace(camera, up=edges.with_focal(camera.fx, camera.fy).up)


def _default_lens(pixels: NDArray[np.uint8]) -> Camera:
    """The stated default for what lies within black bars: an upright film that was made a wide one has its own lens."""
    height, width = pixels.shape[:2]
    inside = Camera.default(width - 2 * bar_of(pixels.swapaxes(0, 1)), height - 2 * bar_of(pixels))
    return replace(Camera.default(width, height), fx=inside.fx, fy=inside.fy)


def load_photo(path: str | PathLike[str], *, layer: str | None = None) -> Photo:
    """Read a photo file: 8, 16 or 32 bits, grey, palette, RGB or CMYK, turned upright.

    Transparency is laid over white, colour profiles are converted to sRGB, and float pictures are taken as linear
    light. The camera comes from the EXIF focal length. Raises `BadInput`.

    layer : of an OpenEXR file, one of `layers_of`, or its last word; None takes Combined, RGBA, or what else is not a
        pass.
    """
    path = _path(path)
    if is_movie(path) and path.is_file():
        raise BadInput(f"{path} is a movie, not a photo.", "Open it with load_clip, or choose a photo.")
    pixels, camera = read_picture(path, layer)
    return Photo(pixels, camera, path.stem)


def layers_of(path: str | PathLike[str]) -> list[str]:
    """The layers of an OpenEXR file that hold a picture, the one that `load_photo` takes unasked first; "" is the layer
    without a name. None for other files. Raises `BadInput`."""
    path = _path(path)
    check_file(path, "photo")
    with path.open("rb") as file:
        return exr.layers_of(path) if file.read(4) == exr.MAGIC else []


def load_clip(
    path: str | PathLike[str], *, fps: float | None = None, sequence: bool = False, layer: str | None = None
) -> Clip:
    """Open a movie, a folder of pictures, a pattern (`shot_%04d.png`, `shot_####.png`), or a single photo.

    Parameters
    ----------
    fps : frames per second, instead of the movie's own. Without it numbered frames count as 24 a second; a folder of
        photos of any names has no rate, nor one whose photos were taken seconds apart, differ in size, or show
        different things.
    sequence : a photo file stands for all that differ from it only in the last number of the name.
    layer : of OpenEXR files, as for `load_photo`.

    Little but the list of files, or the movie's header, is read before the clip is iterated. Raises `BadInput`.
    """
    path = _path(path)
    if fps is not None and not 0 < fps <= 1000:
        raise BadInput(f"fps must be between 0 and 1000, not {fps!r}.", "Change it or leave it out.")
    if is_movie(path) or (path.suffix.lower() in ANIMATION_SUFFIXES and not sequence):
        movie = Movie(path)
        if movie.length > 1 or is_movie(path):
            return Clip(path.stem, movie.length, fps or movie.fps, lambda: _movie_photos(movie), movie.notes)
    if is_animated(path) and not sequence:
        picture = AnimatedWebP(path)
        return Clip(path.stem, picture.length, fps or picture.fps, lambda: _movie_photos(picture), picture.notes)
    if is_pattern(path):
        return _files_clip(path.stem, pattern_files(path), fps or DEFAULT_FPS, layer)
    if path.is_dir():
        files = folder_files(path)
        why = "" if fps or not are_frames(files) else apart(files)
        clip = _files_clip(path.name, files, fps or (DEFAULT_FPS if are_frames(files) and not why else None), layer)
        clip.notes += [f"{why}, so that each is one of its own; a rate of frames makes them a clip."] if why else []
        return clip
    files = sequence_of(path) if sequence else [path]
    if len(files) > 1:
        return _files_clip(path.stem, files, fps or DEFAULT_FPS, layer)
    check_file(path, "photo")
    return Clip(path.stem, 1, fps, lambda: iter([load_photo(path, layer=layer)]))


def as_photo(photo: PhotoLike) -> Photo:
    """A `Photo` from a Photo, a path, or an array (H, W[, 1|3|4]) as `pixels_from_array` takes it."""
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, (str, bytes, PathLike)):
        return load_photo(photo)
    return Photo(pixels_from_array(photo))


def as_clip(photos: PhotoLike | Clip | Iterable[PhotoLike | Clip]) -> Clip:
    """A `Clip` from anything: a clip, a photo, a path as `load_clip` takes it, an array (H, W, 3) or (T, H, W, 3), or
    several of these in a list or generator. A single photo is a clip of one frame without fps."""
    if isinstance(photos, Clip):
        return photos
    if isinstance(photos, Photo):
        return Clip(photos.name, 1, None, lambda: iter([photos]))
    if isinstance(photos, (str, bytes, PathLike)):
        return load_clip(photos)
    if hasattr(photos, "__array__"):
        array = _as_array(photos)
        if array.ndim == 4 and len(array):
            return Clip("photos", len(array), None, lambda: (as_photo(frame) for frame in array))
        return as_clip(as_photo(array))
    if not isinstance(photos, Iterable):
        raise BadInput(f"A {type(photos).__name__} is not a photo.", "Give a path, a Photo, or an array.")
    return _joined([as_clip(photo) for photo in photos])


def pixels_from_array(array: object) -> NDArray[np.uint8]:
    """8-bit sRGB pixels (H, W, 3) from an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4; laid over white).

    uint8 is taken as it is, uint16 as 0..65535, bool as black and white, other integers as 0..255, floats as 0..1.
    Raises `BadInput`.
    """
    array = _as_array(array)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.dtype.kind not in "buif":
        raise BadInput(f"An array of shape {array.shape} and type {array.dtype} is not a photo.", _ARRAYS)
    check_size(array.shape[1], array.shape[0])
    pixels = _to_eight_bits(array)
    if pixels.shape[2] == 4:
        return over_white(pixels[..., :3], pixels[..., 3])
    return np.repeat(pixels, 3, -1) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)


def _as_array(given: object) -> NDArray:
    """What numpy makes of it. Raises `BadInput` for rows of several lengths, and tensors of a GPU or with gradients."""
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"numpy cannot read this {type(given).__name__} as an array of pixels.", _ARRAYS) from error


def _to_eight_bits(array: NDArray) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return sixteen_to_eight(array)
    if array.dtype.kind == "b":
        return array * np.uint8(255)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput("The array holds values that are not finite (NaN or infinity).", "Replace them by 0.")
    top = 1.0 if array.dtype.kind == "f" else 255
    low, high = array.min(), array.max()
    if low < -1e-3 * top or high > 1.001 * top:
        raise BadInput(f"The array's values run from {low:g} to {high:g}, beyond 0 to {top:g}.", _ARRAYS)
    if array.dtype.kind == "f":
        return quantised(array)
    return array.astype(np.uint8)


def _path(path: str | bytes | PathLike[str]) -> Path:
    return Path(fsdecode(path))


def _files_clip(name: str, files: list[Path], fps: float | None, layer: str | None) -> Clip:
    held, note = without_gaps(files) if fps is not None and are_frames(files) else (files, "")
    return Clip(name, len(held), fps, lambda: (load_photo(file, layer=layer) for file in held), [note] if note else [])


def _movie_photos(movie: Movie | AnimatedWebP) -> Iterator[Photo]:
    for index, pixels in enumerate(movie.frames()):
        yield Photo(pixels, _camera_of_wide_pixels(movie, pixels), f"{movie.path.stem}.{index + 1:04d}")


def _camera_of_wide_pixels(movie: Movie | AnimatedWebP, pixels: NDArray[np.uint8]) -> Camera | None:
    """The default lens over pixels that are not square; None where they are."""
    height, width = pixels.shape[:2]
    aspect = float(movie.pixel_aspect)
    if aspect == 1:
        return None
    focal = Camera.default(round(width * aspect), height).fy
    return replace(Camera.default(width, height), fx=focal / aspect, fy=focal)


def _joined(clips: list[Clip]) -> Clip:
    if not clips:
        raise BadInput("There is no photo to work on.", "Give at least one.")
    if len(clips) == 1:
        return clips[0]

    def photos() -> Iterator[Photo]:
        for clip in clips:
            yield from clip

    notes = [note for clip in clips for note in clip.notes]
    return Clip(clips[0].name, sum(map(len, clips)), None, photos, notes)
