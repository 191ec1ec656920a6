# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the committed lock files: which files of which packages each Blender's environment is made of.

`locks/python3.11.txt`, `python3.13.txt` and, for the run time alone, `python3.14.txt` pin everything that does not
belong to Blender, for all systems, with hashes. `locks/blenders.json` pins bpy and numpy for each Blender. Their
origin: `relock.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..shared.errors import SetupError

#: The Blender that demo, run and the whole test-suite use.
DEFAULT_BLENDER = "4.5"

#: Packages that come with Blender and are never installed beside it.
BLENDERS_OWN = frozenset({"numpy", "requests", "certifi", "urllib3", "idna", "charset-normalizer"})

#: The groups of packages; each is a file `locks/<group>.in` that lists what is wanted and why.
#: `cluster`, as the last four, is for environments of a checkout alone.
CORE, CLUSTER, BPY, TEST, LINT, SAMPLES = "core", "cluster", "bpy", "test", "lint", "samples"

#: What builds the manual, locked by itself in `locks/docs.txt`: a change to it builds no environment again.
MANUAL = "docs"

#: Group -> what it is for. An installed Blender gets the core and those of the others that the user's models need; an
#: environment of a checkout gets all of them.
FEATURES = {
    CORE: "What every task needs: PyTorch, OpenCV, and the networks of depth, normals and hands",
    "people": "Person detectors (YOLO) for the published body model HMR 2.0",
    "detailer": "Runs Stable Diffusion checkpoints, for the mask detailer",
    "maps": "Runs the additional depth, normal and line models",
    "licensed-body": "Poses your own licensed SMPL, SMPL+H and SMPL-X bodies (non-commercial)",
    "photogrammetry": "Finds cameras and points of a place from several photos of it",
}

#: Group -> its name for users.
LABELS = {
    CORE: "Core",
    "people": "Person Detectors (YOLO)",
    "detailer": "Stable Diffusion",
    "maps": "Additional Maps",
    "licensed-body": "SMPL Bodies",
    "photogrammetry": "Photogrammetry",
}

_PIN = r"^([A-Za-z0-9][\w.\-]*)==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$"


@dataclass(frozen=True)
class Blender:
    """One Blender: its version, the Python it holds, and the bpy and numpy that are its own."""

    version: str
    python: str
    bpy: str
    numpy: str
    hashes: dict[str, list[str]]

    def requirements(self) -> str:
        """bpy and numpy in pip's requirements format, with hashes."""
        pins = {"bpy": self.bpy, "numpy": self.numpy}
        return "".join(_requirement(f"{name}=={pin}", self.hashes[name]) for name, pin in pins.items())


@dataclass(frozen=True)
class Pin:
    """One entry of a lock file. `wanted_by` names packages, and groups as `group:core`."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    wanted_by: frozenset[str]

    def requirement(self) -> str:
        marker = f" ; {self.marker}" if self.marker else ""
        return _requirement(f"{self.name}=={self.version}{marker}", self.hashes)


def _requirement(pin: str, hashes: Iterable[str]) -> str:
    return " \\\n".join([pin, *(f"    --hash={value}" for value in hashes)]) + "\n"


def blenders(locks: Path) -> dict[str, Blender]:
    """The table of Blenders, oldest first."""
    table = json.loads((locks / "blenders.json").read_text("utf-8"))
    return {version: Blender(version=version, **entry) for version, entry in table.items()}


def blender(locks: Path, version: str) -> Blender:
    """One Blender by its short version; SetupError names those that there are."""
    table = blenders(locks)
    if version not in table:
        raise SetupError(f"Blender {version} is not supported here.", f"Choose one of: {', '.join(table)}.")
    return table[version]


def lock_file(locks: Path, python: str) -> Path:
    return locks / f"python{python}.txt"


def read_lock(path: Path) -> list[Pin]:
    """The pins of a lock file in its order, with who wants each (from uv's "via" comments)."""
    pins: list[Pin] = []
    block: list[str] = []
    for line in [*path.read_text("utf-8").splitlines(), "end==0"]:
        if line.startswith("#") or not line.strip():
            continue
        if not line[0].isspace():
            if block:
                pins.append(_pin(block))
            block = [line]
        else:
            block.append(line)
    return pins


def _pin(block: list[str]) -> Pin:
    match = re.match(_PIN, block[0])
    if match is None:
        raise SetupError(
            f"The lock file holds a line that cannot be read: {block[0]}", "Run python3 -m installer lock."
        )
    name, version, marker = match.groups()
    hashes = tuple(re.findall(r"--hash=(\S+)", "\n".join(block)))
    wanted = set()
    for line in block[1:]:
        comment = line.strip()
        if comment.startswith("#"):
            wanted.add(_origin(comment.lstrip("# ").replace("via ", "", 1).strip()))
    return Pin(normalised(name), version, marker or "", hashes, frozenset(wanted - {"", "via"}))


def _origin(text: str) -> str:
    """`-r installer/locks/core.in` -> `group:core`; a package's name stays what it is."""
    match = re.match(r"-r .*?([\w-]+)\.in$", text)
    return f"group:{match[1]}" if match else normalised(text)


def normalised(name: str) -> str:
    """A package's name in the one spelling that comparisons use."""
    return re.sub(r"[-_.]+", "-", name).lower()


def select(pins: Iterable[Pin], groups: Iterable[str], without: Iterable[str] = ()) -> list[Pin]:
    """The pins that the groups need, directly or through others, leaving out `without` and what only they need."""
    pins = list(pins)
    left_out = set(without)
    chosen: set[str] = {f"group:{group}" for group in groups}
    while True:
        more = {pin.name for pin in pins if pin.wanted_by & chosen and pin.name not in left_out}
        if more <= chosen:
            return [pin for pin in pins if pin.name in chosen]
        chosen |= more


def digest(*parts: object) -> str:
    """A short name for exactly these contents."""
    joined = "\0".join(str(part) for part in parts)
    return hashlib.sha256(joined.encode("utf-8")).hexdigest()[:12]
