# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenEXR files by the package OpenEXR: of any compression, scan lines or tiles, one part or several.

The picture is the display window: what lies beyond it is cut off, and what the data window leaves open is 0. A layer is
what stands before the last dot of a channel's name; in files of several parts the part's name comes first, as Blender
shows them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .checks import MOST_PIXELS, check_size, require

MAGIC = b"\x76\x2f\x31\x01"
#: Last words of the layers that hold the picture itself rather than a pass of it, the surest first; "" is the layer
#: without a name.
_PICTURES = ("combined", "", "rgba", "rgb", "beauty", "color", "colour", "image", "composite", "c")
#: What programs call channels -> what Blender does.
_CHANNELS = {"r": "R", "red": "R", "g": "G", "green": "G", "b": "B", "blue": "B", "a": "A", "alpha": "A", "y": "Y"}
_RGB, _CHROMA = ("R", "G", "B"), ("RY", "BY")
#: Share of red and blue in the luminance (Rec. 709).
_RED, _BLUE = 0.2126, 0.0722


def write_exr(
    file: BinaryIO, channels: Mapping[str, NDArray] | NDArray, texts: Mapping[str, str] | None = None
) -> None:
    """Write channels, name ("Y", "R", "normal.X" ...) -> (H, W), as float32, first row on top.

    An array (H, W) stands for luminance, one of (H, W, 3) for RGB.  texts : attributes of the header.
    """
    if isinstance(channels, np.ndarray):
        names, planes = (("Y",), channels[None]) if channels.ndim == 2 else (_RGB, np.moveaxis(channels, -1, 0))
        channels = dict(zip(names, planes, strict=True))
    openexr = require("OpenEXR")
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage, **(texts or {})}
    pixels = {name: np.ascontiguousarray(values, np.float32) for name, values in channels.items()}
    openexr.File(header, pixels).write(file)


def read_exr(source: Path | bytes) -> dict[str, NDArray]:
    """Every channel of a file or its bytes: name -> (H, W) float32, float16 or uint32. Raises `BadInput`."""
    return {name: _plane(*found) for name, found in _channels(source).items()}


def read_texts(source: Path | bytes) -> dict[str, str]:
    """The header's attributes that are texts. Raises `BadInput`."""
    return {name: value for name, value in _headers(source)[0].header.items() if isinstance(value, str)}


def read_colours(source: Path | bytes, layer: str | None = None) -> NDArray[np.float32]:
    """The picture of a file, (H, W, 3), or (H, W, 4) where it has alpha, by which its colours are multiplied.

    layer : one of `layers_of`, or its last word; None for Combined, RGBA, or what else is no pass. Raises `BadInput`.
    """
    headers = _headers(source)
    layers = _layers(headers)
    found = _named(layers, layer) if layer else _picture(layers)
    (left, top), (right, bottom) = headers[0].header["displayWindow"]
    check_size(int(right) - int(left) + 1, int(bottom) - int(top) + 1)
    channels = _channels(source)
    planes = {name: _plane(*channels[found.channels[name]]).astype(np.float32) for name in found.shown}
    colours = [planes[name] for name in _RGB] if "R" in planes else _of_luminance(planes)
    return np.stack([*colours, *([planes["A"]] if "A" in planes else [])], -1)


def layers_of(source: Path | bytes) -> list[str]:
    """The names of the layers that hold a picture, the one that is taken unasked first; "" is the layer without a name.
    Raises `BadInput`."""
    return [layer.name for layer in sorted(_layers(_headers(source)), key=lambda one: one.rank) if layer.shown]


@dataclass(frozen=True)
class _Layer:
    """channels : what Blender calls a channel -> its full name.  shown : those of the picture, none where it has none.
    rank : smaller for layers that are more surely the picture itself."""

    name: str
    channels: dict[str, str]
    shown: tuple[str, ...]
    rank: tuple[int, int, int]


def _headers(source: Path | bytes) -> list[Any]:
    """The parts of a file, without their pixels."""
    parts = _opened(source, header_only=True).parts
    for part in parts:
        for window in ("dataWindow", "displayWindow"):
            low, high = (np.asarray(corner, np.int64) for corner in part.header[window])
            width, height = high - low + 1
            if min(width, height) < 1:
                raise _damaged()
            if width * height > MOST_PIXELS:
                check_size(int(width), int(height))
    if all(map(_is_deep, parts)):
        raise BadInput("The OpenEXR file holds deep samples, not a picture.", "Save it flattened.")
    return parts


