# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes converted tensors to a safetensors file, one after the other, so that they are never all in memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import BadModelFile

#: Names of types in the safetensors format.
_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_CHUNK = 1 << 24
#: Bytes: a line of the processor's cache.
_ALIGNED = 64


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], report: Callable[[float, str], None]
) -> None:
    """Write a safetensors file; the caller gives it its final name. Raises `BadModelFile` for values not finite.

    The format: length of the header (uint64), a JSON header, then the values without gaps. The header is padded, and
    what is not a multiple of 64 bytes comes last: all other values are mapped at multiples of 64, as torch's own are.
    Beyond that the largest types come first.
    """

    def place(name: str) -> tuple[bool, int, str]:
        return tensors[name].nbytes % _ALIGNED != 0, -tensors[name].element_size(), name

    order = sorted(tensors, key=place)
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].numel() * tensors[name].element_size()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": _TYPES[tensors[name].dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNED)
    written = 0
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            tensor = tensors[name].detach().contiguous()
            _check_finite(name, tensor)
            # As bytes: numpy knows no bfloat16.
            values = tensor.reshape(-1).view(torch.uint8).numpy()
            for start in range(0, len(values), _CHUNK):
                written += file.write(values[start : start + _CHUNK].data)
                report(written / max(end, 1), "Converting the model file (first use only)")


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise `BadModelFile` for weights that hold NaN or infinity."""
    for name, tensor in tensors.items():
        try:
            _check_finite(name, tensor)
        except BadModelFile as error:
            raise BadModelFile(f"{path}: {error.message}", error.remedy) from error


def _check_finite(name: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point():
        return
    # What only 64 bits can hold becomes infinite when the network takes it.
    if not bool(torch.isfinite(tensor.float() if tensor.dtype == torch.float64 else tensor).all()):
        raise BadModelFile(f"The weights {name} contain NaN or infinity.", "Download it again.")
