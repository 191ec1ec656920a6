# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a Python of the version that a Blender holds, by uv: on PATH, in Windows' registry, among the Pythons that uv
has downloaded. pyenv's versions are shown to uv by us."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from ..shared.errors import NoPython
from ..shared.processes import ask, stream
from .uv import Uv

#: Seconds that uv may take to look at every Python of the machine.
PATIENCE = 60.0


def find(version: str, uv: Uv) -> Path | None:
    """A 64-bit CPython of this version ("3.11") on this machine, the newest patch release first."""
    command = [str(uv.path), "python", "list", f"cpython-{version}", "--only-installed", "--output-format", "json"]
    answer = ask(command, PATIENCE, uv.environment({"PATH": _search_path(version)}))
    for entry in json.loads(answer or "[]"):
        if entry["variant"] == "default" and entry["arch"] in ("x86_64", "aarch64"):
            return Path(entry["path"])
    return None


def _search_path(version: str) -> str:
    """PATH, with this Python and pyenv's versions before it. pyenv's shims are left out: a shim refuses where pyenv is
    set to another version, and uv would give up there."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.environ.get("PYENV") or Path.home() / ".pyenv")
    found = [path for path in (pyenv / "versions").glob(f"{version}.*") if re.fullmatch(r"\d+(\.\d+)+", path.name)]
    folders = [path if os.name == "nt" else path / "bin" for path in found]
    if "{}.{}".format(*sys.version_info) == version:
        folders.insert(0, Path(getattr(sys, "_base_executable", sys.executable)).parent)
    given = [name for name in os.environ.get("PATH", "").split(os.pathsep) if Path(name) != pyenv / "shims"]
    return os.pathsep.join([*map(str, folders), *given])


def ensure(version: str, uv: Uv, say: Callable[[str], None]) -> Path:
    """A Python of this version: one that is here, else downloaded by uv where UV_PYTHON_DOWNLOADS allows it."""
    found = find(version, uv)
    if found:
        return found
    if os.environ.get("UV_PYTHON_DOWNLOADS", "automatic").lower() in ("never", "manual", "false"):
        raise _missing(version, "and UV_PYTHON_DOWNLOADS forbids downloading one")
    say(f"no Python {version} on this machine: uv tries to download one (about 30 MB)")
    command = [str(uv.path), "python", "install", version, "--no-bin", "--no-registry"]
    code, _ = stream(command, uv.environment({"UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "30"}), lambda line: None)
    found = find(version, uv) if code == 0 else None
    if found is None:
        raise _missing(version, "and none could be downloaded")
    return found


def _missing(version: str, why: str) -> NoPython:
    return NoPython(
        f"There is no Python {version} on this machine, {why}.",
        f"Install Python {version} (from python.org, your system's packages or pyenv) and run the same command again.",
    )
