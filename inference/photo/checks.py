# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of every file before it is read: that it is there, of a size to work on, and its reader installed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import BadInput, MissingPackages
from .own_symbols import import_own

#: Shortest side of a photo, pixels: below it there is nothing to recognise.
LEAST_SIDE = 8
#: Most pixels of a photo (13,377 x 13,377); Pillow refuses beyond it too. 0.5 GB as 8-bit RGB.
MOST_PIXELS = 178_956_970
#: Module -> the package that brings it.
_PACKAGES = {"PIL": "Pillow", "OpenEXR": "OpenEXR", "pillow_heif": "pillow-heif", "av": "PyAV"}


#: Module -> a function by which another version of its library is known that Blender may be linked with.
_SHARED = {"OpenEXR": "exr_get_library_version"}


def require(module: str) -> Any:
    """Import a package that reads or writes pictures. Raises `MissingPackages`."""
    try:
        own = import_own(module, _SHARED[module]) if module in _SHARED else None
        return own or import_module(module)
    except ImportError as error:
        raise MissingPackages(
            f"{_PACKAGES[module]} is not installed for this Python.",
            "Press Install in Maquette's preferences, or run `python3 -m installer packages`.",
            "maquette.install_packages",
        ) from error


def open_media(path: Path) -> Any:
    """A file opened by FFmpeg (PyAV), whose playlists reach nothing but files. Raises what PyAV does."""
    av = require("av")
    # Before version 19 PyAV refuses files whose titles are not written in UTF-8.
    lenient = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    return av.open(str(path), options={"protocol_whitelist": "file"}, **lenient)


def check_file(path: Path, what: str) -> None:
    """Raise `BadInput` unless `path` is a file with something in it."""
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a folder, not a {what}.", "Choose a file in it.")
        if not path.is_file():
            raise BadInput(f"There is no {what} at {path}.", "Check the path.")
        if path.stat().st_size == 0:
            raise BadInput(f"The {what} {path} is empty (0 bytes).", "Copy or save it again.")
    except (OSError, ValueError) as error:  # a name with a null byte, or longer than the system allows
        raise BadInput(f"{str(path)!r} is not a path: {error}.", "Check the path.") from error


def check_size(width: int, height: int) -> None:
    """Raise `BadInput` for a picture too small or too large to work on."""
    if min(width, height) < LEAST_SIDE:
        raise BadInput(
            f"The photo has {width} x {height} pixels, which is too small.",
            f"Choose one of at least {LEAST_SIDE} pixels on each side.",
        )
    if width * height > MOST_PIXELS:
        raise BadInput(
            f"The photo has {width} x {height} pixels, which is too large.",
            f"Make it smaller than {MOST_PIXELS // 1_000_000} megapixels.",
        )
