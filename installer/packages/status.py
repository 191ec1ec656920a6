# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed, as plain data: for the preferences page, the command line and the doctor."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..environment.torch_build import REGISTRY
from ..shared.errors import SetupError
from ..shared.filelock import is_locked
from ..shared.paths import free_megabytes
from . import folders, manager, torch_fit
from .features import CORE, importable, locks_folder, offered, this_python

#: The states of a group. OUTDATED: installed for another version of Maquette.  RESTART: the new folder counts from the
#: next start on.  PROVIDED: by an environment or another add-on.  UNFIT: a torch that cannot be used is in the way.
NOT_INSTALLED, INSTALLING, BROKEN, READY = "not installed", "installing", "broken", "ready"
OUTDATED, RESTART, PROVIDED, UNFIT, UNSUPPORTED = "outdated", "waiting for restart", "provided", "unfit", "unsupported"

#: States in which the group can be used.
USABLE = (READY, RESTART, PROVIDED)


@dataclass(frozen=True)
class Group:
    """One group. detail : why it is in this state, or what the proof found.  megabytes : on the disk."""

    feature: str
    state: str
    detail: str = ""
    folder: str = ""
    megabytes: int = 0
    backend: str = ""
    proof: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """All groups for one Python. root : where they lie, or would.  kept_mb : of an unfinished download."""

    python: str
    root: str
    free_mb: int
    groups: list[Group]
    kept_mb: int = 0

    @property
    def state(self) -> str:
        """The state of the core, without which nothing runs."""
        return self.groups[0].state if self.groups else UNSUPPORTED

    @property
    def megabytes(self) -> int:
        return sum(group.megabytes for group in self.groups)

    def group(self, feature: str) -> Group | None:
        return next((group for group in self.groups if group.feature == feature), None)

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "state": self.state, "megabytes": self.megabytes}


def of_process(deep: bool = False) -> Status:
    """The state of every group in this process: what it has imported counts too. `deep` counts every file, which takes
    a moment."""
    return _examine(this_python(), True, deep)


def of_folders(python: str) -> Status:
    """The state of every group for a Python ("3.11"), by its folders alone."""
    return _examine(python, False, True)


def _examine(python: str, here: bool, deep: bool) -> Status:
    root = folders.packages_root()
    try:
        features = offered(locks_folder(), python)
    except SetupError as error:
        provided = here and torch_fit.origin("torch") is not None
        groups = [Group(CORE, PROVIDED if provided else UNSUPPORTED, "" if provided else str(error))]
        return Status(python, str(root), free_megabytes(root), groups)
    busy = is_locked(root / folders.LOCK) if root.is_dir() else False
    groups = [_group(python, feature, here, busy, deep) for feature in features]
    unfinished = groups[0].state == NOT_INSTALLED
    kept = folders.downloaded_megabytes(root / folders.CACHE) if unfinished else 0
    return Status(python, str(root), free_megabytes(root), groups, kept)


def _group(python: str, feature: str, here: bool, busy: bool, deep: bool) -> Group:
    unfit = torch_fit.misfit() if here and feature == CORE else ""
    if unfit:
        return Group(feature, UNFIT, f"{unfit} {torch_fit.REMEDY}")
    folder = folders.finished(python, feature)
    active = folders.active(feature) if here else None
    if here and active is None and importable(feature):
        origin = torch_fit.origin("torch")
        return Group(feature, PROVIDED, f"from {origin}" if feature == CORE else "")
    if folder is None:
        return _absent(python, feature, busy, active)
    damage = manager.damage(folder) if deep else ""
    waiting = here and active is not None and active != folder.path
    state = BROKEN if damage else RESTART if waiting else READY
    return Group(
        feature, state, damage or summary(folder), str(folder.path), folder.megabytes, folder.backend, folder.proof
    )


def _absent(python: str, feature: str, busy: bool, active: Path | None) -> Group:
    if busy:
        return Group(feature, INSTALLING, "an installation is running")
    if active is not None:
        return Group(feature, NOT_INSTALLED, "removed; its space is freed when Blender is closed")
    old = folders.superseded(python, feature)
    if old is not None:
        return Group(feature, OUTDATED, "installed for another version of Maquette", str(old.path), old.megabytes)
    return Group(feature, NOT_INSTALLED)


def summary(folder: folders.Folder) -> str:
    """What the proof found, in a line."""
    found = folder.proof
    if folder.feature != CORE or not found:
        return ""
    device = found.get("device", "cpu")
    name = found.get("names", {}).get(device, {"cpu": "the processor", "mps": "Apple's graphics processor"}.get(device))
    product = next((item for item in found.get("products", []) if item["device"] == device), {})
    kind = "half precision" if product.get("type") == "float16" else "single precision"
    return f"torch {found['versions'].get('torch', '?')} on {name or device}, {kind}"


def build_name(backend: str) -> str:
    """A build of torch in words."""
    if backend == REGISTRY:
        return {"linux": "CUDA 13", "darwin": "Metal"}.get(sys.platform, "the processor")
    if backend.startswith("cu"):
        return f"CUDA {backend[2:-1]}.{backend[-1]}"
    if backend.startswith("rocm"):
        return f"ROCm {backend[4:]}"
    return {"cpu": "the processor", "xpu": "Intel XPU"}.get(backend, backend)
