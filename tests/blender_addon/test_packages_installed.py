# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages for real: installed into a Blender that has nothing but its own numpy, used there, upgraded, removed.

The files come from the cache that this environment was built from, linked and not copied, where it still is there;
otherwise from the registry. The oldest and the newest Blender stand for both Pythons. Daily it is the core alone, on
the Blender with the oldest numpy.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette.installer.environment import interpreters
from maquette.installer.environment import uv as uv_tool
from maquette.installer.environment.lock_files import BPY, blender, blenders, select
from maquette.installer.packages import folders, manager, status, wheel_records
from maquette.installer.packages.features import CORE, locked, offered, this_python
from maquette.installer.packages.sources import Sources
from maquette.installer.shared.paths import default_paths

ROOT = Path(manager.__file__).parents[2]
VERSION = ".".join(map(str, bpy.app.version[:2]))

pytestmark = [
    pytest.mark.skipif(VERSION not in ("4.2", "5.2"), reason="the oldest and the newest Blender stand for both"),
    pytest.mark.skipif(VERSION not in blenders(default_paths().locks), reason="no environment of this Blender"),
    *([] if VERSION == "4.2" else [pytest.mark.full]),
]

#: What an installed Blender does with the extension; the tree is loaded under its own name.
IN_BLENDER = f"""
import importlib.util, json, os, sys
import bpy, numpy
before = numpy.__version__, numpy.__file__
spec = importlib.util.spec_from_file_location(
    "maquette", {str(ROOT / "__init__.py")!r}, submodule_search_locations=[{str(ROOT)!r}])
sys.modules["maquette"] = maquette = importlib.util.module_from_spec(spec)
spec.loader.exec_module(maquette)
maquette.register()
from maquette.installer.packages import folders as package_folders, manager as packages, status as package_status
def show(**result):
    assert (numpy.__version__, numpy.__file__) == before
    print("RESULT" + json.dumps(result), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a Blender as it is delivered: bpy, numpy, and what Blender brings besides."""
    tool = uv_tool.find(default_paths())
    assert tool is not None, "`python3 -m installer test` brings uv"
    entry = blender(default_paths().locks, VERSION)
    folder = tmp_path_factory.mktemp("blender") / "python"
    base = interpreters.find(entry.python, tool) or sys.executable
    requirements = folder.parent / "requirements.txt"
    pins = select(locked(default_paths().locks, entry.python), [BPY])
    requirements.write_text(entry.requirements() + "".join(pin.requirement() for pin in pins))
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    env = tool.environment()
    subprocess.run([str(tool.path), "venv", "-q", "--no-project", "-p", str(base), str(folder)], check=True, env=env)
    install = [str(tool.path), "pip", "install", "-q", "--python", str(python), "--no-deps", "--require-hashes"]
    subprocess.run([*install, "-r", str(requirements)], check=True, env=env)
    return python


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("user data") / "packages, größer"
    folders.set_packages_root(folder)
    yield folder
    folders.set_packages_root(None)


@pytest.fixture(scope="module")
def core(bare: Path, root: Path) -> folders.Folder:
    """The core, installed."""
    environment = Path(os.environ.get("MAQUETTE_ENVIRONMENT", "nowhere"), "maquette-environment.json")
    build = json.loads(environment.read_text())["torch_build"] if environment.exists() else "registry"
    manager.install(str(bare), [CORE], manager.InstallCallbacks(print), default_paths(), Sources(accelerator=build))
    folder = folders.finished(this_python(), CORE)
    assert folder is not None
    return folder


def in_blender(bare: Path, root: Path, code: str) -> dict:
    """What a program shows in that Blender, started now."""
    env = {**os.environ, "MAQUETTE_PACKAGES": str(root), "PYTHONNOUSERSITE": "1"}
    for name in ("PYTHONPATH", "MAQUETTE_ENVIRONMENT"):
        env.pop(name, None)
    done = subprocess.run(
        [str(bare), "-c", IN_BLENDER + code], env=env, capture_output=True, text=True, cwd=root.parent, timeout=600
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[-1][len("RESULT") :])