def _channels(source: Path | bytes) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Full name -> channel, and the header of its part. Deep parts are left out."""
    count = len(_headers(source))
    parts = _opened(source, header_only=False).parts
    if len(parts) < count:  # a part whose pixels cannot be read is passed over
        raise _damaged()
    return {
        _full_name(part, name, count): (channel, part.header)
        for part in parts
        for name, channel in part.channels.items()
        if not _is_deep(part)
    }


def _opened(source: Path | bytes, *, header_only: bool) -> Any:
    openexr = require("OpenEXR")
    given: Any = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    if isinstance(given, str) and os.name != "nt":
        given = os.fsencode(given)  # any name that the system allows
    try:
        return openexr.File(given, separate_channels=True, header_only=header_only)
    except (RuntimeError, ValueError) as error:
        raise _damaged() from error


def _is_deep(part: Any) -> bool:
    return "deep" in str(part.type())


def _damaged() -> BadInput:
    return BadInput("The OpenEXR file is cut off or damaged.", "Save or copy it again.")


def _full_name(part: Any, name: str, parts: int) -> str:
    prefix = f"{part.name()}."
    return name if parts == 1 or name.startswith(prefix) else prefix + name


def _layers(parts: list[Any]) -> list[_Layer]:
    """The layers in the order of the file."""
    views = [view for part in parts for view in (*part.header.get("multiView", ()), part.header.get("view", ""))]
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        for channel in () if _is_deep(part) else part.header["channels"]:
            full = _full_name(part, channel.name, len(parts))
            layer, _, name = full.rpartition(".")
            found.setdefault(layer, {})[_CHANNELS.get(name.lower(), name)] = full
    first = parts[0].name() if len(parts) > 1 else ""
    return [
        _Layer(name, channels, _shown(channels), _rank(name, channels, first, [*views, "left", "right"]))
        for name, channels in found.items()
    ]


def _shown(channels: Mapping[str, str]) -> tuple[str, ...]:
    """The channels of a layer that are its picture: colours, or a luminance; vectors are none."""
    alpha = ("A",) if "A" in channels else ()
    if all(name in channels for name in _RGB):
        return (*_RGB, *alpha)
    if "Y" in channels and "X" not in channels:
        return ("Y", *(_CHROMA if all(name in channels for name in _CHROMA) else ()), *alpha)
    return ("V", *alpha) if "V" in channels and "U" not in channels else ()


def _rank(name: str, channels: Mapping[str, str], first: str, views: Sequence[str]) -> tuple[int, int, int]:
    """Colours before grey, then how surely the name is that of the picture, then the view."""
    words = name.split(".")
    plain = [word.lower() for word in words if word not in views]
    last = plain[-1] if plain else ""
    known = _PICTURES.index(last) if last in _PICTURES else len(_PICTURES) + (name != first)
    if last.startswith("crypto"):
        known = len(_PICTURES) + 2
    view = min((place for place, one in enumerate(views) if one in words), default=0)
    return int("R" not in _shown(channels)), known, view


def _picture(layers: list[_Layer]) -> _Layer:
    """The layer to take unasked."""
    shown = sorted((layer for layer in layers if layer.shown), key=lambda one: one.rank)
    if not shown:
        names = [full for layer in layers for full in layer.channels.values()]
        raise BadInput(f"The OpenEXR file has no colour, only {', '.join(names) or 'nothing'}.", "Save it as RGB.")
    alike = [layer.name for layer in shown if layer.rank[:2] == shown[0].rank[:2]]
    if shown[0].rank[1] > len(_PICTURES) and len(alike) > 1:
        raise BadInput(
            f"The OpenEXR file holds several pictures, and none is called Combined or RGBA: {', '.join(alike)}.",
            "Choose one as the layer.",
        )
    return shown[0]


def _named(layers: list[_Layer], wanted: str) -> _Layer:
    """The layer of this name, or the first whose name ends in it. One of a single channel is a picture in grey."""
    asked = wanted.lower()
    same = [layer for layer in layers if layer.name.lower() == asked]
    ending = [layer for layer in layers if layer.name.lower().endswith(f".{asked}")]
    for layer in (*same, *sorted(ending, key=lambda one: one.rank[2])):
        single = tuple(name for name in layer.channels if name != "A")
        shown = layer.shown or (single if len(single) == 1 else ())
        if shown:
            return replace(layer, shown=shown)
    names = [layer.name for layer in layers if layer.name and layer.shown]
    raise BadInput(
        f"The OpenEXR file has no picture in a layer {wanted!r}.",
        f"Choose one of: {', '.join(names)}." if names else "Leave the layer out.",
    )


def _plane(channel: Any, header: Mapping[str, Any]) -> NDArray:
    """A channel's pixels (H, W) of the display window."""
    pixels = channel.pixels
    # Rows and columns of the first and of the last pixel.
    data, shown = (np.asarray(header[window], np.int64)[:, ::-1] for window in ("dataWindow", "displayWindow"))
    if (channel.xSampling, channel.ySampling) != (1, 1):
        height, width = data[1] - data[0] + 1
        pixels = pixels.repeat(channel.ySampling, 0).repeat(channel.xSampling, 1)[:height, :width]
    if (data == shown).all():
        return pixels
    picture = np.zeros(shown[1] - shown[0] + 1, pixels.dtype)
    first, last = np.maximum(data[0], shown[0]), np.minimum(data[1], shown[1])
    if (first <= last).all():
        there, here = (tuple(map(slice, first - start, last - start + 1)) for start in (shown[0], data[0]))
        picture[there] = pixels[here]
    return picture


def _of_luminance(planes: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Red, green and blue of a luminance, and of its chroma where there is some ("Technical Introduction to OpenEXR",
    luminance/chroma images)."""
    grey = next(values for name, values in planes.items() if name != "A")
    if not all(name in planes for name in _CHROMA):
        return [grey] * 3
    red, blue = ((planes[name] + 1) * grey for name in _CHROMA)
    return [red, (grey - _RED * red - _BLUE * blue) / (1 - _RED - _BLUE), blue]
