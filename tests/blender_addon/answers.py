# SPDX-License-Identifier: GPL-3.0-or-later
"""What the built-in models have said in a run is their answer in the tests to come, and in the other Blenders'.

Inference knows nothing of Blender: on each Blender a few tests, marked `computes`, really run it, and the others ask
what Blender makes of the results. `installer test` names a folder of its own run in MAQUETTE_ANSWERS. The default
Blender computes each result once (in the full tier always) and writes it there under the digest of all that it depends
on. The others read; where there is nothing, as when tests are picked by hand or a photo is decoded otherwise, they
compute.
"""

import hashlib
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from maquette.inference.photo import Clip
from maquette.inference.results import Body
from maquette.inference.shipped.mannequin import body_named
from maquette.installer.models import catalogue

#: Task -> the functions that its models' modules have.
FUNCTIONS = {"depth": ["estimate"], "normals": ["estimate"], "hands": ["refine"], "people": ["recover", "measure"]}

BODIES = ("mannequin", "anatomical")


class Answers:
    """Answers in a folder. writes : this Blender writes what it computes.  computing : for now, nothing is read."""

    def __init__(self, folder: Path, writes: bool) -> None:
        self.folder, self.writes, self.computing = folder, writes, False
        folder.mkdir(parents=True, exist_ok=True)

    def install(self, replace: Callable[[Any, str, Any], None]) -> None:
        """Put them before the models that ship; replace : sets an attribute of a module."""
        for task, functions in FUNCTIONS.items():
            for code in {model.code for model in catalogue.models(task) if not model.files}:
                module = import_module(f"maquette.inference.{code}")
                for function in filter(partial(hasattr, module), functions):
                    replace(module, function, self._before(getattr(module, function)))

    def _before(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def answered(given: Any, run: Any, options: Mapping[str, Any], *more: Any) -> Any:
            asked = compute.__module__, compute.__name__, given, run.device, run.precision, options, *more
            path = self.folder / f"{digest(asked)}.pickle"
            if not self.computing and path.exists():
                run.report(1.0, "As computed before")
                return read(path)
            result = compute(given, run, options, *more)
            if self.writes:
                write(result, path)
            return result

        return answered


def digest(value: Any) -> str:
    """The same for what is alike in all that a result may depend on."""
    content = hashlib.blake2b(digest_size=16)

    def feed(one: Any) -> None:
        content.update(type(one).__name__.encode())
        if isinstance(one, np.ndarray):
            content.update(f"{one.dtype}{one.shape}".encode())
            content.update(np.ascontiguousarray(one).data)
        elif isinstance(one, Clip):
            feed((one.name, len(one), one.fps, *one))
        elif is_dataclass(one):
            feed({field.name: getattr(one, field.name) for field in fields(one)})
        elif isinstance(one, Mapping):
            feed(sorted(one.items()))
        elif isinstance(one, (list, tuple)):
            feed(len(one))
            for part in one:
                feed(part)
        elif isinstance(one, np.generic):
            feed(one.item())
        elif one is None or isinstance(one, (bool, int, float, str, Path)):
            content.update(repr(one).encode())
        else:
            raise TypeError(f"{type(one)} has no digest")

    feed(value)
    return content.hexdigest()


class _Pickler(pickle.Pickler):
    """Names the shipped bodies rather than writing them: they are large, and the same everywhere."""

    def persistent_id(self, one: Any) -> str | None:
        if not isinstance(one, Body):
            return None
        return next((name for name in BODIES if one is body_named(name)), None)


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, name: str) -> Any:
        assert name in BODIES
        return body_named(name)


def write(result: Any, path: Path) -> None:
    partial = path.with_suffix(f".{os.getpid()}")
    with partial.open("wb") as file:
        _Pickler(file, protocol=4).dump(result)
    partial.replace(path)


def read(path: Path) -> Any:
    with path.open("rb") as file:  # our own, of this very run
        return _Unpickler(file).load()
