# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the files of a .blend go: beside it, under names that nothing else has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import bpy

from ....inference.errors import BadInput
from ...core import transaction
from ...core.exchange import clean_name


def is_packed(folder: str | Path | None) -> bool:
    """Whether results are packed into the .blend: it was never saved, and no folder was asked for."""
    return folder is None and not bpy.data.filepath


def output_folder(folder: str | Path | None) -> Path:
    """The folder for the files of this .blend, made where missing: `folder`, `maquette` beside the .blend, or, while
    that is unsaved, Blender's temporary folder. Raises BadInput where it cannot be made or written."""
    if folder is not None:
        path = Path(bpy.path.abspath(os.fspath(folder)))
    elif bpy.data.filepath:
        path = Path(bpy.data.filepath).parent / "maquette"
    else:
        path = Path(bpy.app.tempdir)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(path) from error
    if not os.access(path, os.W_OK):
        raise not_writable(path)
    return path


def unused_file(folder: Path, name: str, suffix: str) -> Path:
    """`<name><suffix>` in the folder, or the first free `<name>.001<suffix>`."""
    stem = clean_name(name)
    path = folder / f"{stem}{suffix}"
    number = 0
    while path.exists():
        number += 1
        path = folder / f"{stem}.{number:03d}{suffix}"
    return path


def blender_path(path: Path) -> str:
    """The path as Blender stores it: relative to the .blend where it lies beside or below it."""
    saved = bpy.data.filepath
    if saved and path.is_relative_to(Path(saved).parent):
        return bpy.path.relpath(str(path))
    return str(path)


def not_writable(folder: Path, error: OSError | None = None) -> BadInput:
    """The error to raise where an output folder cannot be written, with the system's reason where there is one."""
    reason = f": {error.strerror}" if error is not None and error.strerror else ""
    remedy = "Choose another folder, or save the .blend elsewhere."
    return BadInput(f"The folder {folder} cannot be written{reason}.", remedy)


def new_file(folder: Path, name: str, suffix: str, write: Callable[[BinaryIO], object]) -> Path:
    """A file of an unused name that `write` fills; deleted if the job fails. Raises BadInput if it cannot be made."""
    path = unused_file(folder, name, suffix)
    try:
        with path.open("xb") as file:
            transaction.made_file(path)
            write(file)
    except OSError as error:
        raise not_writable(folder, error) from error
    return path


def kept_file(name: str, file: Path, folder: str | Path | None) -> tuple[Path, bool]:
    """Where a file that the worker has written is kept, and whether it is to be packed from there. It is moved, which
    takes no time, to an unused name in the output folder. Raises BadInput where that cannot be written."""
    return (file, True) if is_packed(folder) else (moved_file(name, file, folder), False)


def moved_file(name: str, file: Path, folder: str | Path | None) -> Path:
    """The same for a file that is never packed, which of an unsaved .blend lies in the temporary folder."""
    target = output_folder(folder)
    path = new_file(target, name, file.suffix, lambda _empty: None)
    try:
        shutil.move(file, path)
    except OSError as error:
        raise not_writable(target, error) from error
    return path
