# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture file becomes upright 8-bit sRGB pixels and, where its EXIF data tell, a camera.

Transparent pictures are laid over white, as the reference nodes do. Embedded colour profiles are converted to sRGB.
Float pictures (OpenEXR, Radiance HDR, float TIFF) are taken as linear light and get sRGB's curve, clipped at white.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from datetime import UTC, datetime
from os import fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..camera import Camera
from ..errors import BadInput, MaquetteError, OutOfMemory
from . import exr
from .checks import check_file, check_size, open_media, require
from .colour import light_to_bytes, over_white, quantised, sixteen_to_eight, unpremultiplied

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

PICTURE_SUFFIXES = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".tga", ".exr", ".hdr"),
        *(".heic", ".heif", ".hif", ".avif", ".mpo", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
    )
)
#: Formats that Pillow may open. EPS is not among them: it would start Ghostscript.
_FORMATS = (
    *("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "WEBP", "GIF", "TGA", "AVIF", "HEIF", "PPM", "JPEG2000", "ICO"),
    "SGI",
)
#: Raw files of cameras, which hold a small picture that every program can read, and the photo that few can.
RAW_SUFFIXES = frozenset(
    (".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw")
)
#: Tags of TIFF 6.0 and of DNG 1.7.
_SUBFILE, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANES, _SUB, _EXTRA, _FORMAT = 254, 258, 262, 277, 284, 330, 338, 339
_DNG, _FLOATS = 50706, 3
#: First bytes of TIFF files, and of BigTIFF files.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_READABLE = "Save it as PNG, JPEG, TIFF, WebP or OpenEXR."

#: First brands of HEIC and HEIF files (ISO/IEC 23008-12), as phones take photos.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# EXIF tags (CIPA DC-008, Exif 2.32, tables 4 and 8)
_ORIENTATION, _EXIF_FOLDER, _PIXELS_ACROSS, _PIXELS_DOWN = 0x0112, 0x8769, 0xA002, 0xA003
_TAKEN = 0x9003
_FOCAL_LENGTH, _FOCAL_35MM = 0x920A, 0xA405
_PLANE_X, _PLANE_Y, _PLANE_UNIT = 0xA20E, 0xA20F, 0xA210
#: FocalPlaneResolutionUnit -> millimetres (inch, centimetre, and two in use beyond the standard).
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
#: Cameras that write their sensor's resolution take so many pixels at least. What has fewer was scaled by a program
#: that wrote the new size over the old one, and left the resolution as it was: the lens then seems 2.5 to 10 times as
#: long as it was. Of 23 photographs of these cameras 14 were scaled so, 13 of them below this, and none of the others.
_LEAST_TAKEN = 3_000_000


def read_picture(path: Path, layer: str | None = None) -> tuple[NDArray[np.uint8], Camera | None]:
    """Read a picture file: pixels (H, W, 3) uint8 sRGB and the camera or None. Raises `BadInput`.

    layer : of an OpenEXR file, see `exr.read_colours`.
    """
    check_file(path, "photo")
    try:
        with path.open("rb") as file:
            head = file.read(16)
            if head.startswith(exr.MAGIC):
                return _exr_pixels(exr.read_colours(path, layer)), None
            if layer:
                raise BadInput(f"{path} has no layers.", "Leave the layer out, or choose an OpenEXR file.")
            if head.startswith((b"#?RADIANCE", b"#?RGBE")):
                return light_to_bytes(_read_with_opencv(path)), None
            return _read_with_pillow(path)
    except MaquetteError as error:
        if str(path) in error.message or isinstance(error, OutOfMemory):
            raise
        raise type(error)(f"{path}: {error.message}", error.remedy, error.operator, error.arguments) from error
    except MemoryError as error:
        raise OutOfMemory(f"Out of memory while reading the photo {path}.", "Make it smaller.") from error
    except PermissionError as error:
        raise BadInput(f"No permission to read {path}.", "Change its permissions, or copy it elsewhere.") from error
    except OSError as error:
        raise BadInput(f"The photo {path} cannot be read: {error}.", "Copy it again.") from error


def _read_with_pillow(path: Path) -> tuple[NDArray[np.uint8], Camera | None]:
    require("PIL")
    from PIL import Image, UnidentifiedImageError

    Image.init()
    if "HEIF" not in Image.OPEN and _is_heif(path):
        require("pillow_heif").register_heif_opener()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # check_size has the last word
            with Image.open(path, formats=_formats()) as image:
                if _is_raw(path, image):
                    raise _raw(path)
                check_size(*image.size)
                orientation, tags = _exif(image)
                if _is_in_deep_planes(image) or (image.format == "TIFF" and image.mode == "RGBA" and orientation > 4):
                    pixels = upright(_tiff_pixels(path), orientation)
                    return pixels, _camera_from_exif(tags, orientation, (pixels.shape[1], pixels.shape[0]))
                if image.format == "JPEG2000" and _is_deep_jpeg2000(path):
                    return _tiff_pixels(path), None
                image.load()
                # Pillow turns some formats (TIFF) itself while it loads them, and drops the tag then.
                pixels = upright(_srgb_pixels(image), min(orientation, _exif(image)[0]))
                return pixels, _camera_from_exif(tags, orientation, (pixels.shape[1], pixels.shape[0]))
    except Image.DecompressionBombError as error:
        raise BadInput("The photo has more pixels than Maquette can handle.", "Make it smaller.") from error
    except UnidentifiedImageError as error:
        return _what_pillow_cannot(path, error)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> BadInput:
    return BadInput(f"The photo {path} is cut off or damaged.", "Copy or save it again.")


def _is_heif(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:] in _HEIF_BRANDS


def _what_pillow_cannot(path: Path, error: Exception) -> tuple[NDArray[np.uint8], None]:
    """TIFF variants that only FFmpeg knows (floats in several planes); else the error."""
    if _is_heif(path):
        raise _damaged(path) from error
    with path.open("rb") as file:
        if file.read(4) not in _TIFF:
            raise BadInput(f"{path} is not a picture, or of a kind that cannot be read.", _READABLE) from error
    if path.suffix.lower() in RAW_SUFFIXES:
        raise _raw(path)
    return _tiff_pixels(path), None


def _raw(path: Path) -> BadInput:
    return BadInput(f"{path} is a camera raw file, which has to be developed first.", "Export it as JPEG, TIFF or PNG.")


def _tiff_pixels(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) of a TIFF that Pillow reads wrongly or not at all (deep planes, turned transparency), by FFmpeg; floats
    are linear light."""
    pixels = read_tiff(path)
    tags = _tiff_tags(path)
    if pixels.dtype == np.uint16 and _first(tags.get(_FORMAT)) == _FLOATS:  # which FFmpeg takes for whole numbers
        pixels = pixels.view(np.float16).astype(np.float32)
    pixels = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels
    clear, multiplied = pixels.shape[2] == 4, _first(tags.get(_EXTRA)) == 1
    if pixels.dtype.kind == "f":
        if clear and not multiplied:
            return over_white(light_to_bytes(pixels[..., :3]), quantised(pixels[..., 3]))
        return _exr_pixels(pixels)
    if clear and multiplied:
        values = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 65535)
        return over_white(quantised(unpremultiplied(values)), quantised(values[..., 3]))
    pixels = sixteen_to_eight(pixels) if pixels.dtype == np.uint16 else pixels.astype(np.uint8)
    return over_white(pixels[..., :3], pixels[..., 3]) if clear else pixels


def _tiff_tags(path: Path) -> dict[int, Any]:
    """The tags of a TIFF's first picture, also of one that Pillow does not read; none of other files."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] not in _TIFF:
            return {}
        tags = ImageFileDirectory_v2(head + (file.read(8) if head[:4] in _TIFF[2:] else b""))
        file.seek(tags.next)
        tags.load(file)
    return dict(tags)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value


def read_tiff(path: Path) -> NDArray:
    """(H, W), or (H, W, 3 or 4), in the file's own depth and as it lies there: see `orientation_of`."""
    require("av")
    from av.error import FFmpegError

    try:
        with open_media(path) as container:
            pixels: NDArray = next(container.decode(video=0)).to_ndarray()
    except (FFmpegError, ValueError, StopIteration, IndexError) as error:
        raise BadInput(f"The photo {path} is damaged or of a kind that cannot be read.", _READABLE) from error
    check_size(pixels.shape[1], pixels.shape[0])
    return pixels


def _read_with_opencv(path: Path) -> NDArray:
    """(H, W, 3) in the file's own depth. The bytes go through memory: OpenCV cannot open every path on Windows."""
    import cv2

    data = np.fromfile(path, np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise BadInput(f"The photo {path} is damaged or of a kind that cannot be read.", _READABLE)
    check_size(pixels.shape[1], pixels.shape[0])
    return np.ascontiguousarray(pixels[..., ::-1])


def _exr_pixels(colours: NDArray[np.float32]) -> NDArray[np.uint8]:
    """sRGB pixels of linear light (H, W, 3), or (H, W, 4) of which the last is alpha that the others hold already."""
    if colours.shape[2] == 3:
        return light_to_bytes(colours)
    return over_white(light_to_bytes(unpremultiplied(colours)), quantised(colours[..., 3]))


def _srgb_pixels(image: Image) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) uint8 sRGB of a Pillow picture of any mode; transparency is laid over white."""
    from PIL import Image as pillow

    if image.mode == "F":
        return light_to_bytes(np.repeat(np.asarray(image)[..., None], 3, -1))
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = pillow.fromarray(_sixteen_bit_grey(image))
    alpha = None
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image, alpha = layers.convert("RGB"), np.asarray(layers.getchannel("A"))
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    profiled = _to_srgb(image, profile)
    pixels = np.array(profiled if profiled.mode == "RGB" else profiled.convert("RGB"))
    return pixels if alpha is None else over_white(pixels, alpha)


def _sixteen_bit_grey(image: Image) -> NDArray[np.uint8]:
    """Grey (H, W) of a picture of 16 bits or whole numbers, in which a TIFF may count from white."""
    values = np.asarray(image)
    if image.format == "TIFF":
        signed, deep = _tiff_tag(image, _FORMAT) == 2, _tiff_tag(image, _BITS) == 32
        if deep:
            values = values >> 15 if signed else values.view(np.uint32) >> 16
        elif signed:
            values = values * 2
    most = values.max(initial=0)
    if most > 65535:
        values = values // (int(most) // 65536 + 1)
    grey = sixteen_to_eight(np.maximum(values, 0))
    counts_from_white = image.format == "TIFF" and _tiff_tag(image, _PHOTOMETRIC) == 0
    return np.invert(grey) if counts_from_white else grey


def _to_srgb(image: Image, profile: bytes | None) -> Image:
    """Convert by the embedded profile; a profile that is sRGB, damaged or of another mode is left out."""
    if not profile:
        return image
    from PIL import ImageCms

    try:
        source: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        if source.profile.xcolor_space.strip() == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ValueError, ImageCms.PyCMSError):
        return image
    return converted or image


def _tiff_tag(image: Image, tag: int) -> Any:
    """The first value of a tag of a TIFF file, None where it is missing."""
    return _first(getattr(image, "tag_v2", {}).get(tag))


def _is_in_deep_planes(image: Image) -> bool:
    """Whether a TIFF keeps each colour of more than 8 bits in a plane of its own, which Pillow reads wrongly."""
    several = (_tiff_tag(image, _SAMPLES) or 1) > 1 and _tiff_tag(image, _PLANES) == 2
    return image.format == "TIFF" and several and (_tiff_tag(image, _BITS) or 8) > 8


def _is_deep_jpeg2000(path: Path) -> bool:
    """Whether its first component has more than 8 bits, which Pillow cuts off at white (ISO/IEC 15444-1, A.5.1)."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    place = head.find(b"\xff\x4f\xff\x51")
    return place >= 0 and len(head) > place + 42 and (head[place + 42] & 0x7F) + 1 > 8


def _is_raw(path: Path, image: Image) -> bool:
    """Whether this is the thumbnail of a camera's raw file, not the photo."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return True
    is_reduced = bool((_tiff_tag(image, _SUBFILE) or 0) & 1 and _tiff_tag(image, _SUB))
    return image.format == "TIFF" and (is_reduced or _tiff_tag(image, _DNG) is not None)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn stored pixels (H, W, ...) so that the scene's top is up (EXIF tag Orientation, 1..8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def as_stored(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Upright pixels (H, W, ...) as they lie in a file of this orientation: the inverse of `upright`."""
    return upright(pixels, {6: 8, 8: 6}.get(orientation, orientation))


def _formats() -> list[str]:
    """The formats that this Pillow reads, of those that may be read. Pillow loads most of them when asked to."""
    from PIL import Image

    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def orientation_of(path: Path) -> int:
    """EXIF's Orientation (1..8) of a picture file; 1 where it has none or is none that Pillow knows."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=_formats()) as image:
            return _exif(image)[0]
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return 1


def taken_at(path: Path) -> float:
    """When a photo was taken by its EXIF data, in seconds since 1970; 0 where they do not tell."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=_formats()) as image:
            told = str(image.getexif().get_ifd(_EXIF_FOLDER).get(_TAKEN, ""))
        return datetime.strptime(told[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, TypeError):
        return 0.0


def _exif(image: Image) -> tuple[int, dict[int, float]]:
    """Orientation (1..8), and the tags that tell of the lens as numbers, 0 where one is missing."""
    try:
        exif = image.getexif()
        orientation = _heif_orientation(image) if image.format == "HEIF" else exif.get(_ORIENTATION, 1)
        every = {**exif, **exif.get_ifd(_EXIF_FOLDER)}
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        orientation, every = 1, {}
    return orientation if orientation in range(1, 9) else 1, {tag: _number(every.get(tag)) for tag in _NUMERIC_TAGS}


def _heif_orientation(image: Image) -> int:
    """What is left to turn: boxes of the file's own do it while it is read (ISO/IEC 23008-12, 6.5.10 and 6.5.12), and
    only where there are none does EXIF's orientation count."""
    with Path(fsdecode(image.filename)).open("rb") as file:  # type: ignore[attr-defined]
        head = file.read(1 << 16)
    turned = b"irot" in head or b"imir" in head
    return 1 if turned else image.info.get("original_orientation") or 1


_NUMERIC_TAGS = (_FOCAL_35MM, _FOCAL_LENGTH, _PLANE_X, _PLANE_Y, _PLANE_UNIT, _PIXELS_ACROSS, _PIXELS_DOWN)


def _camera_from_exif(tags: dict[int, float], orientation: int, size: tuple[int, int]) -> Camera | None:
    """Camera of the upright picture of this size, None where the data are missing or absurd."""
    turned = orientation >= 5
    stored = (size[1], size[0]) if turned else size
    if tags[_FOCAL_35MM] > 0:
        # The picture as it was taken, whose diagonal counts, in the pixels that it has now.
        scale, (across, down) = _as_taken(tags, stored)
        focal = Camera.from_focal_35mm(tags[_FOCAL_35MM], across, down).fx * scale
        fx, fy = focal, focal
    else:
        scale, (across, down) = _as_taken(tags, stored)
        if across * down < _LEAST_TAKEN:
            return None
        fx, fy = _focal_from_sensor(tags, scale)
    if not (_plausible(fx, *size) and _plausible(fy, *size)):
        return None
    fx, fy = (fy, fx) if turned else (fx, fy)
    return Camera(fx, fy, size[0] / 2, size[1] / 2, *size, source="exif")


def _as_taken(tags: dict[int, float], stored: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    """By how much a picture was scaled since it was taken, and its size then (PixelXDimension, PixelYDimension).

    One that has kept its shape was scaled, also where a program has turned it and left the numbers. One of another
    shape that lies within the numbers was cropped; where from nobody knows, so that its middle stays the lens's.
    Numbers that fit neither are not believed.
    """
    across, down = int(tags[_PIXELS_ACROSS]), int(tags[_PIXELS_DOWN])
    width, height = stored
    if across <= 0:
        return 1.0, stored
    if down <= 0:
        return width / across, (across, round(height * across / width))
    if abs(width * down - height * across) < 0.02 * height * across:
        return width / across, (across, down)
    if abs(width * across - height * down) < 0.02 * height * down:
        return width / down, (down, across)
    return 1.0, ((across, down) if width <= across and height <= down else stored)


def _focal_from_sensor(tags: dict[int, float], scale: float) -> tuple[float, float]:
    """Focal length in pixels (fx, fy) from millimetres and the sensor's pixels per unit; 0 where one is missing.

    The sensor's resolution is that of the picture as taken; scale : by how much it was scaled since.
    """
    unit = _UNIT_MM.get(int(tags[_PLANE_UNIT] or 2), 25.4)
    across = tags[_PLANE_X]
    down = tags[_PLANE_Y] or across
    focal = tags[_FOCAL_LENGTH] / unit * scale
    return focal * across, focal * down


def _number(value: object) -> float:
    """An EXIF value as a number; 0 where it is missing, no number, infinite or 0/0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def _plausible(focal: float, width: int, height: int) -> bool:
    """Whether a focal length in pixels sees between 2.3 and 157 degrees along the long side."""
    return 0.1 * max(width, height) < focal < 25 * max(width, height)
