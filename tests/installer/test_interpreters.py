# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a Python by uv: shims, names that lie, other builds, pyenv, and downloads that fail."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from maquette.installer.environment import interpreters
from maquette.installer.environment.uv import Uv
from maquette.installer.shared.errors import NoPython

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")

THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"
REAL = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Python but the one that asks."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "managed"))
    return tmp_path


@pytest.fixture
def uv(bare: Path, tool: Uv) -> Uv:
    """The real uv, with the folders of this machine."""
    return replace(tool, settings={name: value for name, value in tool.settings.items() if name not in os.environ})


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python that asks is of another version, and has to be found like any other."""
    monkeypatch.setattr(interpreters.sys, "version_info", (3, 99, 0))


def listing(bare: Path, *entries: dict[str, str]) -> Uv:
    """A stand-in for uv that knows these Pythons."""
    usual = {"variant": "default", "arch": "x86_64", "implementation": "cpython"}
    answer = json.dumps([usual | entry for entry in entries])
    return Uv(program(bare, "uv", f"echo '{answer}'"), (9, 9, 9))


def test_the_python_that_runs_this_is_found(uv: Uv) -> None:
    found = interpreters.find(THIS, uv)
    assert found is not None and os.path.realpath(found) == REAL


def test_a_shim_that_refuses_and_a_name_that_lies_are_passed_over(bare: Path, uv: Uv, elsewhere: None) -> None:
    refusing = f"echo 'pyenv: python{THIS}: command not found' >&2; exit 127"
    program(bare / "pyenv" / "shims", f"python{THIS}", refusing)
    os.environ["PATH"] = os.pathsep.join([str(bare / "pyenv" / "shims"), str(bare / "bin")])
    program(bare / "bin", "python3.99", f'exec {REAL} "$@"')
    assert interpreters.find("3.99", uv) is None
    (bare / "bin2").mkdir()
    (bare / "bin2" / f"python{THIS}").symlink_to(REAL)
    assert interpreters.find(THIS, uv) is None
    os.environ["PATH"] += os.pathsep + str(bare / "bin2")
    found = interpreters.find(THIS, uv)
    assert found is not None and os.path.realpath(found) == REAL


def test_pyenvs_own_is_found_behind_a_shim_that_refuses(bare: Path, uv: Uv, elsewhere: None) -> None:
    program(bare / "pyenv" / "shims", f"python{THIS}", "exit 127")
    os.environ["PATH"] = str(bare / "pyenv" / "shims")
    folder = bare / "pyenv" / "versions" / "{}.{}.{}".format(*sys.implementation.version) / "bin"
    folder.mkdir(parents=True)
    (folder / f"python{THIS}").symlink_to(REAL)
    assert interpreters.find(THIS, uv) == folder / f"python{THIS}"


@pytest.mark.parametrize("other", [{"arch": "x86"}, {"variant": "freethreaded"}, {"variant": "debug"}])
def test_another_width_or_thread_model_does_not_fit(bare: Path, other: dict[str, str]) -> None:
    assert interpreters.find("3.99", listing(bare, {"path": "/x", **other})) is None
    assert interpreters.find("3.99", listing(bare, {"path": "/x", **other}, {"path": "/y"})) == Path("/y")


def test_another_implementation_does_not_fit(bare: Path, uv: Uv, elsewhere: None) -> None:
    pretending = 'sed -e \'s/"implementation_name": "cpython"/"implementation_name": "pypy"/\''
    program(bare / "bin", f"python{THIS}", f'{REAL} "$@" | /usr/bin/env PATH=/usr/bin:/bin {pretending}')
    assert interpreters.find(THIS, uv) is None


def test_a_hanging_search_is_given_up(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "PATIENCE", 0.2)
    assert interpreters.find("3.99", Uv(program(bare, "uv", "sleep 30"), (9, 9, 9))) is None


def test_only_released_versions_of_pyenv_are_shown_to_uv(bare: Path) -> None:
    for name in ("3.99.2", "3.99.10", "3.9.9", "3.99.3-debug", "3.99-dev"):
        program(bare / "pyenv" / "versions" / name / "bin", "python", "")
    names = {Path(folder).parent.name for folder in interpreters._search_path("3.99").split(os.pathsep)[:-1]}
    assert names == {"3.99.10", "3.99.2"}


def test_no_python_and_no_leave_to_download_is_one_sentence(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv(program(bare, "uv", "exit 2"), (9, 9, 9))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(NoPython) as error:
        interpreters.ensure("3.99", uv, lambda line: None)
    assert error.value.message == (
        "There is no Python 3.99 on this machine, and UV_PYTHON_DOWNLOADS forbids downloading one."
    )
    assert error.value.remedy.startswith("Install Python 3.99 ")


def test_uv_is_asked_to_download_one_and_may_fail(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = bare / "log"
    uv = Uv(program(bare, "uv", f'echo "$@" >> {log}; exit 2'), (9, 9, 9))
    monkeypatch.delenv("UV_PYTHON_DOWNLOADS", raising=False)
    with pytest.raises(NoPython, match="none could be downloaded"):
        interpreters.ensure("3.99", uv, lambda line: None)
    assert "python install 3.99" in log.read_text()
