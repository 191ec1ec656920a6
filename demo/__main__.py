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
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("bpy", "numpy", "torch", "opencv-python", "scipy", "safetensors", "pillow")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m installer demo", description="Photographs to a .blend file")
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder for what the demo makes")
    output: Path = parser.parse_args(arguments).output.resolve()
    try:
        output.mkdir(parents=True, exist_ok=True)
        paths = make(output)
    except (OSError, RuntimeError) as error:  # RuntimeError: what an operator reports to a script
        print(f"The demo stopped: {str(error).strip()}", file=sys.stderr, flush=True)
        return 1
    print("Made:", *paths, sep="\n  ", flush=True)
    return 0


def make(output: Path) -> list[Path]:
    """Everything, into the folder; returns the paths of what was made."""
    import bpy
    from PIL import Image

    from .. import register
    from . import pictures, scenes, sheet

    blend, preview, movie, report = (output / name for name in ("demo.blend", "preview.png", "clip.mp4", "report.json"))
    seconds: dict[str, float] = {}
    scenes.start(blend)
    register()
    rows, found = [], {}
    for name in ("bus", "astronaut"):
        with _part(f"Recover {name}", seconds):
            photo = scenes.photo_scene(name)
        found[name] = photo.found
        with _part(f"Render {name}", seconds):
            rows.append(pictures.photo_row(photo))
    with _part("Recover the clip", seconds):
        clip = scenes.clip_scene()
    found["clip"] = clip.found
    with _part("Render the clip", seconds):
        pictures.clip_movie(clip, movie)
    with _part("Save", seconds):
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
def _part(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Say what is being done, and keep how long it took."""
    print(f"{name} …", end=" ", flush=True)
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)
    print(f"{seconds[name]:.1f} s", flush=True)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # bpy 4.2 and 4.5 may crash while the interpreter takes itself apart
