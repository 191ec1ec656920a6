# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the worker writes before the main thread knows what becomes of them. Nothing here imports bpy."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from numpy.typing import NDArray

from ...inference.errors import BadInput
from ...inference.photo.encode import png
from ...inference.photo.exr import write_exr


class Scratch:
    """A hidden folder of its own below the one that is to take the files, so that moving them copies nothing.

    `parent` is that folder, "" for the system's temporary one. What has not been moved out goes with `discard`, when
    nothing refers to this any more, and when Python ends; so does `parent` where it was made for this and is empty.
    Raises BadInput where the folder cannot be written.
    """

    def __init__(self, parent: str | Path = "") -> None:
        place = Path(parent) if parent else Path(tempfile.gettempdir())
        made = [folder for folder in (place, *place.parents) if not folder.exists()]
        try:
            place.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=".maquette-", dir=place))
        except OSError as error:
            raise _not_writable(place, error) from error
        self._finalizer = weakref.finalize(self, _remove, self.folder, made)

    def write(self, name: str, values: Mapping[str, NDArray] | NDArray | bytes) -> Path:
        """A file of this name: the bytes as they are, OpenEXR of float32 channels (see `photo.exr`), or, where it ends
        in ".png", PNG of 8 bits (H, W) or (H, W, 3). Raises BadInput where the disk takes no more."""
        path = self.folder / name
        try:
            with path.open("wb") as file:
                if isinstance(values, bytes):
                    file.write(values)
                elif path.suffix == ".png":
                    file.write(png(values))  # type: ignore[arg-type]
                else:
                    write_exr(file, values)
        except OSError as error:
            raise _not_writable(path, error) from error
        return path

    def discard(self) -> None:
        """Remove what is still here."""
        self._finalizer()


def _remove(folder: Path, made: list[Path]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # something else lies in it
        for parent in made:
            parent.rmdir()


def _not_writable(path: Path, error: OSError) -> BadInput:
    return BadInput(f"{path} cannot be written: {error.strerror}.", "Choose another folder, or make room on the disk.")
