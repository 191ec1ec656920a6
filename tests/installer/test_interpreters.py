# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a Python: asked for its version, never believed by its name."""

import os
import sys
from pathlib import Path

import pytest
from maquette.installer.environment import interpreters
from maquette.installer.environment.uv import Uv
from maquette.installer.shared.errors import NoPython

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")

THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"


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
    return tmp_path


def test_the_python_that_runs_this_is_found(bare: Path) -> None:
    assert interpreters.find(THIS) == Path(sys.executable)


def test_a_shim_that_refuses_and_a_name_that_lies_are_passed_over(bare: Path) -> None:
    program(bare / "bin", "python3.99", "echo 'pyenv: python3.99: command not found' >&2; exit 127")
    program(bare / "bin", "python3", f'exec {sys.executable} "$@"')
    right = program(bare / "bin2", "python3.99", "echo 3.99 cpython 64 0 /some/python3.99")
    assert interpreters.find("3.99") is None
    os.environ["PATH"] += os.pathsep + str(right.parent)
    assert interpreters.find("3.99") == Path("/some/python3.99")


@pytest.mark.parametrize("answer", ["3.99 pypy 64 0 /x", "3.99 cpython 32 0 /x", "3.99 cpython 64 1 /x", "3.9 cpython"])
def test_another_implementation_width_or_thread_model_does_not_fit(bare: Path, answer: str) -> None:
    path = program(bare, "python", f"echo {answer}")
    assert interpreters.fits(str(path), "3.99") is None


def test_a_hanging_program_does_not_hang_the_search(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(bare, "python", "sleep 30")
    asked = interpreters.ask
    monkeypatch.setattr(interpreters, "ask", lambda command: asked(command, timeout=0.2))
    assert interpreters.fits(str(path), "3.99") is None


def test_pyenv_offers_its_newest_patch_release_first(bare: Path) -> None:
    for name in ("3.99.2", "3.99.10", "3.9.9", "3.99.3-debug", "3.99-dev"):
        program(bare / "pyenv" / "versions" / name / "bin", "python", "")
    names = [Path(found).parents[1].name for found in interpreters.pyenv_versions("3.99")]
    assert names == ["3.99.10", "3.99.2"]


def test_no_python_and_no_leave_to_download_is_one_sentence(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv(program(bare, "uv", "exit 2"), (9, 9, 9))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(NoPython) as error:
        interpreters.ensure("3.99", uv, lambda line: None)
    assert error.value.message == (
        "There is no Python 3.99 on this machine, and UV_PYTHON_DOWNLOADS forbids to download one."
    )
    assert error.value.remedy.startswith("Install Python 3.99 ")


def test_uv_is_asked_to_download_one_and_may_fail(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = bare / "log"
    uv = Uv(program(bare, "uv", f'echo "$@" >> {log}; exit 2'), (9, 9, 9))
    monkeypatch.delenv("UV_PYTHON_DOWNLOADS", raising=False)
    with pytest.raises(NoPython, match="none could be downloaded"):
        interpreters.ensure("3.99", uv, lambda line: None)
    assert "python install 3.99" in log.read_text()
