# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, from photographs to a .blend, by the same operators that the panel's buttons call.

Run by `python3 -m installer demo`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

PACKAGES = ("bpy", "numpy", "torch", "opencv-python", "scipy", "safetensors", "pillow")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m installer demo", description="Photographs to a .blend file")
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder for what the demo makes")
    output: Path = parser.parse_args(arguments).output.resolve()
    log = output / "demo.log"
    try:
        output.mkdir(parents=True, exist_ok=True)
        with _logged(log) as terminal:
            paths = make(output, terminal)
    except (OSError, RuntimeError) as error:  # RuntimeError: what an operator reports to a script
        print(f"\nThe demo stopped: {str(error).strip()}\nBlender's messages are in {log}", file=sys.stderr, flush=True)
        return 1
    print("Made:", *paths, log, sep="\n  ", flush=True)
    return 0


@contextmanager
def _logged(log: Path) -> Iterator[TextIO]:
    """Everything that Blender and its renderer print goes into the log; the stream that this gives is the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    try:
        with log.open("wb") as file, open(saved[0], "w", encoding=sys.stdout.encoding, closefd=False) as terminal:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield terminal
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(saved, 1):
            os.dup2(copy, number)
            os.close(copy)


def make(output: Path, terminal: TextIO) -> list[Path]:
    """Everything, into the folder; returns the paths of what was made. terminal : where progress is shown."""
    import bpy
    from PIL import Image

    from .. import register
    from . import pictures, scenes, sheet

    blend, preview, movie, report = (output / name for name in ("demo.blend", "preview.png", "clip.mp4", "report.json"))
    seconds: dict[str, float] = {}
    part = partial(_part, seconds, terminal)
    scenes.start(blend)
    register()
    rows, found = [], {}
    for name in ("bus", "astronaut"):
        with part(f"Recover {name}"):
            photo = scenes.photo_scene(name)
        found[name] = photo.found
        with part(f"Render {name}"):
            rows.append(pictures.photo_row(photo))
    with part("Recover the clip"):
        clip = scenes.clip_scene()
    found["clip"] = clip.found
    with part("Render the clip"):
        pictures.clip_movie(clip, movie)
    with part("Save"):
        Image.fromarray(sheet.stack(rows)).save(preview)
        bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    report.write_text(json.dumps(_report(seconds, found), indent=2) + "\n", "utf-8")
    return [blend, preview, movie, report]


def _report(seconds: dict[str, float], found: dict[str, Any]) -> dict[str, Any]:
    return {
        "found": found,
        "seconds": {**seconds, "all": round(sum(seconds.values()), 2)},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
    }


@contextmanager
def _part(seconds: dict[str, float], terminal: TextIO, name: str) -> Iterator[None]:
    """Say what is being done, and keep how long it took."""
    print(f"{name} …", end=" ", file=terminal, flush=True)
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)
    print(f"{seconds[name]:.1f} s", file=terminal, flush=True)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # bpy 4.2 and 4.5 may crash while the interpreter takes itself apart
