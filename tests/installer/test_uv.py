# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching uv: with pip, without pip, from a registry that lies; and which uv is used."""

import hashlib
import http.server
import os
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from maquette.installer.environment import package_index
from maquette.installer.environment import uv as uv_tool
from maquette.installer.shared.errors import SetupError
from maquette.installer.shared.paths import Paths

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in of uv is a shell script")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's pip is not asked for its settings, which takes most of a second."""
    monkeypatch.setattr(package_index, "_ask_pip", lambda: "")


NAMES = [
    f"uv-{uv_tool.UV_VERSION}-py3-none-{tag}.whl"
    for tag in (
        "macosx_10_12_x86_64",
        "macosx_11_0_arm64",
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
        "musllinux_1_1_x86_64",
        "win_amd64",
        "win_arm64",
    )
] + ["uv-0.0.1-py3-none-win_amd64.whl", f"uv-{uv_tool.UV_VERSION}.tar.gz"]


@pytest.mark.parametrize(
    ("system", "machine", "libc", "index"),
    [
        ("darwin", "x86_64", "", 0),
        ("darwin", "arm64", "", 1),
        ("linux", "x86_64", "glibc", 2),
        ("linux", "aarch64", "glibc", 3),
        ("linux", "aarch64", "", 3),
        ("linux", "x86_64", "", 4),
        ("win32", "AMD64", "", 5),
        ("win32", "ARM64", "", 6),
    ],
)
def test_the_wheel_of_each_system(system: str, machine: str, libc: str, index: int) -> None:
    assert uv_tool.wheel_for_this_system(NAMES, system, machine, libc) == NAMES[index]


def test_a_system_without_a_wheel_is_named() -> None:
    with pytest.raises(SetupError, match=r"no uv .* for this system \(linux, sparc\)"):
        uv_tool.wheel_for_this_system(NAMES, "linux", "sparc", "glibc")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry that has a uv for this system, and a machine whose Python has no pip and no uv on PATH."""
    folder = tmp_path / "registry"
    name = uv_tool.wheel_for_this_system(NAMES)
    (folder / "simple" / "uv").mkdir(parents=True)
    (folder / "simple" / "uv" / "index.html").write_text(f'<a href="../../{name}#sha256=00">{name}</a>')
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr(f"uv-{uv_tool.UV_VERSION}.data/scripts/uv", f"#!/bin/sh\necho uv {uv_tool.UV_VERSION}\n")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # pyright: ignore[reportArgumentType]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/simple/")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(uv_tool, "pips", lambda: iter([["/no/such/pip"]]))
    monkeypatch.setattr(uv_tool.shutil, "which", lambda name: None)
    yield folder / name
    server.shutdown()
    server.server_close()


def lock(paths: Paths, wheel: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (paths.locks / "uv.txt").write_text(f"uv=={uv_tool.UV_VERSION} \\\n    --hash=sha256:{digest}\n")


def test_without_pip_it_comes_straight_from_the_registry(paths: Paths, registry: Path) -> None:
    lock(paths, registry)
    said: list[str] = []
    found = uv_tool.ensure(paths, said.append)
    assert found.path == uv_tool.fetched_path(paths) and found.path.exists()
    assert ".".join(map(str, found.version)) == uv_tool.UV_VERSION
    assert said == [f"fetching uv {uv_tool.UV_VERSION} (about 25 MB)"]
    registry.unlink()
    assert uv_tool.ensure(paths, said.append) == found


def test_without_pip_and_without_a_registry_it_says_what_to_install(
    paths: Paths, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match="neither uv nor pip on this machine") as error:
        uv_tool.ensure(paths, lambda line: None)
    assert "UV_DEFAULT_INDEX" in error.value.remedy


def test_the_pip_that_python_brings_needs_no_installation() -> None:
    (bundled, *_) = [pip for pip in package_index.pips() if "ensurepip" in pip[-1]]
    assert subprocess.check_output([*bundled, "--version"], text=True).startswith("pip ")


def test_a_file_with_another_hash_is_refused(paths: Paths, registry: Path) -> None:
    with pytest.raises(SetupError, match="differs from the one in the lock file"):
        uv_tool.ensure(paths, lambda line: None)
    assert not uv_tool.fetched_path(paths).exists()


def test_no_registry_is_one_sentence(paths: Paths, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    with pytest.raises(SetupError, match="The package registry cannot be reached"):
        uv_tool.ensure(paths, lambda line: None)


@pytest.mark.parametrize(("version", "good"), [("0.1.0", False), ("0.99.1", True), ("nonsense", False)])
def test_one_on_path_is_used_if_it_is_recent_enough(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, good: bool
) -> None:
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\necho uv {version}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = uv_tool.find(paths)
    assert (found is not None and found.path == program) == good


def test_nothing_in_the_users_settings_changes_what_a_lock_gives(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_TORCH_BACKEND", "cpu")
    monkeypatch.setenv("UV_CONSTRAINT", "x")
    monkeypatch.setenv("PYTHONPATH", "x")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "mine"))
    env = uv_tool.Uv(Path("uv"), (1, 0, 0), uv_tool._settings(paths)).environment()
    assert not {"UV_TORCH_BACKEND", "UV_CONSTRAINT", "PYTHONPATH"} & set(env)
    assert env["UV_CACHE_DIR"] == str(tmp_path / "mine")
    assert env["UV_PYTHON_INSTALL_DIR"] == str(paths.home / "python")
