# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads pickles without importing, making or calling anything that they name. Every pickle is read here.

A pickle is a program: it names classes and functions, and calls them. `SafeUnpickler` looks none of them up. A name
becomes what the reader's own `resolve` gives for it, or a `PickledObject`, which keeps what it was called with. So an
audit is of this file and of the few `resolve` methods: a function that one of them returns can be called with
any arguments.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any


class Refused(pickle.UnpicklingError):
    """What has no place in such a file; the message names it. Nothing of it was run."""


class PickledObject(dict):
    """Stands in for an object of any class: keeps the class's name and what the pickle holds for it, does nothing.

    module, name : of the class or function.  arguments : what it was called with.  state : what `__setstate__` got;
    None where the object had none.  Entries of a dictionary are kept as they are, those of a list or set are dropped.
    """

    module, name = "", ""
    arguments: tuple[Any, ...] = ()
    state: Any = None
    __hash__ = object.__hash__  # type: ignore[assignment]  # it may be a key of a dictionary

    def __new__(cls, *arguments: Any, **_named: Any) -> PickledObject:
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        super().__init__()

    def __call__(self, *_arguments: Any, **_named: Any) -> PickledObject:
        return PickledObject()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of an ordinary object, with those in slots."""
        if isinstance(self.state, tuple) and len(self.state) == 2 and isinstance(self.state[1], dict):
            return {**(self.state[0] or {}), **self.state[1]}
        return self.state if isinstance(self.state, dict) else {}

    def append(self, _item: Any) -> None:
        pass

    def extend(self, _items: Any) -> None:
        pass

    def add(self, _item: Any) -> None:
        pass


def _encode(text: Any = "", encoding: str = "latin1") -> bytes:
    """Bytes as protocol 2 stores them."""
    return text.encode("utf-8" if encoding == "utf-8" else "latin1") if isinstance(text, str) else b""


def _without_state(kind: Any = None, *_base: Any) -> PickledObject:
    """An object as protocols 0 and 1 begin it."""
    return kind() if isinstance(kind, type) and issubclass(kind, PickledObject) else PickledObject()


#: What every reader knows: Python's own containers, and how old protocols store bytes and begin objects.
_HARMLESS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("__builtin__", "frozenset"): frozenset,
    ("_codecs", "encode"): _encode,
    ("copyreg", "_reconstructor"): _without_state,
    ("copy_reg", "_reconstructor"): _without_state,
}


#: Python's own reader that is written in Python: the one in C makes room for whatever size a few bytes claim.
_PurePython: Any = pickle._Unpickler  # type: ignore[attr-defined]


class SafeUnpickler(_PurePython):
    """Derive from this, and let `resolve` return what is to be real."""

    dispatch: dict[int, Any] = dict(_PurePython.dispatch)

    def resolve(self, module: str, name: str) -> Any:
        """What a global of the pickle becomes; None for a `PickledObject`. May raise `Refused`."""
        return None

    def find_class(self, module: str, name: str) -> Any:
        found = _HARMLESS.get((module, name)) or self.resolve(module, name)
        return found or type("PickledObject", (PickledObject,), {"module": module, "name": name})

    def persistent_load(self, pid: Any) -> Any:
        return PickledObject()

    def load_build(self) -> None:
        """Refuses to set attributes of a class or function, which would outlive the file."""
        target = self.stack[-2]
        if callable(target) and not isinstance(target, PickledObject):
            raise Refused(f"a change of {getattr(target, '__name__', 'a function')}")
        _PurePython.load_build(self)

    def load_bytearray8(self) -> None:
        """Refuses what Python makes room for before it has read a byte of it."""
        raise Refused("a bytearray")

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def as_pickle_module(unpickler: type) -> Any:
    """What `torch.load` takes as its `pickle_module`, to read with a `SafeUnpickler`."""

    def load(file: Any, **named: Any) -> Any:
        return unpickler(file, **named).load()

    return SimpleNamespace(Unpickler=unpickler, load=load, __name__=__name__)
