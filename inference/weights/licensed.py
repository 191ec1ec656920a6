# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own files of licensed bodies: read once as their owner hands them out, then from a plain copy of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from ...installer.models import store
from ...installer.shared.disk import fingerprint, whole_file
from ..errors import BadModelFile
from .load import missing
from .pickles import read_licensed

#: The array, in a plain file, that tells what it was made from.
_STAMP = "made_from"

Model = TypeVar("Model")


@dataclass(frozen=True)
class Licensed(Generic[Model]):
    """How a licensed body is handed out.

    path : below the root of the model files, as in the catalogue.  what : the model in words ("MANO hand").
    kind : the dataclass of arrays that it becomes.  licence : of the model and of what is made with it.
    remedy : where the right file can be had.
    published : name in the published file -> the field of `kind`, and its shape there; a table of parents, which is
        published as (2, joints), becomes (joints,) with -1 for the root.
    check : the model, when it is the right one; raises `BadModelFile` for one that only looks alike.
    prepare : published arrays to those of the shapes in `published`, where files of several kinds are handed out.
    """

    path: str
    what: str
    kind: Callable[..., Model]
    licence: str
    remedy: str
    published: Mapping[str, tuple[str, tuple[int, ...]]]
    check: Callable[[Model, Path], None]
    prepare: Callable[[dict[str, Any]], dict[str, Any]] = dict

    def load(self, models_dir: Path) -> Model:
        """Read the user's file, and keep a plain .npz of it beside it; that alone is enough the next time. Where the
        folder is a shared one, or cannot be written, the plain file is kept in the user's data.

        A replaced file is read again. The published arrays as an .npz are taken as well, under either name.
        Raises `MissingModel`, and `BadModelFile` for another model, or a damaged or unsafe file.
        """
        source = store.find(self.path, models_dir)
        plain = source.with_suffix(".npz")
        if not source.exists():
            if not plain.exists():
                raise missing(source, self.path, self.remedy)
            return self._from_any(read_licensed(plain), plain)
        stamp = fingerprint(source)
        elsewhere = store.conversion_elsewhere(source, stamp)
        for copy in (plain, elsewhere):
            if _stamp(copy) == stamp:
                return self._checked(read_licensed(copy), copy)
        model = self._from_any(read_licensed(source), source)
        theirs = plain.exists() and _stamp(plain) is None  # another's file of this name stays as it is
        if theirs or store.is_shared(source) or not self._keep(model, plain, stamp):
            self._keep(model, elsewhere, stamp)
        return model

    def _from_any(self, content: dict[str, Any], path: Path) -> Model:
        return self._checked(content, path) if "vertices" in content else self._from_published(content, path)

    def _from_published(self, content: dict[str, Any], path: Path) -> Model:
        content = self.prepare(content)
        arrays = {}
        for name, (ours, shape) in self.published.items():
            if name not in content:
                raise BadModelFile(f"{path} has no {name!r}: it is not a {self.what}.", self.remedy)
            array = np.asarray(content[name])
            if array.shape != shape:
                raise BadModelFile(
                    f"{path}: {name} is {array.shape} instead of {shape}; it is not a {self.what}.", self.remedy
                )
            arrays[ours] = array
        # The root's parent is written as the largest unsigned number.
        parents = np.asarray(arrays["parents"], np.int64)[0]
        arrays["parents"] = np.where((parents < 0) | (parents >= len(parents)), -1, parents)
        return self._checked(arrays, path)

    def _checked(self, arrays: dict[str, Any], path: Path) -> Model:
        """Types, shapes, finite values, and that it is the right model."""
        types: dict[str, Any] = {"faces": np.int32, "parents": np.int32}
        shapes = dict(self.published.values())
        shapes["parents"] = shapes["parents"][1:]
        try:
            values: dict[str, Any] = {
                name: np.ascontiguousarray(arrays[name], types.get(name, np.float64)) for name in shapes
            }
            if any(values[name].shape != shape for name, shape in shapes.items()):
                raise BadModelFile(f"{path} is not a {self.what}.", self.remedy)
            if not all(np.isfinite(value).all() for value in values.values()):
                raise BadModelFile(f"{path} holds values that are not finite.", self.remedy)
            if not 0 <= values["faces"].min() <= values["faces"].max() < len(values["vertices"]):
                raise BadModelFile(f"{path} has faces with vertices that do not exist.", self.remedy)
            model = self.kind(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise BadModelFile(f"{path} is not a {self.what}.", self.remedy) from error
        self.check(model, path)
        return model

    def _keep(self, model: Any, plain: Path, stamp: str) -> bool:
        """Write the arrays under their name in one step; False for a folder that cannot be written."""
        arrays: dict[str, Any] = {field.name: getattr(model, field.name) for field in fields(model)}
        try:
            plain.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(plain) as part, part.open("wb") as file:
                np.savez(file, **arrays, licence=np.array(self.licence), **{_STAMP: np.array(stamp)})
        except OSError:
            return False
        return True


def _stamp(plain: Path) -> str | None:
    """What a plain file was made from; None where there is none, it is damaged, or it was not written here."""
    try:
        with np.load(plain, allow_pickle=False) as content:
            return str(content[_STAMP]) if _STAMP in content.files else None
    except Exception:  # a damaged archive can raise anything
        return None
