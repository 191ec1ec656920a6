# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths for each test, with the committed lock files, and a reporter that writes into memory."""

import io
import shutil
from pathlib import Path

import pytest
from maquette.installer.environment import uv as uv_tool
from maquette.installer.environment.uv import Uv
from maquette.installer.shared.paths import Paths, default_paths
from maquette.installer.shared.reporting import Reporter

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tool() -> Uv:
    """The real uv. Found once: asking pip for its settings takes most of a second."""
    found = uv_tool.find(default_paths())
    if found is None:
        pytest.skip("uv is not here; `python3 -m installer test` brings it")
    return found


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Those of an empty checkout that holds the lock files, and of its folder of installed things."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "installer" / "locks", root / "installer" / "locks")
    home = root / ".maquette"
    home.mkdir()
    return Paths(root, home)


@pytest.fixture
def spoken() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(spoken: io.StringIO) -> Reporter:
    return Reporter(spoken)
