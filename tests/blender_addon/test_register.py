# SPDX-License-Identifier: GPL-3.0-or-later
"""Registering: light, complete, and undone without a trace."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import bpy
import maquette

LIGHT = """
import os, sys
import bpy
before = set(sys.modules)
import maquette
maquette.register()
brought = sorted({name.split(".")[0] for name in set(sys.modules) - before})
heavy = {"torch", "cv2", "PIL", "scipy", "numpy", "safetensors", "ssl", "http", "email", "argparse", "shutil"}
print(*[name for name in brought if name in heavy])
parts = [name.split(".")[2:] for name in sys.modules if name.startswith("maquette.inference.")]
print(*[name for name, *_ in parts if name not in {"errors", "options", "rigs"}])
from maquette.blender_addon import tasks
tasks.prepare()
print(*[name for name in ("torch", "cv2", "PIL") if name in sys.modules])
sys.stdout.flush()
os._exit(0)
"""


def ours() -> set[str]:
    """Whatever of this add-on Blender knows: classes, properties, handlers, timers, threads, keymaps."""
    found = {name for name in dir(bpy.types) if "MAQUETTE" in name}
    found |= set(dir(bpy.ops.maquette))
    found |= {"Scene.maquette"} if hasattr(bpy.types.Scene, "maquette") else set()
    for kind in dir(bpy.app.handlers):
        handlers = getattr(bpy.app.handlers, kind)
        if isinstance(handlers, list):
            found |= {f"{kind} {handler.__name__}" for handler in handlers if "maquette" in handler.__module__}
    return found | {thread.name for thread in threading.enumerate() if thread.name == "maquette"}


def test_registering_brings_in_no_heavy_package() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=120, check=True)
    heavy, inference, prepared = done.stdout.splitlines()[-3:]
    assert heavy == "" and inference == "", "torch and numpy wait for a job, the network for a download"
    assert prepared == "", "the builders run before packages are installed, and torch starts with few threads"


def test_on_off_and_on_again() -> None:
    assert ours() == set()
    for _ in range(2):
        maquette.register()
        registered = ours()
        assert {"Scene.maquette", "MAQUETTE_OT_recover_people", "load_pre stop_jobs"} <= registered
        assert bpy.context.scene.maquette.depth.model == "auto"
        maquette.unregister()
        assert ours() == set()


def test_nothing_is_collected_while_it_registers_and_the_collector_is_as_it_was(monkeypatch) -> None:
    """A full collection, through all of Blender's own objects, takes as long as the whole registration."""
    from maquette import blender_addon

    paused: list[bool] = []
    usual = blender_addon._register
    monkeypatch.setattr(blender_addon, "_register", lambda: (paused.append(not gc.isenabled()), usual()))
    for collecting in (True, False):
        (gc.enable if collecting else gc.disable)()
        try:
            maquette.register()
            assert gc.isenabled() == collecting
        finally:
            gc.enable()
            maquette.unregister()
    assert paused == [True, True]


def test_settings_are_kept_in_the_file(reopened) -> None:
    maquette.register()
    try:
        bpy.context.scene.maquette.hands.mask_expand = -7
        reopened()
        assert bpy.context.scene.maquette.hands.mask_expand == -7
    finally:
        maquette.unregister()
