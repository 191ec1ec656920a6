# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ...installer.shared.disk import whole_file
from ..errors import BadInput


def save_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file, which appears whole or not at all. Raises `BadInput` where it cannot be written."""
    try:
        with whole_file(path) as part, part.open("xb") as file:
            write(file)
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{path} cannot be written: {error.strerror or error}.", "Choose another folder, or free space on the disk."
    )
