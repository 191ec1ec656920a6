# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a Python of the version that a Blender holds: on PATH, in pyenv, by the py launcher, by uv."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ..shared.errors import NoPython
from ..shared.processes import ask, stream
from .uv import Uv

#: Every candidate is asked what it is: a pyenv shim may refuse, a name may lie, a build may be free-threaded.
_QUESTION = (
    "import sys, sysconfig, struct;"
    "print('%d.%d' % sys.version_info[:2], sys.implementation.name, struct.calcsize('P') * 8,"
    " sysconfig.get_config_var('Py_GIL_DISABLED') or 0, sys.executable)"
)


def fits(program: str, version: str) -> Path | None:
    """The real path of an interpreter if it runs and is a 64-bit CPython of this version, else None."""
    answer = ask([program, "-c", _QUESTION])
    words = (answer or "").strip().split(" ", 4)
    if len(words) == 5 and words[:4] == [version, "cpython", "64", "0"] and words[4]:
        return Path(words[4])
    return None


def candidates(version: str) -> Iterator[str]:
    """Programs that may be this Python, the likeliest first."""
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        yield sys.executable
    suffix = ".exe" if os.name == "nt" else ""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for name in (f"python{version}", "python3", "python"):
            program = Path(folder, name + suffix)
            if folder and "WindowsApps" not in folder and os.access(program, os.X_OK):
                yield str(program)
    yield from pyenv_versions(version)
    launcher = shutil.which("py") if os.name == "nt" else None
    if launcher:
        found = ask([launcher, f"-{version}", "-c", "import sys; print(sys.executable)"])
        if found:
            yield found.strip()


def pyenv_versions(version: str) -> list[str]:
    """The interpreters of pyenv's `versions` folder, newest patch release first."""
    root = os.environ.get("PYENV_ROOT") or os.environ.get("PYENV") or str(Path.home() / ".pyenv")
    folder = Path(root, "versions")
    if not folder.is_dir():
        return []
    named = [
        entry
        for entry in folder.iterdir()
        if entry.name.startswith(f"{version}.") and entry.name[len(version) + 1 :].isdigit()
    ]
    named.sort(key=lambda entry: int(entry.name[len(version) + 1 :]), reverse=True)
    programs = [entry / ("python.exe" if os.name == "nt" else "bin/python") for entry in named]
    return [str(program) for program in programs if program.exists()]


def find(version: str) -> Path | None:
    """A Python of this version on this machine, without uv's help."""
    asked = set()
    for program in candidates(version):
        if program in asked:
            continue
        asked.add(program)
        found = fits(program, version)
        if found:
            return found
    return None


def ensure(version: str, uv: Uv, say: Callable[[str], None]) -> Path:
    """A Python of this version: found here, else known to uv, else downloaded by uv where that is allowed."""
    found = find(version)
    if found:
        return found
    command = [str(uv.path), "python", "find", version, "--no-project", "--no-python-downloads"]
    answer = ask(command, env=uv.environment())
    found = fits(answer.strip(), version) if answer else None
    if found:
        return found
    if os.environ.get("UV_PYTHON_DOWNLOADS", "automatic").lower() in ("never", "manual", "false"):
        raise _missing(version, "and UV_PYTHON_DOWNLOADS forbids to download one")
    say(f"no Python {version} here; asking uv to download one (about 30 MB)")
    command = [str(uv.path), "python", "install", version, "--no-bin", "--no-registry"]
    code, _ = stream(command, uv.environment({"UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "30"}), lambda line: None)
    answer = ask([str(uv.path), "python", "find", version, "--no-project", "--managed-python"], env=uv.environment())
    found = fits(answer.strip(), version) if code == 0 and answer else None
    if found is None:
        raise _missing(version, "and none could be downloaded")
    return found


def _missing(version: str, why: str) -> NoPython:
    return NoPython(
        f"There is no Python {version} on this machine, {why}.",
        f"Install Python {version} (from python.org, your system's packages or pyenv) and run the same command again.",
    )
