# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes: started without the caller's Python settings, read line by line, stopped with us."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: Settings of the calling Python or environment that would leak into another one.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")


def clean_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what belongs to its own Python, plus `changes`."""
    result = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    result["PYTHONNOUSERSITE"] = "1"
    result.update(changes or {})
    return result


def hidden_window() -> dict:
    """Arguments that keep a console window from flashing up under Windows."""
    return {"creationflags": 0x08000000} if sys.platform == "win32" else {}


def ask(command: Sequence[str], timeout: float = 20.0, env: Mapping[str, str] | None = None) -> str | None:
    """The standard output of a short command, or None when it fails, hangs or does not exist."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            env=dict(env) if env is not None else clean_environment(),
            check=False,
            **hidden_window(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def stream(
    command: Sequence[str],
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    on_tick: Callable[[], None] = lambda: None,
    timeout: float | None = None,
    folder: Path | None = None,
) -> tuple[int, str]:
    """Run a command (in `folder`) and hand on each line as it comes; `on_tick` is called about twice a second.

    Returns the exit code and the whole output. The child is stopped when a callback raises (cancel, Ctrl-C)
    and when it runs longer than `timeout` seconds, which gives exit code 124.
    """
    child = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=folder,
        **hidden_window(),
    )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(child.stdout, lines), daemon=True).start()
    output: list[str] = []
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            if deadline is not None and time.monotonic() > deadline:
                return 124, "".join(output) + "timed out\n"
            try:
                line = lines.get(timeout=0.5)
            except queue.Empty:
                on_tick()
                continue
            if line is None:
                return child.wait(), "".join(output)
            output.append(line)
            on_line(line.rstrip())
    finally:
        _stop(child)


def _read(pipe, lines: queue.Queue[str | None]) -> None:
    for raw in pipe:
        lines.put(raw.decode("utf-8", "replace"))
    lines.put(None)


def _stop(child: subprocess.Popen) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
