# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists that packages bring of their files (RECORD): to find damage, and to give a package to another folder."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..environment.lock_files import normalised

_DIST_INFO = re.compile(r"^(.+?)-([^-]+)\.dist-info$")
_READ = 1 << 20


def installed(folder: Path) -> dict[str, str]:
    """Package -> version, of what is in a folder."""
    matches = (_DIST_INFO.match(path.name) for path in folder.iterdir())
    return {normalised(match[1]): match[2] for match in matches if match}


def _dist_infos(folder: Path) -> dict[tuple[str, str], str]:
    matches = (_DIST_INFO.match(path.name) for path in folder.iterdir())
    return {(normalised(match[1]), match[2]): match[0] for match in matches if match}


def _files(folder: Path, dist_info: str) -> Iterator[tuple[str, str, str]]:
    """Path below the folder, hash and size of each file of a package."""
    with (folder / dist_info / "RECORD").open(encoding="utf-8", newline="") as handle:
        for row in csv.reader(handle):
            if len(row) == 3:
                yield row[0], row[1], row[2]


def is_whole(folder: Path, dist_info: str, deep: bool = False) -> bool:
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
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_READ):
            digest.update(block)
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")


def damaged(folder: Path) -> list[str]:
    """Names of the packages in a folder with a file that is missing, cut or altered; reads all of them."""
    return sorted(name for (name, _), info in _dist_infos(folder).items() if not is_whole(folder, info, deep=True))


def find_whole(donors: Sequence[Path], wanted: Mapping[str, str], deep: bool) -> dict[str, tuple[Path, str]]:
    """Package -> folder and dist-info of the first donor that has it whole, in just the wanted version. `deep` reads
    every file."""
    found: dict[str, tuple[Path, str]] = {}
    for folder in donors:
        try:
            here = _dist_infos(folder)
        except OSError:
            continue
        for (name, version), info in here.items():
            if wanted.get(name) == version and name not in found and is_whole(folder, info, deep):
                found[name] = folder, info
    return found


def link(donor: Path, dist_info: str, target: Path) -> None:
    """Give a package to another folder: as further names of the same files, or as copies where that cannot be."""
    for name, _, _ in _files(donor, dist_info):
        source, copy = donor / name, target / name
        if ".." in Path(name).parts or "__pycache__" in name or not source.exists():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, copy)
        except OSError:
            shutil.copy2(source, copy)
