# SPDX-License-Identifier: GPL-3.0-or-later
"""All or nothing: a job that fails removes what it made, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bpy

from . import compat

#: Kinds of datablock that builders make, users before what they use.
KINDS = (
    "collections",
    "objects",
    "meshes",
    compat.GREASE_PENCILS,
    "armatures",
    "cameras",
    "materials",
    "textures",
    "node_groups",
    "images",
    "actions",
)

_open: list[Transaction] = []


class Transaction:
    """What must be undone when the job fails; open from `transaction()` to the end of its `with`."""

    def __init__(self) -> None:
        self._before = {kind: {block.session_uid for block in getattr(bpy.data, kind)} for kind in KINDS}
        self._undo: list[Callable[[], object]] = []
        #: What the artist has to know of what was built, in sentences without their full stop.
        self.notes: list[str] = []

    def on_failure(self, undo: Callable[[], object]) -> None:
        """Call `undo` if the job fails; the last one given is called first, before datablocks are removed."""
        self._undo.append(undo)

    def made(self) -> list[Any]:
        """The datablocks that were made since the transaction opened."""
        return [block for kind in KINDS for block in self._made(kind)]

    def _made(self, kind: str) -> list[Any]:
        return [block for block in getattr(bpy.data, kind) if block.session_uid not in self._before[kind]]

    def roll_back(self) -> None:
        """Undo every change and remove every datablock that was made since the transaction opened."""
        for undo in reversed(self._undo):
            with suppress(ReferenceError, RuntimeError):  # its target may be gone already
                undo()
        for kind in KINDS:
            made = self._made(kind)
            if made:
                bpy.data.batch_remove(made)


@contextmanager
def transaction() -> Iterator[Transaction]:
    """Remove all datablocks and files that were made inside when an exception passes. May be nested."""
    current = Transaction()
    _open.append(current)
    try:
        yield current
    except BaseException:
        current.roll_back()
        raise
    finally:
        _open.remove(current)


def on_failure(undo: Callable[[], object]) -> None:
    """Register `undo` with every open transaction; does nothing outside of one."""
    for current in _open:
        current.on_failure(undo)


def is_new(block: Any, kind: str) -> bool:
    """Whether a datablock was made since the outermost open transaction began."""
    return bool(_open) and block.session_uid not in _open[0]._before[kind]


def note(sentence: str) -> None:
    """Add a remark for the artist to the closing line; does nothing outside of a transaction."""
    for current in _open[-1:]:
        current.notes.append(sentence)


def change(owner: Any, **values: Any) -> None:
    """Set properties of a datablock, or of what belongs to one; they get their old values back if the job fails."""
    before = {name: getattr(owner, name) for name in values}
    # Vectors, matrices and arrays are views of what is about to change.
    before = {name: value.copy() if type(value).__module__ == "mathutils" else value for name, value in before.items()}
    before = {name: tuple(value) if hasattr(value, "foreach_get") else value for name, value in before.items()}
    on_failure(lambda: _assign(owner, before))
    _assign(owner, values)


def _assign(owner: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(owner, name, value)


def made_file(path: Path) -> None:
    """Have the file deleted if the job fails."""
    on_failure(lambda: path.unlink(missing_ok=True))
