# SPDX-License-Identifier: GPL-3.0-or-later
"""What the set-up says while it works: the step, the megabytes, and how much is left."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import TextIO

_DOWNLOADING = re.compile(r"^\s*Downloading (\S+) \(([\d.]+) ?([KMG]?i?B)\)")
_DOWNLOADED = re.compile(r"^\s*Downloaded (\S+)")
_RESOLVED = re.compile(r"^\s*Resolved (\d+) packages?")
_PREPARED = re.compile(r"^\s*Prepared (\d+) packages?")
_UNITS = {"B": 1e-6, "KiB": 1024e-6, "MiB": 1.048576, "GiB": 1073.741824, "KB": 1e-3, "MB": 1.0, "GB": 1e3}


class Voice:
    """Speaks in whole lines on one stream (stderr, so that a program's own output stays clean)."""

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


class DownloadProgress:
    """Reads uv's lines; says how many megabytes have come, how many are left and about how long that takes.

    uv names a file and its size when its download starts and once more when it has come; it starts up to fifty
    at once, so the total is known almost from the beginning. Small files (under a MiB) are never named.
    """

    def __init__(self, say: Callable[[str], None], every: float = 5.0, clock: Callable[[], float] = time.monotonic):
        self._say = say
        self._every = every
        self._clock = clock
        self._started = self._spoke = clock()
        self._size: dict = {}
        self._come: set = set()
        self._phase = "asking the registry"

    @property
    def total(self) -> float:
        return sum(self._size.values())

    @property
    def come(self) -> float:
        return sum(self._size[name] for name in self._come)

    def feed(self, line: str) -> None:
        """Take in one line of uv's output."""
        if match := _DOWNLOADING.match(line):
            self._size[match[1]] = float(match[2]) * _UNITS.get(match[3], 1.0)
            self._phase = "downloading"
        elif (match := _DOWNLOADED.match(line)) and match[1] in self._size:
            self._come.add(match[1])
        elif match := _RESOLVED.match(line):
            self._say(f"{match[1]} packages to install")
            self._phase = "copying from the cache"
        elif _PREPARED.match(line):
            self._phase = "copying into the environment"
            if self.total:
                self._say(f"{self.total:,.0f} MB downloaded")
        self.tick()

    def tick(self) -> None:
        """Say where it stands, if it has been quiet for a while."""
        now = self._clock()
        if now - self._spoke < self._every:
            return
        self._spoke = now
        seconds = now - self._started
        if self._phase != "downloading":
            self._say(f"{self._phase}, {seconds:.0f} s so far")
            return
        waiting = sorted((size, name) for name, size in self._size.items() if name not in self._come)
        left = (
            f", {waiting[-1][1]} ({waiting[-1][0]:,.0f} MB) is the largest of {len(waiting)} to come" if waiting else ""
        )
        if self.come:
            left += f", about {seconds * (self.total - self.come) / self.come:.0f} s left"
        self._say(f"{self.come:,.0f} of {self.total:,.0f} MB downloaded{left}")
