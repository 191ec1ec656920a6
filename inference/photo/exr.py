# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenEXR files in numpy: written as scan lines of 32-bit floats, ZIP; read as any scan-line file of ZIP, ZIPS or none.

Of the packages at hand, OpenCV 5 has lost OpenEXR and Pillow never had it. Source: "OpenEXR File Layout" and
"Technical Introduction to OpenEXR" (openexr.com).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"\x76\x2f\x31\x01"
_VERSION, _TILED_OR_DEEP = 2, 0x200 | 0x800 | 0x1000
_TYPES = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}
_FLOAT = 2
#: Compression number of the file -> rows in one block.
_NONE, _ZIPS, _ZIP = 0, 2, 3
_ROWS = {_NONE: 1, _ZIPS: 1, _ZIP: 16}
_LEVEL = 4


def write_exr(file: BinaryIO, channels: Mapping[str, NDArray] | NDArray) -> None:
    """Write channels, name ("Y", "R", "normal.X" ...) -> (H, W), as float32, first row on top.

    An array (H, W) stands for luminance, one of (H, W, 3) for RGB.
    """
    if isinstance(channels, np.ndarray):
        names = ("Y",) if channels.ndim == 2 else ("R", "G", "B")
        planes = (channels,) if channels.ndim == 2 else np.moveaxis(channels, -1, 0)
        channels = dict(zip(names, planes, strict=True))
    names = sorted(channels)  # the format wants them in alphabetical order
    planes = np.stack([np.asarray(channels[name], "<f4") for name in names], 1)  # (H, C, W), as a block holds them
    height, _, width = planes.shape
    header = _header(width, height, names)
    starts = range(0, height, _ROWS[_ZIP])
    with ThreadPoolExecutor(4) as pool:  # zlib releases the interpreter lock
        blocks = list(pool.map(lambda start: _pack(planes[start : start + _ROWS[_ZIP]]), starts))
    lengths = [8 + len(block) for block in blocks]
    offsets = np.cumsum([len(header) + 8 * len(blocks), *lengths[:-1]]).astype("<u8")
    file.write(header)
    file.write(offsets.tobytes())
    for start, block in zip(starts, blocks, strict=True):
        file.write(struct.pack("<ii", start, len(block)))
        file.write(block)


def read_exr(data: bytes) -> dict[str, NDArray]:
    """Read a scan-line file: channel name -> (H, W) float32, float16 or uint32. Raises `BadInput`."""
    try:
        return _read(data)
    except (struct.error, ValueError, KeyError, IndexError, zlib.error) as error:
        raise BadInput("The OpenEXR file is cut off or damaged.", "Save or copy it again.") from error


def _header(width: int, height: int, names: list[str]) -> bytes:
    channels = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", _FLOAT, 0, 1, 1) for name in names) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = (
        ("channels", "chlist", channels),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    )
    packed = [f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value for name, kind, value in attributes]
    return MAGIC + struct.pack("<i", _VERSION) + b"".join(packed) + b"\0"


def _pack(rows: NDArray) -> bytes:
    """One block: the even bytes before the odd ones, each as the difference to the one before, deflated."""
    raw = np.frombuffer(rows.tobytes(), np.uint8)
    split = np.concatenate([raw[0::2], raw[1::2]])
    difference = split.copy()
    difference[1:] -= split[:-1]
    difference[1:] += 128
    packed = zlib.compress(difference.tobytes(), _LEVEL)
    return packed if len(packed) < len(raw) else raw.tobytes()  # a block that does not shrink is stored as it is


def _unpack(block: bytes, size: int) -> bytes:
    """Undo `_pack`."""
    if len(block) == size:
        return block
    difference = np.frombuffer(zlib.decompress(block, bufsize=size), np.uint8).copy()
    difference[1:] -= 128
    split = np.cumsum(difference, dtype=np.uint8)
    raw = np.empty_like(split)
    half = (len(split) + 1) // 2
    raw[0::2], raw[1::2] = split[:half], split[half:]
    return raw.tobytes()


def _read(data: bytes) -> dict[str, NDArray]:
    attributes, position = _attributes(data)
    compression = attributes["compression"][0]
    if struct.unpack_from("<i", data, 4)[0] & _TILED_OR_DEEP or compression not in _ROWS:
        raise BadInput(
            "This kind of OpenEXR file (tiled, deep, several parts, or its compression) cannot be read.",
            "Save it with the codec ZIP or None, or as PNG.",
        )
    x0, y0, x1, y1 = struct.unpack("<4i", attributes["dataWindow"])
    width, height = x1 - x0 + 1, y1 - y0 + 1
    types = _channel_types(attributes["channels"])
    count = -(-height // _ROWS[compression])
    if width < 1 or height < 1 or len(data) < position + 8 * count:
        raise ValueError
    planes = {name: np.empty((height, width), kind) for name, kind in types.items()}
    row_size = width * sum(kind.itemsize for kind in types.values())
    for offset in struct.unpack_from(f"<{count}Q", data, position):
        y, size = struct.unpack_from("<ii", data, offset)
        rows = range(y - y0, min(y - y0 + _ROWS[compression], height))
        raw = data[offset + 8 : offset + 8 + size]
        raw = raw if compression == _NONE else _unpack(raw, row_size * len(rows))
        position_in_block = 0
        for row in rows:
            for name, kind in types.items():
                planes[name][row] = np.frombuffer(raw, kind, width, position_in_block)
                position_in_block += width * kind.itemsize
    return planes


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    """The header's attributes, and where it ends."""
    position, attributes = 8, {}
    while data[position] != 0:
        end = data.index(b"\0", position)
        kind_end = data.index(b"\0", end + 1)
        (size,) = struct.unpack_from("<i", data, kind_end + 1)
        attributes[data[position:end].decode("latin-1")] = data[kind_end + 5 : kind_end + 5 + size]
        position = kind_end + 5 + max(size, 0)
    return attributes, position + 1


def _channel_types(packed: bytes) -> dict[str, np.dtype]:
    types, position = {}, 0
    while packed[position] != 0:
        end = packed.index(b"\0", position)
        kind, _, x_step, y_step = struct.unpack_from("<iB3xii", packed, end + 1)
        if (x_step, y_step) != (1, 1):
            raise BadInput("The OpenEXR file has channels of reduced size.", "Save it as RGB.")
        types[packed[position:end].decode("latin-1")] = _TYPES[kind]
        position = end + 17
    return types
