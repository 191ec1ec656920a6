# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear under their name whole or not at all; folders counted and removed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Bytes that are read at once.
READ = 1 << 22
#: Bytes on the disk for each byte of a wheel.
UNPACKED = 1.9


def write_json(path: Path, content: object, through: bool = False) -> None:
    """Write a small file in one step. Nobody else writes it at the same time. through : also to the disk itself, so
    that a power cut leaves it there or not."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(text)
        if through:
            file.flush()
            os.fsync(file.fileno())


def move_into_place(part: Path, target: Path) -> None:
    """Give a finished file its name, and write that through to the disk."""
    _renamed(part, target)
    if os.name != "nt":
        with suppress(OSError):  # not every file system can
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _renamed(part: Path, target: Path) -> None:
    """Virus scanners hold new files open for a moment under Windows."""
    for wait in (0.1, 0.3, 1.0, 3.0):
        try:
            part.replace(target)
            return
        except PermissionError:
            if os.name != "nt":
                raise
            time.sleep(wait)
    part.replace(target)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A name under which to write a file, which gets its own in one step when the block ends, and is removed after an
    error. It lies beside the target, ends in the same suffix, by which exporters go, and is nobody else's."""
    part = target.with_name(f".{target.stem[:100]}.{os.getpid()}-{os.urandom(3).hex()}.part{target.suffix}")
    try:
        yield part
        _renamed(part, target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def is_web_page(start: bytes) -> bool:
    """Whether a file that begins so is a web page, or a server's answer in JSON that there was an error."""
    return start[:64].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b'{"error'))


def hash_file(path: Path, on_progress: Callable[[int], None] = lambda done: None) -> str:
    """SHA-256 of a file; `on_progress` gets the bytes read so far and may raise."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(READ):
            digest.update(block)
            done += len(block)
            on_progress(done)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """What tells a file from another of the same name without reading all of it: its size, beginning and end.

    A zip file's end holds the checksums of all its parts.
    """
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        digest.update(file.read(1 << 16))
        file.seek(max(0, size - (1 << 20)))
        digest.update(file.read())
    return digest.hexdigest()


def count(folder: Path, without: frozenset[str] = frozenset()) -> tuple[int, int]:
    """Number of files below a folder and their bytes. Not counted: what Python adds by itself, and every file and
    folder of a name in `without`."""
    files = size = 0
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.name == "__pycache__" or entry.name in without:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        files += 1
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError:  # gone meanwhile, or not ours to look into
            continue
    return files, size


def remove_tree(path: Path) -> bool:
    """Remove a folder that nobody uses, with patience for virus scanners; True when it is gone."""
    import shutil  # brings in every kind of compression, which Blender need not wait for while it starts

    for attempt in range(3):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return True
        time.sleep(0.2 * (attempt + 1))
    return False
