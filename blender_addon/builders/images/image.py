# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: the photo, float maps and masks. The only place that knows that Blender's rows run bottom-up."""

from __future__ import annotations

import os
import re
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.errors import BadInput
from ....inference.photo.exr import write_exr
from ....inference.photo.sequence import sequence_of
from ...core import roles, transaction

if TYPE_CHECKING:
    from bpy.types import Image
    from numpy.typing import NDArray

    from ....inference.photo import Photo

#: Custom properties of a clip's image: the frame of the scene at which it begins, and its frames where they are known.
START, LENGTH = "maquette_start_frame", "maquette_length"
#: JPEG decoders round differently; more than this (of 255) on average is another picture.
_SAME_PICTURE = 4.0
#: Rows and columns that are compared, at most.
_COMPARED = 512
#: Rows of an image that are filled at once.
_ROWS = 64


def photo_image(photo: Photo, path: str | Path | None = None) -> Image:
    """The photo as an sRGB image; the same datablock each time for the same pixels.

    `path` is used as the image's file if it shows exactly these pixels (a photo that its EXIF data turns does not);
    without it the pixels are packed into the .blend.
    """
    known = known_photo(photo)
    if known is not None:
        return known
    image = (_image_of_file(photo, Path(path)) if path else None) or _packed(photo.name, photo.pixels)
    image[roles.DIGEST] = photo.digest
    return image


def known_photo(photo: Photo) -> Image | None:
    """The image that `photo_image` has given this photo."""
    return next((image for image in bpy.data.images if image.get(roles.DIGEST) == photo.digest), None)


def shown_file(path: Path) -> Image | None:
    """An image that shows this file already, as a photo or as a clip."""
    for image in bpy.data.images:
        if image.filepath and Path(bpy.path.abspath(image.filepath, library=image.library)) == path:
            return image
    return None


def clip_image(path: str | Path, *, start_frame: int = 1, name: str = "") -> Image:
    """A movie, or the first picture of a numbered sequence, as an image that plays with the scene.

    `start_frame`, the frame of the scene that shows the first picture, is kept for what shows it (see `play`).
    """
    path = Path(path)
    image = bpy.data.images.load(str(path))
    image.name = name or path.stem
    if image.source != "MOVIE":
        image.source = "SEQUENCE"
    image[START] = start_frame
    return image


def play(user: Any, image: Image) -> None:
    """Let an image user (of a texture node, a camera's background ...) show a movie or sequence frame by frame with the
    scene, from the frame on that `clip_image` was told; before and after it the first and last picture stay."""
    kept: Any = image
    start, first, length = int(kept.get(START, 1)), 1, max(1, image.frame_duration)
    if image.source == "SEQUENCE":  # Blender counts neither its files nor from the first of them
        files = sequence_files(image)
        length = int(kept.get(LENGTH, len(files) or 1))
        first = _last_number(files[0].name) if files else start
    user.frame_start = start
    user.frame_offset = first - 1
    user.frame_duration = length
    user.use_cyclic = False
    user.use_auto_refresh = True


def float_image(name: str, values: NDArray | Path, folder: str | Path | None = None) -> Image:
    """A Non-Color 32-bit float image of an array (H, W) or (H, W, 3), values kept exactly.

    Saved as OpenEXR (ZIP, 32-bit) in `folder`, by default `maquette` beside the .blend file; packed into the .blend
    when that has never been saved. No file and no datablock is overwritten: a taken name gets a number.
    Instead of the array, the OpenEXR file of it that a worker has written: it is moved there, which takes no time.
    Raises BadInput where the folder cannot be written.
    """
    packed = folder is None and not bpy.data.filepath
    if packed and not isinstance(values, Path):
        image = new_image(name, values, is_float=True, is_data=True)
        image.pack()
        image.use_fake_user = True  # a result is kept with the file, used or not
        return image
    path = values if packed and isinstance(values, Path) else _placed(name, values, output_folder(folder))
    image = bpy.data.images.load(blender_path(path))
    image.name = name
    image.colorspace_settings.name = "Non-Color"  # type: ignore[assignment]
    image.use_fake_user = True
    if packed:
        image.pack()
        path.unlink()
        image.filepath_raw = f"//maquette/{path.name}"  # where Unpack shall put it
    return image


def _placed(name: str, values: NDArray | Path, folder: Path) -> Path:
    """The values as a file of an unused name in the folder."""
    path = unused_file(folder, name, ".exr")
    try:
        with path.open("xb") as file:
            transaction.made_file(path)
            if not isinstance(values, Path):
                write_exr(file, values)
        if isinstance(values, Path):
            shutil.move(values, path)
    except OSError as error:
        raise not_writable(path.parent) from error
    return path


def control_image(name: str, pixels: NDArray) -> Image:
    """A picture (H, W, 3) 0..1 for a ControlNet: Non-Color, 8 bits, packed, kept without users."""
    picture = new_image(name, pixels, is_float=False, is_data=True)
    picture.pack()
    picture.use_fake_user = True
    return picture


