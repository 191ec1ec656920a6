# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the set-up keeps what it makes: one git-ignored folder beside the code."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import SetupError


@dataclass(frozen=True)
class Paths:
    """A checkout (`root`) and the folder of everything that is installed for it (`home`)."""

    root: Path
    home: Path

    @property
    def environments(self) -> Path:
        return self.home / "env"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def locks(self) -> Path:
        return self.root / "installer" / "locks"

    @property
    def out(self) -> Path:
        return self.root / "out"


def default_paths() -> Paths:
    """The checkout that holds this file; MAQUETTE_HOME moves what is installed somewhere else."""
    root = Path(__file__).resolve().parents[2]
    return Paths(root, Path(os.environ.get("MAQUETTE_HOME") or root / ".maquette").absolute())


def make_writable(paths: Paths) -> None:
    """Create the folder, or say in one sentence why that cannot be."""
    try:
        paths.home.mkdir(parents=True, exist_ok=True)
        probe = paths.home / f".writable-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise SetupError("The disk is full.", "Free some space and run the same command again.") from error
        raise SetupError(
            f"The folder {paths.home} cannot be written ({error.strerror}).",
            "Clone Maquette into a folder of your own, or name a writable one in MAQUETTE_HOME.",
        ) from error


def path_exists(path: Path) -> bool:
    """Whether a path exists; what cannot even be asked for (a name that is too long) does not."""
    try:
        return path.exists()
    except OSError:
        return False


def free_megabytes(folder: Path) -> int:
    """Free space, in MB (10^6 bytes), on the disk of a folder that need not exist yet."""
    import shutil  # not while Blender starts

    while not path_exists(folder):
        if folder == folder.parent:  # a drive that is not there
            return 0
        folder = folder.parent
    return shutil.disk_usage(folder).free // 1_000_000


def require_space(folder: Path, megabytes: int, what: str) -> None:
    """Refuse before the work starts what cannot end well."""
    free = free_megabytes(folder)
    if free < megabytes:
        raise SetupError(
            f"{what} needs about {megabytes:,} MB, but the disk of {folder} has {free:,} MB free.",
            "Free some space, or name a folder on another disk in MAQUETTE_HOME, and run the same command again.",
        )
