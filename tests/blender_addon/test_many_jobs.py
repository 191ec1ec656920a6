# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hundred jobs, half of them cancelled at random, files opened in between: nothing is left of them."""

from __future__ import annotations

import gc
import random
import sys
import threading
import time
from pathlib import Path

import bpy
import maquette
import numpy as np
import pytest
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.core import jobs


def resident() -> int:
    """Pages of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def work(report) -> np.ndarray:
    """Some work with progress, whose result is a picture of a megabyte."""
    for step in range(5):
        report(step / 5, f"Part {step + 1} of 5")
        time.sleep(0.0005)
    return np.full((256, 256), 0.5, np.float32)


def build(pixels: np.ndarray) -> str:
    return f"Made {image.mask_image('mask', pixels).name}"


def storm(count: int, chance: random.Random) -> dict[str, int]:
    """Queue jobs, cancel half of them, open files, and wait until all have ended; returns how many ended how."""
    queued = [jobs.submit(jobs.Job(f"Job {number}", work, build)) for number in range(count)]
    doomed = chance.sample(queued, count // 2)
    opened = 0
    while jobs.active():
        for job in doomed[: chance.randrange(4)]:
            jobs.cancel(number=job.number)
            doomed.remove(job)
        jobs.pump()
        ended = sum(job.state in (jobs.State.DONE, jobs.State.CANCELLED) for job in queued)
        if ended > (opened + 1) * count // 3 and opened < 1:
            opened += 1
            bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
            more = [jobs.submit(jobs.Job("After", work, build)) for _ in range(count // 4)]
            doomed += more[::2]
            queued += more
        time.sleep(0.001)
    states = [job.state.name for job in queued]
    return {state: states.count(state) for state in dict.fromkeys(states)}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_nothing_is_left_of_two_hundred_jobs() -> None:
    maquette.register()
    try:
        before_threads = {thread.name for thread in threading.enumerate()}
        chance = random.Random(18)
        storm(200, chance)  # what is imported and kept once is in memory now
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        gc.collect()
        before = resident()
        ended = storm(200, chance)
        assert set(ended) == {"DONE", "CANCELLED"} and ended["CANCELLED"] >= 100 and ended["DONE"] > 10, ended
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        gc.collect()
        assert resident() <= 1.05 * before
        assert not jobs.history(), "what was said belonged to the file before"
    finally:
        maquette.unregister()
    assert not {thread.name for thread in threading.enumerate()} - before_threads - {"MainThread"}
    assert not bpy.app.timers.is_registered(jobs.pump)