def mask_image(name: str, mask: NDArray) -> Image:
    """A Non-Color 8-bit image, packed, of a mask (H, W) float32 0..1 or bool: ready to be painted on."""
    image = new_image(name, np.clip(mask, 0, 1), is_float=False, is_data=True)
    image.pack()
    image.use_fake_user = True
    return image


def picture(name: str, pixels: NDArray[np.uint8]) -> Image:
    """A packed sRGB image of an 8-bit picture (H, W, 3), exactly."""
    image = _packed(name, pixels)
    image.use_fake_user = True
    return image


def image_array(image: Image) -> NDArray[np.float32]:
    """Pixels (H, W, 4) float32 of an image, first row on top."""
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)  # type: ignore[arg-type]
    return pixels.reshape(height, width, 4)[::-1]


def output_folder(folder: str | Path | None) -> Path:
    """The folder for the files of this .blend, made where missing: `folder`, `maquette` beside the .blend, or, while
    that is unsaved, Blender's temporary folder. Raises BadInput where it cannot be made or written."""
    if folder is not None:
        path = Path(bpy.path.abspath(os.fspath(folder)))
    elif bpy.data.filepath:
        path = Path(bpy.data.filepath).parent / "maquette"
    else:
        path = Path(bpy.app.tempdir)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(path) from error
    if not os.access(path, os.W_OK):
        raise not_writable(path)
    return path


def unused_file(folder: Path, name: str, suffix: str) -> Path:
    """`<name><suffix>` in the folder, or the first free `<name>.001<suffix>`."""
    stem = bpy.path.clean_name(name, replace="_") if set(name) & set('/\\:*?"<>|') else name
    path = folder / f"{stem}{suffix}"
    number = 0
    while path.exists():
        number += 1
        path = folder / f"{stem}.{number:03d}{suffix}"
    return path


def blender_path(path: Path) -> str:
    """The path as Blender stores it: relative to the .blend where it lies beside or below it."""
    saved = bpy.data.filepath
    if saved and path.is_relative_to(Path(saved).parent):
        return bpy.path.relpath(str(path))
    return str(path)


def sequence_files(image: Image) -> list[Path]:
    """The files of a sequence that are there, by number."""
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    return sequence_of(path) if path.is_file() else []


def _last_number(name: str) -> int:
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else 1


def _image_of_file(photo: Photo, path: Path) -> Image | None:
    """The file as an image, if it shows the photo's own pixels."""
    if not path.is_file():
        return None
    path = path.resolve()
    known = {image.session_uid for image in bpy.data.images}
    image: Any = bpy.data.images.load(str(path), check_existing=True)
    if tuple(image.size) == photo.size and image.colorspace_settings.name == "sRGB" and not image.is_dirty:
        some = (slice(None, None, 1 + photo.size[1] // _COMPARED), slice(None, None, 1 + photo.size[0] // _COMPARED))
        shown = image_array(image)[some][..., :3] * 255.0
        if np.abs(shown - photo.pixels[some]).mean() < _SAME_PICTURE:
            return image
    if image.session_uid not in known:
        bpy.data.images.remove(image)
    return None


def new_image(name: str, array: NDArray, *, is_float: bool, is_data: bool) -> Image:
    """A generated image of an array (H, W) or (H, W, 3), alpha 1."""
    height, width = array.shape[:2]
    pixels = np.empty((height, width, 4), np.float32)
    upwards = array[::-1]
    for top in range(0, height, _ROWS):  # a block at a time stays in the processor's cache
        rows = slice(top, top + _ROWS)
        for channel in range(3):
            pixels[rows, :, channel] = upwards[rows] if array.ndim == 2 else upwards[rows, :, channel]
        pixels[rows, :, 3] = 1.0
    image = bpy.data.images.new(name, width, height, alpha=False, float_buffer=is_float, is_data=is_data)
    image.pixels.foreach_set(pixels.ravel())  # type: ignore[arg-type]
    image.update()
    return image


def _packed(name: str, pixels: NDArray[np.uint8]) -> Image:
    image = bpy.data.images.new(name, 1, 1)  # its size comes from the file
    bitmap = _bitmap(pixels)
    image.pack(data=bitmap, data_len=len(bitmap))  # type: ignore[arg-type]
    image.source = "FILE"
    return image


def _bitmap(pixels: NDArray[np.uint8]) -> bytes:
    """A BMP file of pixels (H, W, 3) sRGB: Blender's own packing takes seconds to compress a photo of 12 megapixels."""
    height, width = pixels.shape[:2]
    rows = np.zeros((height, -(-width * 3 // 4) * 4), np.uint8)  # a row fills whole words, the lowest comes first
    rows[:, : width * 3] = pixels[::-1, :, ::-1].reshape(height, width * 3)
    file = struct.pack("<2sIHHI", b"BM", 54 + rows.size, 0, 0, 54)
    return file + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.size, 0, 0, 0, 0) + rows.tobytes()


def not_writable(folder: Path) -> BadInput:
    """The error to raise where an output folder cannot be written."""
    return BadInput(f"The folder {folder} cannot be written.", "Choose another folder, or save the .blend elsewhere.")
