# SPDX-License-Identifier: GPL-3.0-or-later
"""What the set-up says while it works: the step, the megabytes, and how much is left."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from .disk import UNPACKED, count

_DOWNLOADING = re.compile(r"^\s*Downloading (\S+) \(([\d.]+) ?([KMG]?i?B)\)")
_DOWNLOADED = re.compile(r"^\s*Downloaded (\S+)")
_RESOLVED = re.compile(r"^\s*Resolved (\d+) packages?")
_PREPARED = re.compile(r"^\s*Prepared (\d+) packages?")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 1e3, "MB": 1e6, "GB": 1e9}
_DOWNLOADING_PHASE = "downloading"


#: What an action answers: the content for --json, the lines for people, the exit code.
Answer = tuple[object, Sequence[str], int]


def show(answer: Answer, as_json: bool) -> int:
    """Print an answer on standard output, for a program or for people; returns the exit code."""
    content, lines, code = answer
    if as_json:
        print(json.dumps(content, indent=1, ensure_ascii=False))
    elif lines:
        print("\n".join(lines))
    return code


class Reporter:
    """Prints whole lines on one stream (stderr, so that a program's own output stays clean)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self.step_number = 0
        self.steps = 0

    def begin(self, steps: int) -> None:
        """Start a set-up of so many steps."""
        self.step_number, self.steps = 0, steps

    def step(self, text: str) -> None:
        """Name the next step and how many are still to come."""
        self.step_number += 1
        left = self.steps - self.step_number
        after = "the last one" if left == 0 else f"{left} more to come"
        self.say(f"[{self.step_number}/{self.steps}] {text} ({after})")

    def detail(self, text: str) -> None:
        self.say(f"      {text}")

    def say(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)


class Pace:
    """Bytes a second over the last few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks = [(clock(), -1.0)]

    def at(self, have: float) -> float:
        """The pace, now that so many bytes are here."""
        now = self._clock()
        if self._marks[0][1] < 0 or have < self._marks[-1][1]:
            self._marks = [(now, have)]
        if now - self._marks[-1][0] >= 0.5:
            self._marks = [*self._marks[-9:], (now, have)]
        since, then = self._marks[0]
        return (have - then) / (now - since) if now - since > 0.2 else 0.0


@dataclass(frozen=True)
class DownloadState:
    """How far all downloads of uv are together. done, total : bytes.  speed : bytes a second.  name : of the largest
    package that is still to come."""

    done: float
    total: float
    speed: float
    name: str

    def __str__(self) -> str:
        return f"{self.done / 1e6:,.0f} of {self.total / 1e6:,.0f} MB, {self.speed / 1e6:.1f} MB/s, {self.name}"


class DownloadProgress:
    """Reads uv's lines; says how many megabytes are here, how many are left and about how long that takes.

    uv names a file and its size when its download starts and once more when it is here. It starts up to fifty at once,
    so the total is known almost from the beginning; where it starts fewer, `expected` MB are the least. Small
    files (under a MiB) are never named. How much of the others is here, uv does not say: it is seen by what uv has
    unpacked of them into its cache.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        cache: Path | None = None,
        expected: int = 0,
        every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._cache, self._every, self._clock = say, cache, every, clock
        self._expected = expected * 1e6
        self._started = self._spoke = clock()
        self._pace = Pace(clock)
        self._sizes: dict[str, float] = {}
        self._here: set[str] = set()
        self._phase = "asking the registry"

    def feed(self, line: str) -> None:
        """Take in one line of uv's output."""
        if match := _DOWNLOADING.match(line):
            self._sizes[match[1]] = float(match[2]) * _UNITS.get(match[3], 1.0)
            self._phase = _DOWNLOADING_PHASE
        elif (match := _DOWNLOADED.match(line)) and match[1] in self._sizes:
            self._here.add(match[1])
        elif match := _RESOLVED.match(line):
            self._say(f"{match[1]} packages to install")
            self._phase = "copying from the cache"
        elif _PREPARED.match(line):
            self._phase = "copying into place"
            if self._sizes:
                self._say(f"{sum(self._sizes.values()) / 1e6:,.0f} MB downloaded")
        self.tick()

    def state(self) -> DownloadState | None:
        """How far the downloads are; None where none is going on."""
        coming = [(size, name) for name, size in self._sizes.items() if name not in self._here]
        if self._phase != _DOWNLOADING_PHASE or not coming:
            return None
        left = sum(size for size, _ in coming)
        unpacked = sum(count(folder)[1] for folder in self._cache.glob(".tmp*")) if self._cache else 0
        done = sum(self._sizes.values()) - left + min(unpacked / UNPACKED, 0.99 * left)
        total = max(sum(self._sizes.values()), self._expected)
        return DownloadState(done, total, self._pace.at(done), max(coming)[1])

    def tick(self) -> None:
        """Say where it stands, if it has been quiet for a while."""
        now = self._clock()
        if now - self._spoke < self._every:
            return
        self._spoke = now
        seconds = now - self._started
        state = self.state()
        if state is None:
            self._say(f"{self._phase}, {seconds:.0f} s so far")
            return
        size, left = self._sizes[state.name] / 1e6, len(self._sizes) - len(self._here)
        line = f"{state.done / 1e6:,.0f} of {state.total / 1e6:,.0f} MB downloaded, "
        line += f"{state.name} ({size:,.0f} MB) is the largest of {left} to come"
        if state.done:
            line += f", about {seconds * (state.total - state.done) / state.done:.0f} s left"
        self._say(line)
