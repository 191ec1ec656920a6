# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists that packages bring of their files (RECORD), by which damage is found."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from ..environment.lock_files import normalised

_DIST_INFO = re.compile(r"^(.+?)-([^-]+)\.dist-info$")


def installed(folder: Path) -> dict[str, str]:
    """Package -> version, of what is in a folder."""
    matches = (_DIST_INFO.match(path.name) for path in folder.iterdir())
    return {normalised(match[1]): match[2] for match in matches if match}


def _files(folder: Path, dist_info: str) -> Iterator[tuple[str, str, str]]:
    """Path below the folder, hash and size of each file of a package."""
    with (folder / dist_info / "RECORD").open(encoding="utf-8", newline="") as handle:
        for row in csv.reader(handle):
            if len(row) == 3:
                yield row[0], row[1], row[2]


def _is_whole(folder: Path, dist_info: str, deep: bool) -> bool:
    """Whether every file of a package is there with its size; `deep`: and its content."""
    try:
        for name, digest, size in _files(folder, dist_info):
            path = folder / name
            if name.endswith("/RECORD") or "__pycache__" in name:
                continue
            if size and path.stat().st_size != int(size):
                return False
            if deep and digest.startswith("sha256=") and _sha256(path) != digest[len("sha256=") :]:
                return False
    except (OSError, ValueError):
        return False
    return True


def _sha256(path: Path) -> str:
    """As RECORD writes it."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256")
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")


def damaged(folder: Path, deep: bool = True) -> list[str]:
    """Names of the packages in a folder with a file that is missing or cut or, where `deep` reads all of them,
    altered."""
    found = (_DIST_INFO.match(path.name) for path in folder.iterdir())
    return sorted(normalised(match[1]) for match in found if match and not _is_whole(folder, match[0], deep))
