# SPDX-License-Identifier: GPL-3.0-or-later
"""What a binary glTF file says of time: its animation's name, and the seconds of its keys."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

_JSON = b"JSON"


def retime(path: Path, name: str, *, factor: float = 1.0, from_zero: bool = False) -> None:
    """Name a file's animations, and write the seconds of their keys anew.

    name : of its animation; of several, what stands before their own names.
    factor : what every time is multiplied by.  from_zero : the first key of all comes at 0 s.
    """
    data = path.read_bytes()
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert data[:4] == b"glTF" and kind == _JSON, "glTF files are written as one binary file"
    content, binary = json.loads(data[20 : 20 + size]), bytearray(data[20 + size + 8 :])
    animations = content.get("animations", [])
    for animation in animations:
        animation["name"] = name if len(animations) == 1 else f"{name}.{animation.get('name', 'Animation')}"
    inputs = {sampler["input"] for animation in animations for sampler in animation["samplers"]}
    accessors = [content["accessors"][index] for index in sorted(inputs)]
    start = min((accessor["min"][0] for accessor in accessors), default=0.0) if from_zero else 0.0
    for accessor in accessors:
        view = content["bufferViews"][accessor["bufferView"]]
        offset = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        times = np.frombuffer(binary, "<f4", accessor["count"], offset)
        times[:] = (times.astype(np.float64) - start) * factor
        accessor["min"], accessor["max"] = [float(times.min())], [float(times.max())]
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), _JSON) + text + data[20 + size : 20 + size + 8] + binary
    path.write_bytes(data[:8] + struct.pack("<I", 12 + len(chunks)) + chunks)
