# SPDX-License-Identifier: GPL-3.0-or-later
"""Longest hold of Blender's main thread during a job, in a real window: run it inside Blender's user interface.

    blender --python benchmarks/main_thread.py -- relief PHOTO [people PHOTO] ...

Each task is started as a click starts it. A timer that asks to be called every 10 ms writes down how late it is; the
longest gap is the longest time for which the interface stood still. The yardsticks are an idle window, and one whose
sidebar is redrawn as often as a job redraws it (without a graphics card that alone takes a while). Prints one JSON line
a job, and ends Blender.

`start_ms` : the click, until the job is on its way.  `work_ms` : the longest gap while the worker computes, Blender's
own drawing included; `lock_ms` : how much of such a gap the worker can answer for, the longest wait of a thread that
only asks for Python's lock.
`build_ms` : making the datablocks and the undo step.  `redraw_ms` : the longest gap after that, Blender's own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import bpy

INTERVAL = 0.01
IDLE_SECONDS = 3.0
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "relief": ("estimate_depth", {"model": "relief"}),
    "depth": ("estimate_depth", {}),
    "normals": ("estimate_normals", {}),
    "hands": ("refine_hands", {}),
    "people": ("recover_people", {}),
}


class Gaps:
    """A timer that notes the longest time between two of its calls."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.last = time.perf_counter()

    def tick(self) -> float:
        now = time.perf_counter()
        self.longest, self.last = max(self.longest, now - self.last), now
        return INTERVAL

    def ask_for_the_lock(self) -> None:
        """Tick in a thread that does nothing else, so that a gap is a wait for Python's lock."""

        def ask() -> None:
            while True:
                time.sleep(self.tick() / 5)

        threading.Thread(target=ask, daemon=True).start()

    def take(self) -> float:
        """The longest gap in milliseconds since the last call of this."""
        self.tick()
        longest, self.longest = self.longest, 0.0
        return round(1000 * longest, 1)


def jobs_module() -> Any:
    """The add-on's `jobs`, under whatever name Blender has loaded it."""
    return next(module for name, module in sys.modules.items() if name.endswith("blender_addon.core.jobs"))


def redraw_sidebar() -> None:
    context: Any = bpy.context
    for area in context.window_manager.windows[0].screen.areas:
        for region in area.regions:
            if area.type == "VIEW_3D" and region.type == "UI":
                region.tag_redraw()


def measure(arguments: list[str], gaps: Gaps, lock: Gaps) -> Iterator[float]:
    """Steps of the measurement, each followed by the seconds until the next."""
    jobs = jobs_module()
    gaps.take()
    yield IDLE_SECONDS
    print(json.dumps({"task": "none, idle", "longest_ms": gaps.take()}), flush=True)
    lock.take()
    for _ in range(int(IDLE_SECONDS / 0.1)):
        redraw_sidebar()
        yield 0.1
    print(json.dumps({"task": "none, redrawing", "longest_ms": gaps.take(), "lock_ms": lock.take()}), flush=True)
    for task, photo in zip(arguments[::2], arguments[1::2], strict=True):
        operator, options = TASKS[task]
        gaps.take()
        started = time.perf_counter()
        operators: Any = bpy.ops
        getattr(operators.maquette, operator)("INVOKE_DEFAULT", filepath=photo, **options)
        start_ms = gaps.take()
        work_ms = 0.0
        lock.take()
        while jobs.active() and jobs.active()[0].state.value != "worked":
            yield INTERVAL
            work_ms = max(work_ms, gaps.take())
        built, lock_ms = time.perf_counter(), lock.take()
        jobs.pump()
        build_ms = round(1000 * (time.perf_counter() - built), 1)
        gaps.take()
        yield 1.0
        result = {"start_ms": start_ms, "work_ms": work_ms, "lock_ms": lock_ms}
        result |= {"build_ms": build_ms, "redraw_ms": gaps.take()}
        seconds = round(built - started, 2)
        print(json.dumps({"task": task, **result, "seconds": seconds, "outcome": jobs.outcome().line}), flush=True)
        bpy.ops.ed.undo()  # the next job is measured in the same scene
        yield 1.0


def main() -> None:
    arguments = sys.argv[sys.argv.index("--") + 1 :]
    # The viewport would draw itself sixteen times over after each change, with 0.3 s a time in software.
    context: Any = bpy.context
    context.preferences.system.viewport_aa = "OFF"
    gaps, lock = Gaps(), Gaps()
    lock.ask_for_the_lock()
    steps = measure(arguments, gaps, lock)
    bpy.app.timers.register(gaps.tick, persistent=True)

    def step() -> float | None:
        try:
            return next(steps)
        except StopIteration:
            bpy.ops.wm.quit_blender()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        return None

    bpy.app.timers.register(step, first_interval=5.0, persistent=True)


if __name__ == "__main__":
    main()
