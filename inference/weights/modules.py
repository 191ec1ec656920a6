# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads checkpoints that are whole pickled networks (`torch.save(model)`) without running anything that is in them.

Such a file names the classes of its objects and holds their attributes. No class is looked up: every object becomes a
`Thing` that knows what it was called and what it held, from which a network of our own classes can be built.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import BadModelFile
from .checkpoint import _ALLOWED, _check_head

_AGAIN = "Download it again from its page, and put it there unchanged."


class Thing(dict):
    """What is left of an object in a pickle: the name of its class, and its attributes."""

    kind = ""
    __hash__ = object.__hash__  # type: ignore[assignment]  # it may be a key of a dictionary

    def __new__(cls, *_arguments: Any, **_named: Any) -> Thing:
        return super().__new__(cls)

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        super().__init__()
        self.held: dict[str, Any] = {}

    def __call__(self, *_arguments: Any, **_named: Any) -> Thing:
        return self

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state = {**(state[0] or {}), **state[1]}  # with slots
        self.held = state if isinstance(state, dict) else {}

    def __getattr__(self, name: str) -> Any:
        """A module's child, parameter or buffer, or a plain attribute; AttributeError where it had none."""
        held = self.__dict__.get("held", {})
        for group in ("_modules", "_parameters", "_buffers"):
            inner = held.get(group)
            if isinstance(inner, dict) and name in inner:
                return inner[name]
        if name in held and not name.startswith("__"):
            return held[name]
        raise AttributeError(f"a {self.kind} without {name!r}")

    @property
    def children(self) -> dict[str, Thing]:
        """The modules directly in this one, in their order."""
        inner = self.held.get("_modules")
        return {str(name): child for name, child in inner.items() if isinstance(child, Thing)} if inner else {}

    def __iter__(self) -> Iterator[Any]:
        return iter(self.children.values())

    def append(self, _item: Any) -> None:
        pass

    def extend(self, _items: Any) -> None:
        pass

    def add(self, _item: Any) -> None:
        pass


def read_modules(path: Path) -> dict[str, Any]:
    """What a checkpoint of named objects holds; modules as `Thing`. Raises `BadModelFile`."""
    _check_head(path)
    if not zipfile.is_zipfile(path):
        raise BadModelFile(f"{path} is cut off or damaged, or no checkpoint of PyTorch.", _AGAIN)
    try:
        with zipfile.ZipFile(path) as archive:
            program = any("/code/" in name for name in archive.namelist())
        if program:
            raise BadModelFile(f"{path} is a TorchScript program, not a checkpoint.", _AGAIN)
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_Pickle)
    except (MemoryError, BadModelFile):
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise BadModelFile(f"{path} is cut off or damaged, or no checkpoint of PyTorch.", _AGAIN) from error
    if not isinstance(content, dict):
        raise BadModelFile(f"{path} holds no named objects.", _AGAIN)
    return content


class _Unpickler(pickle.Unpickler):
    """Makes tensors; everything else becomes a `Thing` of its class's name."""

    def find_class(self, module: str, name: str) -> Any:
        is_storage = module in ("torch", "torch.storage") and name.endswith("Storage")
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) in _ALLOWED or is_storage or is_dtype:
            return super().find_class(module, name)
        return type(name, (Thing,), {"kind": name})


class _Pickle:
    """Stands where torch expects the module `pickle`."""

    Unpickler = _Unpickler

    @staticmethod
    def load(file: Any, **named: Any) -> Any:
        return _Unpickler(file, **named).load()
