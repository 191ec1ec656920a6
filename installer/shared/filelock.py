# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock between processes that the operating system gives back when its holder dies."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if os.name == "nt":
    import msvcrt

    def _try_lock(handle: IO[str]) -> bool:
        handle.seek(1 << 20)  # far behind the text, so that others can still read who holds it
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: IO[str]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise  # those mean a network disk without locks, on which nobody can do better
        return True


@contextmanager
def file_lock(
    path: Path, on_wait: Callable[[str], None], every: float = 0.5, on_tick: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock at `path`; while another process has it, wait, after saying so once. `on_tick` is called as often
    as the lock is tried and may raise to give up waiting."""
    with path.open("a+", encoding="utf-8") as handle:
        said = False
        while not _try_lock(handle):
            if not said:
                handle.seek(0)
                holder = handle.read(40).strip() or "unknown"
                on_wait(f"Another set-up (process {holder}) is running here; waiting for it to finish.")
                said = True
            on_tick()
            time.sleep(every)
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def try_lock(path: Path) -> IO[str] | None:
    """The lock at `path` as an open file, held until that is closed; None while another has it. OSError where the file
    cannot be made."""
    handle = path.open("a+", encoding="utf-8")
    if _try_lock(handle):
        return handle
    handle.close()
    return None


def is_locked(path: Path) -> bool:
    """Whether somebody, this process too, holds the lock at `path`."""
    try:
        handle = try_lock(path)
    except OSError:
        return False
    if handle is None:
        return True
    handle.close()
    return False
