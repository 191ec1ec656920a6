# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `blender --command maquette people --photo FILES|FOLDERS --output FILE.blend|FOLDER`.

In the `bpy` module the same is `python -m maquette.blender_addon.cli people --photo ...`. Files of arrays (.npz, .exr,
.png) are those of `python -m maquette.inference`, with its options. For .blend, .fbx, .glb, .usd, .bvh and .abc every
property of the task's operator is an option (`--mask-type`, `--mesh-resolution` ...); what to make of a depth or normal
map is `--build`. Float images and caches are written to `maquette` beside the output, or to `--folder`.
`retarget` and `export` take files of motion and .blend files. Exit codes are those of `maquette.inference`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

_handle: Any = None


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    from ...inference.__main__ import main as arrays
    from ...inference.pipeline import arguments as files
    from ...inference.pipeline.reports import Progress, told
    from . import build
    from . import options as asked

    try:
        if asked.for_arrays(arguments):
            return arrays(arguments)
        options = asked.parser().parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    progress = Progress(files.kind_of(options))
    return told(lambda: build.run(options, progress), progress, options.allow_nothing)


def command(arguments: list[str]) -> int:
    """`main`, with stdout for what it tells: what Blender itself prints goes to stderr."""
    with _own_stdout():
        return main(arguments)


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command("maquette", command)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_handle)


@contextmanager
def _own_stdout() -> Iterator[None]:
    sys.stdout.flush()
    shown, before = os.dup(1), sys.stdout
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(shown), "w", encoding="utf-8", errors="replace") as sys.stdout:
            yield
    finally:
        sys.stdout = before
        os.dup2(shown, 1)
        os.close(shown)
