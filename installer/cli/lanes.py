# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that run side by side, so many at a time that no core idles: the longest first."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Seconds that an interrupted process has to tidy up before it is killed.
_GRACE = 15.0


@dataclass(frozen=True)
class Piece:
    """Work for one process.

    name : of which there is only one.  command : program and arguments.  log : file that takes all that it prints.
    variables : its environment.  seconds : about how long it takes.
    after : names of the pieces that must have ended before, however they ended.
    cores : that it keeps busy; less than one where it often waits for what it has started.
    """

    name: str
    command: Sequence[str]
    log: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    after: tuple[str, ...] = ()
    cores: float = 1.0


def run_pieces(
    pieces: Sequence[Piece], folder: Path, ended: Callable[[Piece, int, float], bool | None], lanes: int = 2
) -> None:
    """Run all pieces in `folder` so that `lanes` cores are busy; `ended` hears of each, its exit code and seconds, and
    returns True for one that is to be run again.

    When this is interrupted (Ctrl-C, or `ended` raises), the processes that run are too, with all that they started.
    """
    waiting = sorted(pieces, key=lambda piece: -piece.seconds)
    running: dict[str, tuple[Piece, subprocess.Popen, float]] = {}
    try:
        while waiting or running:
            unfinished = {piece.name for piece in waiting} | set(running)
            ready = [piece for piece in waiting if not unfinished.intersection(piece.after)]
            for piece in ready:
                if sum(other.cores for other, _, _ in running.values()) >= lanes:
                    break
                waiting.remove(piece)
                running[piece.name] = piece, _start(piece, folder), time.monotonic()
            time.sleep(0.05)
            for piece, child, started in list(running.values()):
                code = child.poll()
                if code is not None:
                    del running[piece.name]
                    if ended(piece, code, time.monotonic() - started):
                        waiting.append(piece)
    except BaseException:
        _stop([child for _, child, _ in running.values()])
        raise


def _start(piece: Piece, folder: Path) -> subprocess.Popen:
    piece.log.parent.mkdir(parents=True, exist_ok=True)
    with piece.log.open("wb") as log:
        return subprocess.Popen(
            list(piece.command),
            cwd=folder,
            env=dict(piece.variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that what it started can be stopped with it
        )


def _stop(children: list[subprocess.Popen]) -> None:
    """Interrupt these processes and their children as Ctrl-C does; kill what has not ended after a while."""
    for child in children:
        _signal(child, signal.SIGINT)
    until = time.monotonic() + _GRACE
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, until - time.monotonic()))
        _signal(child, getattr(signal, "SIGKILL", signal.SIGINT))
        child.wait()


def _signal(child: subprocess.Popen, number: int) -> None:
    """Send a signal to a process and what it started; Windows has none, there the process is terminated."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of them have ended
        if os.name == "nt":
            child.terminate()
        else:
            os.killpg(child.pid, number)
