# SPDX-License-Identifier: GPL-3.0-or-later
"""The run-time packages for an installed Blender, in a folder of the user's data, taken up with `activate()`.

A folder belongs to one Python and one lock file, is built under another name and gets its own name when it is whole,
and is never changed after that. numpy, requests and their like are Blender's own and never lie in it.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, List, Optional

from . import store, torch_build
from . import uv as uv_tool
from .errors import SetupError, explain
from .filelock import held
from .locks import BLENDERS_OWN, CORE, digest, lock_file, normalised, read_lock, select
from .place import Place, require_space
from .processes import ask, stream
from .voice import DownloadProgress

#: Raised when the way in which these folders are built changes.
FORMAT = 1

STAMP = "maquette-packages.json"


class Stopped(Exception):
    """The installation was stopped by `should_cancel`; nothing half-done is left."""


def place() -> Place:
    """This extension, and where uv and its cache lie for an installed Blender: the user's data folder."""
    return Place(Path(__file__).resolve().parent.parent, store.user_data())


def _target(python_version: str) -> Path:
    """The folder that belongs to this Python ("3.11") and to the lock file as it is."""
    path = lock_file(place().locks, python_version)
    if not path.exists():
        raise SetupError(
            f"There are no packages for Python {python_version}.",
            "Use Blender 4.2 to 5.0 (3.11) or 5.1 and later (3.13).",
        )
    name = f"cp{python_version.replace('.', '')}-{digest(FORMAT, path.read_text('utf-8'))}"
    return store.user_data() / "packages" / name


def packages_folder(python_version: str) -> Optional[Path]:
    """The finished folder for a Python ("3.11"), or None when it is not installed."""
    try:
        folder = _target(python_version)
    except SetupError:
        return None
    return folder if (folder / STAMP).exists() else None


def activate() -> bool:
    """Make torch and the others importable in this process; True when they are.

    The folder goes to the end of sys.path: what Blender brings itself always wins. A torch that is importable already
    (another environment, another add-on) is used as it is.
    """
    if find_spec("torch") is not None:
        return True
    folder = packages_folder("%d.%d" % sys.version_info[:2])
    if folder is None:
        return False
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return find_spec("torch") is not None


def install(
    python_executable: str,
    on_line: Callable[[str], None],
    should_cancel: Callable[[], bool] = lambda: False,
    tools: Optional[Place] = None,
) -> Path:
    """Install the run-time packages for the Blender whose Python this is; returns the folder.

    Blocks: call it from a thread. `on_line` gets each line of progress; `should_cancel` is asked twice a second, and
    Stopped is raised when it says yes. `tools` is where uv and its cache lie; the user's data folder when None.
    Raises SetupError with a remedy.
    """
    version = (ask([python_executable, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]) or "").strip()
    if not version:
        raise SetupError(f"{python_executable} does not run.", "Give the path of Blender's Python program.")
    target = _target(version)
    if (target / STAMP).exists():
        on_line(f"The packages for Python {version} are installed already.")
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with held(target.parent / "install.lock", on_line):
            if not (target / STAMP).exists():
                tool = uv_tool.ensure(tools or place(), on_line)
                _install(tool, python_executable, version, target, on_line, should_cancel)
    except OSError as error:
        raise explain(f"{error} os error {error.errno}", "Installing the packages") from error
    return target


def _install(
    tool: uv_tool.Uv,
    python: str,
    version: str,
    target: Path,
    on_line: Callable[[str], None],
    should_cancel: Callable[[], bool],
) -> None:
    for left in target.parent.glob(".building-*"):  # of an interrupted one; nobody else builds while the lock is held
        shutil.rmtree(left, ignore_errors=True)
    if target.exists():
        shutil.rmtree(target)
    pins = select(read_lock(lock_file(place().locks, version)), [CORE], without=BLENDERS_OWN)
    build = torch_build.choose(tool, Path(python), pins, on_line)
    require_space(target.parent, 6500 if build.is_cuda else 2500, "Installing the packages")
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
    try:
        with tempfile.TemporaryDirectory() as folder:
            requirements = Path(folder, "requirements.txt")
            requirements.write_text("".join(pin.requirement() for pin in build.locked(pins)), "utf-8")
            command = [str(tool.path), "pip", "install", "--python", python, "--target", str(building), "--no-deps"]
            command += ["--require-hashes", "--only-binary", ":all:", "-r", str(requirements)]
            _run(tool, command, on_line, should_cancel)
        separate = build.separate(pins)
        if separate:
            command = [*torch_build.install_command(tool, Path(python), build), "--target", str(building), *separate]
            _run(tool, command, on_line, should_cancel)
        _check(building)
        stamp = {"python": version, "torch_build": build.backend, "packages": [pin.name for pin in pins]}
        (building / STAMP).write_text(json.dumps(stamp), "utf-8")
        building.replace(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    on_line(f"The packages for Python {version} are installed in {target}.")


def _run(
    tool: uv_tool.Uv, command: List[str], on_line: Callable[[str], None], should_cancel: Callable[[], bool]
) -> None:
    progress = DownloadProgress(on_line)

    def tick() -> None:
        if should_cancel():
            raise Stopped
        progress.tick()

    def line(text: str) -> None:
        progress.feed(text)
        tick()

    code, output = stream(command, tool.environment(), line, tick)
    if code:
        raise explain(output, "Installing the packages")


def _check(folder: Path) -> None:
    """Refuse a folder that would shadow a package of Blender's own."""
    present = {normalised(path.name.split("-")[0]) for path in folder.iterdir()}
    shadowing = sorted(present & BLENDERS_OWN)
    if shadowing:
        raise SetupError(
            f"The registry's packages bring {', '.join(shadowing)}, which belongs to Blender.",
            "Run it again with another registry; Blender's own packages must not be replaced.",
        )
