# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages for an installed Blender: in the user's data, whole or not there, never Blender's own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from maquette.installer import packages
from maquette.installer import uv as uv_tool
from maquette.installer.errors import SetupError
from maquette.installer.place import Place, default_place

sys.path.insert(0, str(Path(__file__).parent))
from mini_registry import PYTHON, Registry, make_checkout

INSTALLER = Path(packages.__file__).parent


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A small registry, an extension whose locks ask for it, and an empty folder of user data."""
    tool = uv_tool.find(default_place())
    if tool is None:
        pytest.skip("uv is not here; `python3 -m installer test` brings it")
    files = tmp_path / "files"
    files.mkdir()
    served = Registry(files)
    root, data = tmp_path / "extension", tmp_path / "user data"
    make_checkout(root, INSTALLER, served)
    monkeypatch.setattr(packages, "place", lambda: Place(root, data))
    monkeypatch.setattr(packages.store, "user_data", lambda: data)
    monkeypatch.setenv("PATH", str(tool.path.parent), prepend=os.pathsep)
    monkeypatch.setenv("UV_DEFAULT_INDEX", served.index)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_TORCH_BACKEND", "registry")
    yield served
    served.close()


def test_they_are_installed_once_and_without_what_is_blenders(registry: Registry) -> None:
    assert packages.packages_folder(PYTHON) is None
    said: list[str] = []
    folder = packages.install(sys.executable, said.append)
    assert packages.packages_folder(PYTHON) == folder
    assert folder.name.startswith(f"cp{PYTHON.replace('.', '')}-")
    present = {path.name for path in folder.iterdir()}
    assert {"torch", "cv2", "scipy", "PIL", "safetensors"} <= present
    assert not present & {"numpy", "bpy", "pytest"}
    assert "5 packages to install" in said
    registry.requests.clear()
    assert packages.install(sys.executable, said.append) == folder
    assert not registry.requests


def test_blenders_own_wins_over_the_folder(registry: Registry) -> None:
    folder = packages.install(sys.executable, lambda line: None)
    (folder / "json.py").write_text("raise ImportError('shadowed')")
    code = (
        "import sys, importlib; sys.path[:] = [p for p in sys.path if 'site-packages' not in p];"
        f"sys.path.insert(0, {str(INSTALLER.parent)!r});"
        "from installer import packages;"
        f"packages.packages_folder = lambda version: __import__('pathlib').Path({str(folder)!r});"
        "assert packages.activate() and packages.activate();"
        f"assert sys.path.count({str(folder)!r}) == 1;"
        "sys.modules.pop('json'); import json, torch; print(torch.__file__)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(folder / "torch" / "__init__.py")


def test_a_torch_that_is_there_already_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: object())
    monkeypatch.setattr(packages, "packages_folder", lambda version: pytest.fail("it looked for another torch"))
    assert packages.activate()


def test_a_stopped_one_leaves_nothing(registry: Registry) -> None:
    registry.delay = 5.0
    with pytest.raises(packages.Stopped):
        packages.install(sys.executable, lambda line: None, should_cancel=lambda: bool(registry.downloads()))
    data = packages.store.user_data() / "packages"
    assert [path.name for path in data.iterdir()] == ["install.lock"]
    registry.delay = 0.0
    assert packages.install(sys.executable, lambda line: None).exists()


def test_what_a_killed_one_left_is_removed(registry: Registry) -> None:
    left = packages.store.user_data() / "packages" / ".building-x"
    left.mkdir(parents=True)
    (left / "torch").touch()
    folder = packages.install(sys.executable, lambda line: None)
    assert not left.exists() and folder.exists()


def test_a_registry_that_slips_numpy_in_is_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = packages.lock_file(packages.place().locks, PYTHON)
    text = lock.read_text()
    (hash_,) = packages.place().locks.joinpath("blenders.json").read_text().split('"numpy": ["')[1].split('"')[:1]
    lock.write_text(text + f"numpy==1.26.4 \\\n    --hash={hash_}\n    # via -r locks/core.in\n")
    monkeypatch.setattr(packages, "select", lambda pins, groups, without: pins)
    with pytest.raises(SetupError, match="bring numpy, which belongs to Blender"):
        packages.install(sys.executable, lambda line: None)
    assert packages.packages_folder(PYTHON) is None


def test_a_python_of_another_age_is_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "ask", lambda command: "3.7\n")
    with pytest.raises(SetupError, match=r"no packages for Python 3\.7"):
        packages.install("python3.7", lambda line: None)


def test_a_program_that_is_no_python_is_refused() -> None:
    with pytest.raises(SetupError, match="does not run"):
        packages.install("/nowhere/python", lambda line: None)
