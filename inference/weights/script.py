# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the tensors of a TorchScript archive without running the program that is in it.

Such an archive is a zip: a pickle of nested objects, and one member a storage. The objects become inert dictionaries;
attributes joined by dots are the names that the program's own state dict has. The code beside them is never opened.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...installer.models.safe_pickle import PickledObject, Refused, SafeUnpickler

#: The largest pickle that is read, in bytes, and how deep objects may lie in each other.
_LARGEST, _DEEPEST = 64 << 20, 32
#: Storage types by the names that torch gives them.
_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
#: What rebuilds lists, and what only notes a type: all give back their first argument.
_LISTS = {"build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag"}


def is_script(names: list[str]) -> bool:
    """Whether a zip with these members is a TorchScript archive."""
    return any("/code/" in name for name in names)


def read_script(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a TorchScript archive; values stay in the file until they are used.

    Raises `Refused` for a pickle that names anything but tensors, lists and the program's own classes, and whatever a
    damaged archive leads to.
    """
    with zipfile.ZipFile(path) as archive:
        pickled = next(entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
        if pickled.file_size > _LARGEST:
            raise Refused("a description of more than 64 MB")
        reader = _Reader(path, archive, pickled.filename.removesuffix("data.pkl"))
        return dict(_named(reader.load(), "", 0))


def _named(content: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if depth > _DEEPEST:
        raise Refused("objects nested too deeply")
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, PickledObject):
        for own, value in content.attributes.items():
            yield from _named(value, f"{name}.{own}" if name else str(own), depth + 1)


class _Reader(SafeUnpickler):
    """Makes tensors that are mapped from the archive, and inert stand-ins for objects of the program's classes."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self.path, self.archive, self.root = path, archive, root
        self.storages: dict[str, Tensor] = {}

    def resolve(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__" or (module == "torch" and name in _STORAGES):
            return None  # a stand-in
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch.jit._pickle" and name in _LISTS:
            return lambda value, *_: value
        raise Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        _kind, storage, key, _device, count = pid
        dtype = _STORAGES[getattr(storage, "name", "")]
        if key not in self.storages:
            self.storages[key] = self._mapped(str(key), dtype, int(count))
        return self.storages[key]

    def _mapped(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        entry = self.archive.getinfo(f"{self.root}data/{key}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != count * dtype.itemsize:
            raise ValueError(f"the storage {key} is not what its description says")
        if not count:
            return torch.empty(0, dtype=dtype)
        with self.path.open("rb") as file:
            file.seek(entry.header_offset + 26)
            lengths = np.frombuffer(file.read(4), "<u2")
        start = entry.header_offset + 30 + int(lengths.sum())
        values = np.memmap(self.path, np.uint8, "c", start, entry.file_size)
        return torch.from_numpy(values).view(dtype) if start % 8 == 0 else torch.from_numpy(values).clone().view(dtype)


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    """A tensor of a storage, which has to hold all of it."""
    if not isinstance(storage, Tensor) or min((*size, *stride, offset), default=0) < 0:
        raise Refused("a tensor of no storage")
    if all(size) and offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= len(storage):
        raise ValueError("a tensor reaches out of its storage")
    return storage.as_strided(tuple(size), tuple(stride), offset)
