# SPDX-License-Identifier: GPL-3.0-or-later
"""Detailed pictures as files that remember how they were made. Nothing here imports bpy: the worker
writes them, the main thread reads them.

PNG holds the settings as text chunks (PNG specification, 11.3.3), OpenEXR as attributes of its header: our own as JSON
under `KEY`, and the line of text that other tools for diffusion models read under "parameters".
"""

from __future__ import annotations

import io
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from ...inference.errors import BadInput
from ...inference.photo.exr import MAGIC, write_exr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Key of our settings in files, and of the custom property of images.
KEY = "maquette_detail"
_OTHERS = "parameters"
_PNG = b"\x89PNG\r\n\x1a\n"
#: Level of zlib: twice as quick as its default for a few percent more.
_LEVEL = 4


def file_of(pixels: NDArray, settings: Mapping[str, Any]) -> bytes:
    """A PNG file of pixels (H, W, 3 or 4) uint8, or an OpenEXR file of float32, alpha as it is."""
    texts = {KEY: json.dumps(settings, ensure_ascii=True), _OTHERS: for_other_tools(settings)}
    return _exr(pixels, texts) if pixels.dtype.kind == "f" else _png(pixels, texts)


def settings_in(data: bytes) -> dict[str, Any]:
    """The settings that a file of ours holds. Raises BadInput where it holds none."""
    text = None
    if data.startswith(_PNG):
        text = _png_texts(data).get(KEY)
    elif data.startswith(MAGIC):
        text = _exr_texts(data).get(KEY)
    return parsed(text)


def parsed(text: str | None) -> dict[str, Any]:
    """Settings from their JSON. Raises BadInput."""
    try:
        settings = json.loads(text or "")
        if not isinstance(settings, dict):
            raise ValueError(text)
    except ValueError as error:
        raise BadInput(
            "The image does not record how it was detailed.", "Choose an image made by Detail Mask."
        ) from error
    return settings


def for_other_tools(settings: Mapping[str, Any]) -> str:
    """The settings in the words that pictures of diffusion models carry by custom."""
    words = {
        "Steps": settings.get("steps"),
        "Sampler": settings.get("sampler"),
        "Schedule type": settings.get("scheduler"),
        "CFG scale": settings.get("cfg"),
        "Seed": settings.get("seed"),
        "Size": "x".join(map(str, settings.get("size", ()))),
        "Model": settings.get("model"),
        "Denoising strength": settings.get("denoise"),
        "Mask blur": settings.get("feather"),
    }
    line = ", ".join(f"{name}: {value}" for name, value in words.items() if value not in (None, ""))
    prompt, negative = str(settings.get("prompt", "")), str(settings.get("negative_prompt", ""))
    return "\n".join([prompt, *([f"Negative prompt: {negative}"] if negative else []), line])


def _png(pixels: NDArray[np.uint8], texts: Mapping[str, str]) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", pnginfo=info, compress_level=_LEVEL)
    return file.getvalue()


def _png_texts(data: bytes) -> dict[str, str]:
    from zlib import decompress

    position, texts = len(_PNG), {}
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        chunk = data[position + 8 : position + 8 + size]
        position += 12 + size
        key, _, rest = chunk.partition(b"\0")
        if kind == b"tEXt":
            texts[key.decode("latin-1")] = rest.decode("latin-1")
        elif kind == b"iTXt" and len(rest) >= 2:
            _language, _, rest_text = rest[2:].partition(b"\0")
            _translated, _, text = rest_text.partition(b"\0")
            texts[key.decode("latin-1")] = (decompress(text) if rest[0] else text).decode("utf-8")
    return texts


def _exr(pixels: NDArray[np.float32], texts: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    write_exr(file, {name: pixels[..., number] for number, name in enumerate("RGBA"[: pixels.shape[2]])})
    return _with_attributes(file.getvalue(), texts)


def _with_attributes(data: bytes, texts: Mapping[str, str]) -> bytes:
    """An OpenEXR file with further attributes of type string; what lies behind the header moves on by their length."""
    end = _end_of_header(data)
    added = b"".join(
        key.encode() + b"\0string\0" + struct.pack("<i", len(text.encode())) + text.encode()
        for key, text in texts.items()
    )
    rest = data[end + 1 :]
    (first,) = struct.unpack_from("<Q", rest)
    count = (first - (end + 1)) // 8  # the table of offsets lies between the header and the first block
    offsets = np.frombuffer(rest, "<u8", count) + np.uint64(len(added))
    return data[:end] + added + b"\0" + offsets.astype("<u8").tobytes() + rest[8 * count :]


def _attributes(data: bytes) -> tuple[dict[str, tuple[str, bytes]], int]:
    """Name -> type and value of each attribute, and the place of the zero that ends them."""
    position, found = 8, {}
    try:
        while data[position] != 0:
            name_end = data.index(b"\0", position)
            kind_end = data.index(b"\0", name_end + 1)
            (size,) = struct.unpack_from("<i", data, kind_end + 1)
            value = data[kind_end + 5 : kind_end + 5 + size]
            found[data[position:name_end].decode("latin-1")] = (data[name_end + 1 : kind_end].decode("latin-1"), value)
            position = kind_end + 5 + max(size, 0)
    except (IndexError, ValueError, struct.error) as error:
        raise BadInput("The OpenEXR file is cut off or damaged.", "Save or copy it again.") from error
    return found, position


def _end_of_header(data: bytes) -> int:
    return _attributes(data)[1]


def _exr_texts(data: bytes) -> dict[str, str]:
    return {
        name: value.decode("utf-8", "replace")
        for name, (kind, value) in _attributes(data)[0].items()
        if kind == "string"
    }
