# SPDX-License-Identifier: GPL-3.0-or-later
"""Milliseconds of processor time that importing and registering the add-on takes in a fresh Blender.

    python benchmarks/registration.py [PYTHON ...]

Each PYTHON (by default this one) is a Python that has `bpy` and this project; it is started anew `RUNS` times,
after one start that writes the byte code. Printed as JSON: the median and the least, which heavy packages were
imported by it (none), and the time for switching the add-on off and on again.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

RUNS = 7

PROBE = """
import json, os, sys, time
import bpy
start = time.process_time()
import maquette
maquette.register()
first = time.process_time() - start
heavy = sorted({"torch", "cv2", "PIL", "scipy"} & set(sys.modules))
start = time.process_time()
maquette.unregister()
maquette.register()
again = time.process_time() - start
print("PROBE" + json.dumps([1000 * first, 1000 * again, bpy.app.version_string, heavy]))
sys.stdout.flush()
os._exit(0)
"""


def measure(python: str) -> dict[str, object]:
    """Median and least milliseconds of `RUNS` fresh processes."""
    runs = []
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(RUNS + 1):
        done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, check=True, env=env)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("PROBE")]
        runs.append(json.loads(line.removeprefix("PROBE")))
    first, again = ([run[index] for run in runs[1:]] for index in (0, 1))
    return {
        "blender": runs[0][2],
        "register_ms": {"median": round(statistics.median(first), 1), "least": round(min(first), 1)},
        "off_and_on_ms": round(statistics.median(again), 1),
        "heavy_imports": runs[0][3],
    }


if __name__ == "__main__":
    for program in sys.argv[1:] or [sys.executable]:
        print(json.dumps(measure(program)), flush=True)
