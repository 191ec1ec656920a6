# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuilds the lock files: `python3 -m installer lock`. Needed after a change to a `locks/*.in` file or a Blender.

One resolution per Python over all groups and all systems, so that no environment can hold two versions of anything.
numpy takes part as the oldest that a Blender of that Python brings (scipy and OpenCV must fit it) and is left out of
the result, as is bpy: both are Blender's own. No registry is named in the results: a lock holds for all of them.
Versions that still fit are kept; `--upgrade` takes the newest that fit.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..shared.errors import SetupError
from ..shared.paths import Paths
from ..shared.processes import stream
from .lock_files import BPY, CLUSTER, FEATURES, LINT, MANUAL, SAMPLES, TEST, lock_file
from .uv import UV_VERSION, Uv

_CHECKOUT = (CLUSTER, BPY, TEST, LINT, SAMPLES)
#: Blender -> Python, bpy, and the numpy of the official build (a bpy wheel does not always say which).
BLENDERS = {
    "4.2": ("3.11", "4.2.23", "1.24.3"),
    "4.5": ("3.11", "4.5.15", "1.26.4"),
    "5.0": ("3.11", "5.0.1", "1.26.4"),
    "5.2": ("3.13", "5.2.3", "2.3.5"),
}


#: Python -> the groups that are resolved for it. 3.14 is that of Blender as distributions build it: no bpy wheel has
#: it, so there is no environment of a checkout, and what a checkout needs besides is left out.
PYTHONS = {"3.11": (*FEATURES, *_CHECKOUT), "3.13": (*FEATURES, *_CHECKOUT), "3.14": tuple(FEATURES)}


def relock(paths: Paths, uv: Uv, say: Callable[[str], None], upgrade: bool = False) -> list[Path]:
    """Write the lock files, the table of Blenders and uv's own hashes; returns the files."""
    for python in PYTHONS:
        say(f"resolving for Python {python}")
        _write_lock(paths, uv, python, upgrade)
    say("hashes of bpy and numpy")
    _write_blenders(paths, uv)
    say("hashes of uv")
    path = paths.locks / "uv.txt"
    path.write_text(_compile_pin(paths, uv, f"uv=={UV_VERSION}", "3.11"), "utf-8")
    say("resolving for the manual")
    manual = paths.locks / f"{MANUAL}.txt"
    kept = manual.read_text("utf-8") if manual.exists() and not upgrade else ""
    manual.write_text(_compile(paths, uv, [f"installer/locks/{MANUAL}.in"], "3.11", kept), "utf-8")
    written = [*(lock_file(paths.locks, python) for python in PYTHONS), paths.locks / "blenders.json", path, manual]
    for file in written:
        if "://" in file.read_text("utf-8"):
            raise SetupError(f"{file.name} names an address.", "Run it with a plain index, without direct links.")
    return written


def _write_lock(paths: Paths, uv: Uv, python: str, upgrade: bool) -> None:
    folder = Path("installer", "locks")
    arguments = [str(folder / f"{group}.in") for group in PYTHONS[python]]
    arguments += ["--constraint", str(folder / f"python{python}.in"), "--excludes", str(folder / "excluded.in")]
    target = lock_file(paths.locks, python)
    kept = target.read_text("utf-8") if target.exists() and not upgrade else ""
    resolved = _compile(paths, uv, [*arguments, "--no-emit-package", "numpy"], python, kept)
    header = "# Made by `python3 -m installer lock`; do not edit. numpy and bpy: blenders.json\n"
    target.write_text(header + without_later_pythons(resolved, python), "utf-8")


def without_later_pythons(lock: str, python: str) -> str:
    """A lock without what uv adds for the Pythons after this one (a resolution has no upper bound)."""
    number = int(python.split(".")[1])
    kept: list[str] = []
    dropping = False
    for line in lock.splitlines():
        if line and not line[0].isspace():
            start = re.search(r"python_full_version >= '3\.(\d+)", line)
            dropping = start is not None and int(start[1]) > number
            line = re.sub(rf" ; python_full_version < '3\.{number + 1}[.\w]*'(?= \\|$)", "", line)
            line = re.sub(rf"python_full_version < '3\.{number + 1}[.\w]*' and ", "", line)
        if not dropping and not line.startswith("#"):
            kept.append(line)
    return "\n".join(kept) + "\n"


def _write_blenders(paths: Paths, uv: Uv) -> None:
    table: dict[str, dict] = {}
    for version, (python, bpy, numpy) in BLENDERS.items():
        hashes = {}
        for name, pin in (("bpy", bpy), ("numpy", numpy)):
            text = _compile_pin(paths, uv, f"{name}=={pin}", python)
            hashes[name] = [line.split("--hash=")[1].rstrip(" \\") for line in text.splitlines() if "--hash=" in line]
        table[version] = {"python": python, "bpy": bpy, "numpy": numpy, "hashes": hashes}
    (paths.locks / "blenders.json").write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def _compile_pin(paths: Paths, uv: Uv, pin: str, python: str) -> str:
    """One package with its hashes, without its dependencies."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "wanted.in")
        source.write_text(pin + "\n", "utf-8")
        return _compile(paths, uv, [str(source), "--no-deps", "--no-annotate"], python)


def _compile(paths: Paths, uv: Uv, arguments: list[str], python: str, kept: str = "") -> str:
    """Run `uv pip compile` in the checkout, for all systems, with hashes; versions in the lock `kept` are preferred."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "lock.txt")
        result.write_text(kept, "utf-8")
        command = [str(uv.path), "pip", "compile", "--universal", "--generate-hashes", "--no-header", "--no-config"]
        command += ["--only-binary", ":all:", "--python-version", python, "--no-emit-index-url"]
        command += ["--output-file", str(result), "--directory", str(paths.root), *arguments]
        env = uv.environment()
        for name in ("UV_INDEX", "UV_FIND_LINKS"):  # a local folder holds the files of one system only
            env.pop(name, None)
        code, output = stream(command, env, lambda line: None)
        if code:
            raise SetupError(f"The packages cannot be resolved:\n{output}", "Change the .in files in installer/locks.")
        return result.read_text("utf-8")
