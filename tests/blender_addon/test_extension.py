# SPDX-License-Identifier: GPL-3.0-or-later
"""The built extension: installed by Blender's own operator into a user folder of its own, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import bpy
import maquette
import pytest
from maquette.demo.samples import sample_photo

ROOT = Path(maquette.__file__).parent

#: Runs in a fresh process whose user folder is empty. The project must not be importable but as the extension.
SESSION = """
import json, os, sys, time
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")
                    and "editable" not in getattr(finder, "__name__", "").lower()]
sys.path[:] = [entry for entry in sys.path if "__editable__" not in entry and entry != ""]
archive, photo = sys.argv[1:]
import bpy
bpy.ops.wm.read_factory_settings()
seen = {}
for repo in bpy.context.preferences.extensions.repos:
    seen.setdefault("repos", []).append(repo.module)
bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
name = "bl_ext.user_default.maquette"
seen["enabled"] = name in bpy.context.preferences.addons
seen["file"] = sys.modules[name].__file__
seen["light"] = not {"torch", "cv2"} & set(sys.modules)
seen["preferences"] = bpy.context.preferences.addons[name].preferences.device
try:
    import maquette
    seen["plain"] = maquette.__file__
except ImportError:
    seen["plain"] = None
bpy.ops.maquette.estimate_depth(filepath=photo, model="relief", mesh_resolution=32)
seen["objects"] = [obj.name for obj in bpy.data.objects if obj.name.endswith(".grid")]
bpy.ops.preferences.addon_disable(module=name)
seen["disabled"] = not hasattr(bpy.types.Scene, "maquette") and not hasattr(bpy.types, "MAQUETTE_OT_estimate_depth")
bpy.ops.preferences.addon_enable(module=name)
bpy.ops.maquette.estimate_depth(filepath=photo, model="relief", output="IMAGE")
seen["again"] = sum(image.name.endswith(".depth") or ".depth." in image.name for image in bpy.data.images)
import addon_utils
warnings = getattr(addon_utils, "_extensions_warnings_get", lambda: {})()
seen["warnings"] = {key: list(value) for key, value in warnings.items() if "maquette" in key}
print("SEEN" + json.dumps(seen))
sys.stdout.flush()
os._exit(0)
"""


def builder() -> str:
    """Blender's own program that builds and checks extensions."""
    scripts = Path(bpy.utils.resource_path("LOCAL"), "scripts")
    (program,) = scripts.glob("addons_core/bl_pkg/cli/blender_ext.py")
    return str(program)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("extension") / "maquette.zip"
    subprocess.run(
        [sys.executable, builder(), "build", "--source-dir", str(ROOT), "--output-filepath", str(path)],
        capture_output=True,
        timeout=200,
        check=True,
    )
    return path


def test_the_archive_holds_what_blender_needs_and_no_more(archive) -> None:
    import zipfile

    with zipfile.ZipFile(archive) as content:
        names = set(content.namelist())
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "blender_addon/cli/__init__.py"} <= names
    assert {"blender_addon/sample/astronaut.jpg", "inference/farm/maquette.js"} <= names  # the latter for Flamenco
    assert "inference/shipped/assets/pose_landmark.npz" in names and "installer/models/catalogue.toml" in names
    unwanted = (
        "tests/",
        "benchmarks/",
        "docs/",
        "demo/",
        "tools/",
        "shared/",
        ".git",
        ".maquette",
        "out/",
        "CONTRIB",
        "setup",
    )
    assert not [name for name in names if name.startswith(unwanted) or "__pycache__" in name]
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("blender_addon/**/*.py")}
    assert modules <= names


def test_installed_enabled_used_disabled_and_enabled_again(archive, tmp_path) -> None:
    from PIL import Image

    photo = tmp_path / "bricks.png"
    with Image.open(sample_photo("brick")) as bricks:
        bricks.crop((0, 0, 96, 64)).save(photo)
    script = tmp_path / "session.py"
    script.write_text(SESSION, "utf-8")
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user")}
    done = subprocess.run(
        [sys.executable, str(script), str(archive), str(photo)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SEEN")] or [done.stdout + done.stderr]
    seen = json.loads(line.removeprefix("SEEN"))
    assert seen["enabled"] and seen["light"] and seen["preferences"] == "AUTO"
    assert Path(seen["file"]).is_relative_to(tmp_path / "user") and seen["plain"] is None
    assert seen["objects"] == ["bricks.grid"] and seen["disabled"] and seen["again"] == 2
    assert not any(seen["warnings"].values()), "nothing that Blender calls a violation of its policy"


def test_a_repository_for_blenders_own_updates_lists_the_archive(archive, tmp_path, monkeypatch) -> None:
    from types import SimpleNamespace

    from maquette.installer.cli import extension

    main = SimpleNamespace(
        python=sys.executable,
        packages=Path(builder()).parents[6],
        variables=lambda: dict(os.environ),
        blender=SimpleNamespace(version="here"),
    )
    monkeypatch.setattr(extension.environments, "ensure", lambda *_: main)
    folder = extension.build_repository(SimpleNamespace(out=tmp_path), None, archive)
    listed = json.loads((folder / "index.json").read_text("utf-8"))["data"]
    assert [(entry["id"], entry["archive_url"]) for entry in listed] == [("maquette", "./maquette.zip")]
    assert all(entry["archive_hash"].startswith("sha256:") for entry in listed) and (folder / "index.html").exists()
