# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ray costs and saves: the same photos in one process, and on one and two workers of a cluster of its own.

    python benchmarks/ray_workers.py [--photos 64] [--resolution 64] [--workers 1 2] [--rounds 1] [--json FILE]

Seconds by the clock and of the processor, of all processes together, and their ratios to the one process of the same
round, so that a machine on which other work runs tells something too. With the seconds, those of each kind of process:

    driver      what was started: it imports Ray and Ray Data, hands out parts and hears of outcomes
    worker      a process of the pool: imports, the model, the photos
    idle        processes that Ray starts before they are asked for
    cluster     Ray's own servers and agents, and the helpers of Ray Data
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
from maquette.demo.samples import sample_photo
from PIL import Image

#: Seconds between two looks at the processes; what one of them takes after the last look is not seen.
EVERY = 0.1


def photos(folder: Path, count: int) -> Path:
    picture = Image.open(sample_photo("brick")).convert("RGB").resize((320, 240))
    for number in range(count):
        picture.rotate(number).save(folder / f"{number:03d}.png")
    return folder


def kind_of(process: psutil.Process, driver: int) -> str:
    words = " ".join(process.cmdline())
    if process.pid == driver:
        return "driver"
    return "worker" if "MapWorker" in words or "_Worker" in words else "idle" if "ray::IDLE" in words else "cluster"


def watched(command: list[str]) -> dict[str, float]:
    """Run a command; its wall time, and the processor seconds of each kind of its processes."""
    started, took, kinds = time.monotonic(), dict[int, float](), dict[int, str]()
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    done = threading.Event()

    def look() -> None:
        while not done.wait(EVERY):
            try:
                family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
            except psutil.Error:
                return
            for one in family:
                try:
                    times, kind = one.cpu_times(), kind_of(one, child.pid)
                except psutil.Error:
                    continue
                took[one.pid] = times.user + times.system
                if kinds.get(one.pid) != "worker":  # after its work it may be called idle again
                    kinds[one.pid] = kind

    watcher = threading.Thread(target=look)
    watcher.start()
    code = child.wait()
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"the run ended with {code}")
    sums: Counter[str] = Counter()
    for pid, seconds in took.items():
        sums[kinds[pid]] += seconds  # type: ignore[assignment]
    return {"wall": time.monotonic() - started, "cpu": sum(took.values()), **sums}


def main() -> int:
    parser = argparse.ArgumentParser(description="What Ray costs and saves.")
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "photos"
        source.mkdir()
        photos(source, options.photos)
        for turn in range(options.rounds):
            alone: dict[str, float] = {}
            for workers in (0, *options.workers):
                words = ["relief", "--photo", str(source), "--resolution", str(options.resolution)]
                words += ["--output", f"{place}/{turn}-{workers}/"]
                words += ["--ray", "--workers", str(workers)] if workers else []
                row = watched([sys.executable, "-m", "maquette.inference", *words])
                alone = alone or row
                ratios = {f"{name}_ratio": row[name] / alone[name] for name in ("wall", "cpu")}
                rows.append({"round": turn, "workers": workers, **row, **ratios})
                print(", ".join(f"{name} {value:.3g}" for name, value in rows[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
