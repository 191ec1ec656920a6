# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that is still coming: `NAME.part`, and what is known of it in `NAME.part.json`, until it gets its name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from ..shared.disk import READ, move_into_place, write_json

#: After so many bytes they are written through to the disk, and the record says so.
SYNC = 64 << 20


class OnDisk(OSError):
    """An OSError of the disk, not of the network."""


@contextmanager
def on_disk() -> Iterator[None]:
    """Whatever the disk refuses here is an `OnDisk`."""
    try:
        yield
    except OSError as error:
        raise OnDisk(error.errno, error.strerror) from error


@dataclass(frozen=True)
class Record:
    """What is known of a partial file.

    url : where it comes from.  validator : what tells the server's version from another (ETag or date).
    length : bytes of the whole file, -1 while unknown.  sha256 : as the server states it, or "".
    synced : bytes that are on the disk for certain.
    """

    url: str = ""
    validator: str = ""
    length: int = -1
    sha256: str = ""
    synced: int = 0


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def record_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")


def read_record(target: Path) -> Record:
    """The record beside a partial file; an empty one where there is none, or none that can be read."""
    try:
        record = Record(**json.loads(record_of(target).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return Record()
    right = all(isinstance(getattr(record, name), type(value)) for name, value in asdict(Record()).items())
    return record if right else Record()


def partial_bytes(target: Path) -> int:
    """Bytes of an unfinished download that the next one will keep."""
    try:
        return min(part_of(target).stat().st_size, read_record(target).synced)
    except OSError:
        return 0


def forget(target: Path) -> None:
    """Remove what an unfinished download has left."""
    record = record_of(target)
    for path in (part_of(target), record, record.with_name(f"{record.name}.new")):
        path.unlink(missing_ok=True)


class Partial:
    """The partial file of `target`, open for writing; `have` bytes of it count, and `digest` is theirs."""

    def __init__(self, target: Path, url: str = "") -> None:
        self.target, self.path = target, part_of(target)
        self.have = 0
        self.digest = hashlib.sha256()
        self.record = Record(url=url)
        self._unsynced = 0
        # Opened without cutting it off, in whatever state it is.
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self._file: IO[bytes] | None = os.fdopen(handle, "r+b")

    def take_up(self, length: int, on_block: Callable[[], None]) -> None:
        """Count what an earlier download left, as far as it is certainly on the disk and of this file.

        length : of the published file, 0 where it is not known.
        """
        earlier = read_record(self.target)
        kept = min(os.fstat(self._open().fileno()).st_size, earlier.synced)
        if earlier.url != self.record.url or (length and earlier.length not in (-1, length)):
            kept = 0
        self._cut(kept)
        if kept:
            self.record = replace(earlier, synced=kept)
        while self.have < kept:
            block = self._open().read(min(READ, kept - self.have))
            if not block:
                raise OnDisk(f"{self.path} ends early")
            self._count(block)
            on_block()

    def drop(self) -> None:
        """Start from the beginning."""
        self._cut(0)
        self.note(validator="", length=-1, sha256="", synced=0)

    def note(self, **known: object) -> None:
        """Put down what is known now."""
        self.record = replace(self.record, **known)  # type: ignore[arg-type]
        with on_disk():
            write_json(record_of(self.target), asdict(self.record))

    def write(self, block: bytes) -> None:
        with on_disk():
            self._open().write(block)
        self._count(block)
        self._unsynced += len(block)
        if self._unsynced >= SYNC:
            self.sync()

    def sync(self) -> None:
        """Write all through to the disk, then say so in the record."""
        with on_disk():
            self._open().flush()
            os.fsync(self._open().fileno())
        self._unsynced = 0
        self.note(synced=self.have)

    def move_into_place(self) -> None:
        """Give the file its name. It has been synced and checked."""
        self._open().close()
        self._file = None
        move_into_place(self.path, self.target)
        forget(self.target)

    def close(self) -> None:
        """Keep the downloaded part for the next time; an empty file is not kept."""
        if self._file is None:
            return
        with suppress(OSError):
            self.sync()
        with suppress(OSError):
            self._file.close()
        self._file = None
        if not self.have:
            with suppress(OSError):
                forget(self.target)

    def _open(self) -> IO[bytes]:
        assert self._file is not None, "the partial file has got its name already"
        return self._file

    def _cut(self, size: int) -> None:
        """Keep so many bytes, and begin to count at the first."""
        self._open().truncate(size)
        self._open().seek(0)
        self.have, self._unsynced, self.digest = 0, 0, hashlib.sha256()

    def _count(self, block: bytes) -> None:
        self.digest.update(block)
        self.have += len(block)
