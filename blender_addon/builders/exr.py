# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes OpenEXR files: scan lines, 32-bit float, ZIP, one channel (Y) or three (RGB).

Blender itself writes four channels, four times the bytes, through the scene's render settings. Source: "OpenEXR File
Layout" and "Technical Introduction to OpenEXR" (openexr.com); the filter before the compression is its ZIP method's.
"""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_MAGIC, _VERSION = 20000630, 2
_FLOAT, _ZIP = 2, 3
_LINES = 16  # rows a block in ZIP compression
_LEVEL = 4


def write(file: BinaryIO, array: NDArray) -> None:
    """Write an array (H, W) as luminance or (H, W, 3) as RGB, float32, first row on top."""
    height, width = array.shape[:2]
    names = ("Y",) if array.ndim == 2 else ("B", "G", "R")  # alphabetical, as the format wants its channels
    planes = np.asarray(array, "<f4").reshape(height, width, -1)[:, :, ::-1].transpose(0, 2, 1)
    header = _header(width, height, names)
    starts = range(0, height, _LINES)
    with ThreadPoolExecutor(4) as pool:  # zlib releases the interpreter lock
        blocks = list(pool.map(lambda start: _compressed(planes[start : start + _LINES]), starts))
    lengths = [8 + len(block) for block in blocks]
    offsets = np.cumsum([len(header) + 8 * len(blocks), *lengths[:-1]]).astype("<u8")
    file.write(header)
    file.write(offsets.tobytes())
    for start, block in zip(starts, blocks, strict=True):
        file.write(struct.pack("<ii", start, len(block)))
        file.write(block)


def _header(width: int, height: int, names: tuple[str, ...]) -> bytes:
    channels = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", _FLOAT, 0, 1, 1) for name in names) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = (
        ("channels", "chlist", channels),
        ("compression", "compression", struct.pack("<B", _ZIP)),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    )
    packed = [f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value for name, kind, value in attributes]
    return struct.pack("<ii", _MAGIC, _VERSION) + b"".join(packed) + b"\0"


def _compressed(rows: NDArray) -> bytes:
    """One block: rows (L, C, W) as bytes, even ones before odd ones, each as difference to the one before, deflated."""
    raw = np.frombuffer(rows.tobytes(), np.uint8)
    split = np.concatenate([raw[0::2], raw[1::2]])
    difference = split.copy()
    difference[1:] -= split[:-1]
    difference[1:] += 128
    packed = zlib.compress(difference.tobytes(), _LEVEL)
    return packed if len(packed) < len(raw) else raw.tobytes()  # a block that does not shrink is stored as it is
