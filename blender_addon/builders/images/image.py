# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: the photo, float maps and masks. The only place that knows that Blender's rows run bottom-up."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.types import Image
from numpy.typing import NDArray

from ....inference.photo import Photo
from ....inference.photo.colour import light_to_srgb, unpremultiplied
from ....inference.photo.exr import write_exr
from ....inference.photo.sequence import sequence_of
from ...core import roles
from ...core.exchange import ShownPicture
from ..files import paths

#: Custom properties of a clip's image: the frame of the scene at which it begins, and its frames where they are known.
START, LENGTH = "maquette_start_frame", "maquette_length"
#: Rows of an image that are filled at once.
_ROWS = 64


def photo_image(photo: Photo, path: str | Path | None = None, origin: str = "") -> Image:
    """The photo as an sRGB image; the same datablock each time for the same pixels of the same origin.

    `path` is used as the image's file if it shows exactly these pixels (a photo that its EXIF data turns does not);
    without it the pixels are packed into the .blend.
    """
    known = known_photo(photo, origin)
    if known is not None:
        return known
    image: Any = (_image_of_file(photo, Path(path)) if path else None) or _packed(photo.name, photo.pixels)
    if image.get(roles.DIGEST) != photo.digest:
        image[roles.DIGEST], image[roles.ORIGIN] = photo.digest, origin
    return image


def photo_of_file(path: Path, digest: str) -> Image:
    """The image of a photo's file that is known to show these pixels, without reading it."""
    image: Any = bpy.data.images.load(str(path), check_existing=True)
    if roles.DIGEST not in image:
        image[roles.DIGEST], image[roles.ORIGIN] = digest, path.name
    return image


def known_photo(photo: Photo, origin: str = "") -> Image | None:
    """The image that `photo_image` has given this photo. origin : see `Source`; "" for any."""
    for image in bpy.data.images:
        own = image.get(roles.ORIGIN, "") or origin
        if image.get(roles.DIGEST) == photo.digest and (not origin or origin in (own, image.name)):
            return image
    return None


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


def first_shown(path: Path, *, sequence: bool) -> ShownPicture | None:
    """The first picture of a movie or numbered sequence as Blender shows it, over white; None where it plays none."""
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError:
        return None
    try:
        size: Any = tuple(image.size)
        if not all(size) or not (sequence or image.source == "MOVIE"):
            return None
        pixels = image_array(image)[ShownPicture.some(size)]
        colours, alpha = pixels[..., :3], pixels[..., 3:]
        if image.is_float:
            colours = light_to_srgb(np.clip(unpremultiplied(pixels), 0, 1))
        return ShownPicture(size, colours * alpha + 1 - alpha)
    finally:
        bpy.data.images.remove(image)


def length_of(path: Path) -> int:
    """Frames of a movie as Blender counts them; 1 for a file that it does not play."""
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError:
        return 1
    try:
        _ = tuple(image.size)  # only what has been opened has a length
        return int(image.frame_duration)
    finally:
        bpy.data.images.remove(image)


def play(user: Any, image: Image) -> None:
    """Let an image user (of a texture node, a camera's background ...) show a movie or sequence frame by frame with the
    scene, from the start frame given to `clip_image` on; before and after it the first and last picture stay."""
    kept: Any = image
    start, first, length = int(kept.get(START, 1)), 1, max(1, image.frame_duration)
    if image.source == "SEQUENCE":  # Blender counts neither its files nor from the first of them
        files = sequence_files(image)
        first = _last_number(files[0].name) if files else start
        length = int(kept.get(LENGTH, _last_number(files[-1].name) - first + 1 if files else 1))
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
    if isinstance(values, Path):
        path, packed = paths.kept_file(name, values, folder)
    elif paths.is_packed(folder):
        return _packed_data(name, values, is_float=True)
    else:
        path = paths.new_file(paths.output_folder(folder), name, ".exr", lambda file: write_exr(file, values))
        packed = False
    image = bpy.data.images.load(paths.blender_path(path))
    image.name = name
    image.colorspace_settings.name = "Non-Color"  # type: ignore[assignment]
    image.use_fake_user = True
    if packed:
        pack_file(image, path, path.name)
    return image


def pack_file(image: Image, path: Path, name: str) -> None:
    """Take the image's file into the .blend; `name` is what Unpack shall call it."""
    image.pack()
    path.unlink()
    image.filepath_raw = f"//maquette/{name}"


def control_image(name: str, pixels: NDArray) -> Image:
    """A picture (H, W, 3) 0..1 for a ControlNet: Non-Color, 8 bits, packed, kept without users."""
    return _packed_data(name, pixels, is_float=False)


def mask_image(name: str, mask: NDArray) -> Image:
    """A Non-Color 8-bit image, packed, of a mask (H, W) float32 0..1 or bool: ready to be painted on."""
    return _packed_data(name, np.clip(mask, 0, 1), is_float=False)


def _packed_data(name: str, values: NDArray, *, is_float: bool) -> Image:
    """A Non-Color image in the .blend itself; a result, which is kept with the file, used or not."""
    image = new_image(name, values, is_float=is_float, is_data=True)
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
        shown = ShownPicture(photo.size, image_array(image)[ShownPicture.some(photo.size)][..., :3])
        if shown.is_of(photo):
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