def test_a_blender_without_packages_says_so(bare: Path, root: Path) -> None:
    found = in_blender(
        bare,
        root,
        "from maquette.inference.runtime.device import MissingPackages, require_torch\n"
        "try: require_torch()\n"
        "except MissingPackages as error: show(error=error.message, operator=error.operator,"
        " arguments=error.arguments, state=package_status.of_process().state)\n",
    )
    assert found["state"] == "not installed"
    assert found["error"] == "The Python package torch is not installed for this Python."
    assert (found["operator"], found["arguments"]) == ("maquette.install_packages", {"features": "core"})


def test_the_core_is_installed_and_proved(core: folders.Folder) -> None:
    assert core.proof["numpy"]["untouched"] and core.proof["numpy"]["version"] == np.__version__
    assert core.proof["errors"] == [] and "cpu" in core.proof["devices"]
    assert {"torch", "torchvision", "timm", "opencv-python", "scipy"} <= set(core.packages)
    assert not {"numpy", "requests", "certifi", "urllib3", "diffusers", "ultralytics"} & set(core.packages)
    assert status.of_folders(this_python()).state == status.READY


def test_a_task_runs_with_them(bare: Path, root: Path, core: folders.Folder) -> None:
    found = in_blender(
        bare,
        root,
        "import torch\n"
        "from maquette.inference import recover_people, refine_hands\n"
        "grey = numpy.full((64, 96, 3), 128, numpy.uint8)\n"
        "people, hands = recover_people(grey), refine_hands(grey)\n"
        "show(state=package_status.of_process().state, torch=torch.__file__, size=list(hands.depth.shape))\n",
    )
    assert found["size"] == [64, 96]
    assert found["state"] == "ready" and found["torch"].startswith(str(core.path))


@pytest.mark.full
def test_a_group_is_missed_by_name_and_added(bare: Path, root: Path, core: folders.Folder) -> None:
    code = (
        "from maquette.inference.runtime.device import missing_package\n"
        "try: import ultralytics\n"
        "except ImportError as error:\n"
        "    missed = missing_package(error.name, error)\n"
        "    show(arguments=missed.arguments, remedy=missed.remedy)\n"
        "show(file=ultralytics.__file__)\n"
    )
    missed = in_blender(bare, root, code)
    assert missed["arguments"] == {"features": "people"} and "--features people" in missed["remedy"]
    # All of them against the oldest numpy; trying each takes as long as importing it.
    groups = offered(default_paths().locks, this_python()) if VERSION == "4.2" else ["people"]
    manager.install(str(bare), groups, manager.InstallCallbacks(print), default_paths())
    assert "-people-" in in_blender(bare, root, code)["file"]
    for feature in groups:
        group = status.of_folders(this_python()).group(feature)
        assert group is not None and group.state == status.READY and not group.proof["errors"], group


@pytest.mark.full
def test_what_is_damaged_is_found_by_its_content(bare: Path, root: Path, core: folders.Folder) -> None:
    """A file of the group that was added above is replaced, not written to: it has other names, the cache's too."""
    people = folders.finished(this_python(), "people")
    assert people is not None and wheel_records.damaged(people.path) == []
    file = people.path / "ultralytics" / "__init__.py"
    text = file.read_text("utf-8")
    file.unlink()
    file.write_text(text.replace("_", "-"), "utf-8")
    assert wheel_records.damaged(people.path) == ["ultralytics"]


def test_an_upgrade_keeps_what_has_not_changed(
    bare: Path, root: Path, core: folders.Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(folders, "FORMAT", folders.FORMAT + 1)
        assert status.of_folders(this_python()).state == status.OUTDATED
        said: list[str] = []
        manager.install(str(bare), [CORE], manager.InstallCallbacks(said.append), default_paths())
        new = folders.finished(this_python(), CORE)
        assert new is not None and new.path != core.path
        assert not any("downloaded" in line for line in said), "everything was there already"
        library = next(core.path.glob("torch/lib/*torch_cpu*"))
        assert (new.path / library.relative_to(core.path)).samefile(library)
        assert core.path.name in folders.tidy()
        assert not core.path.exists() and new.path.exists()


def test_removing_gives_everything_back(
    bare: Path, root: Path, core: folders.Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager.store, "user_data", lambda: tmp_path)  # uv and its cache there may be the user's
    assert manager.remove().later == 0
    assert [path.name for path in root.iterdir()] == ["install.lock"]
    assert in_blender(bare, root, "show(state=package_status.of_process().state)")["state"] == "not installed"
