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
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...inference.errors import BadInput
from ...inference.photo.exr import MAGIC, read_texts, write_exr

#: Key of our settings in files, and of the custom property of images.
KEY = "maquette_detail"
_OTHERS = "parameters"
_PNG = b"\x89PNG\r\n\x1a\n"
#: Level of zlib: twice as quick as its default for a few percent more.
_LEVEL = 4


def file_of(pixels: NDArray, settings: Mapping[str, Any]) -> bytes:
    """A PNG file of pixels (H, W, 3 or 4) uint8, or an OpenEXR file of float32, alpha as it is."""
    texts = {KEY: json.dumps(settings, ensure_ascii=True), _OTHERS: for_other_tools(settings)}
    if pixels.dtype.kind != "f":
        return _png(pixels, texts)
    file = io.BytesIO()
    write_exr(file, {name: pixels[..., number] for number, name in enumerate("RGBA"[: pixels.shape[2]])}, texts)
    return file.getvalue()


def settings_in(data: bytes) -> dict[str, Any]:
    """The settings that a file of ours holds. Raises BadInput where it holds none."""
    text = None
    if data.startswith(_PNG):
        text = _png_texts(data).get(KEY)
    elif data.startswith(MAGIC):
        text = read_texts(data).get(KEY)
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
