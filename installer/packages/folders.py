# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders of run-time packages: one for each group, named by what is in it, never changed once it is finished.

They lie in the user's data (or where a preference or MAQUETTE_PACKAGES says) and are shared by all Blenders of one
Python. A folder's stamp is written last, so one without a stamp is what an interrupted installation or removal left.
Who uses a folder holds a lock in it; a folder that has been replaced goes when nobody does, at some later start.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..environment.lock_files import digest, lock_file
from ..models import store
from ..shared import disk
from ..shared.disk import UNPACKED, remove_tree, write_json
from ..shared.filelock import is_locked, try_lock
from .features import FEATURES, importable, locks_folder, pins_of, this_python

#: Raised when the way in which these folders are built changes.
FORMAT = 2

STAMP = "maquette-packages.json"

#: Folders that installations leave when they are killed, and removals.
BUILDING, REMOVING = ".building-", ".removing-"

#: uv's cache, where no other one is chosen: it holds each package once, and the folders share its files.
CACHE = "cache"

LOCK = "install.lock"

#: Inside a folder: who uses it now (locks), and who asks for it (the installations of Maquette).
_USE = "in-use"
_MOST_USERS = 1000

_OURS = re.compile(r"^cp3\d+-[\w.-]+-[0-9a-f]{12}$")

_chosen: Path | None = None

#: Locks that this process holds, by folder; they are given back when it ends.
_held: dict[Path, IO[str] | None] = {}


def set_packages_root(path: str | os.PathLike[str] | None) -> None:
    """Let a preference choose the root; None goes back to the environment or the default."""
    global _chosen
    _chosen = Path(path) if path else None


def packages_root() -> Path:
    """Where the folders lie: the preference, else MAQUETTE_PACKAGES, else the user's data folder."""
    if _chosen is not None:
        return _chosen
    if os.environ.get("MAQUETTE_PACKAGES"):
        return Path(os.environ["MAQUETTE_PACKAGES"]).absolute()
    return store.user_data() / "packages"


@dataclass(frozen=True)
class Folder:
    """A finished folder.

    backend : the build of torch in the core, as `torch_build` names it; "" in the other groups.  number : the newest of
    a group counts.  files, megabytes : what was in it when it was finished.  proof : what `proof` found out.
    """

    path: Path
    python: str
    feature: str
    backend: str
    number: int
    files: int
    megabytes: int
    packages: dict[str, str]
    proof: dict[str, Any]


def content_digest(locks: Path, python: str, feature: str) -> str:
    """Tells one content of a group from another: a change to another group's packages does not change it."""
    pins = [f"{pin.name}=={pin.version};{pin.marker}" for pin in pins_of(locks, python, feature)]
    return digest(FORMAT, python, *pins)


def folder_name(locks: Path, python: str, feature: str, backend: str) -> str:
    """ "cp311-core-cu128-0123456789ab", "cp313-people-0123456789ab"."""
    words = [f"cp{python.replace('.', '')}", feature, *([backend] if backend else [])]
    return "-".join([*words, content_digest(locks, python, feature)])


def read(path: Path) -> Folder | None:
    """A folder, None where it is not finished."""
    try:
        stamp = json.loads((path / STAMP).read_text("utf-8"))
        return Folder(path, **stamp)
    except (OSError, ValueError, TypeError):
        return None


def write_stamp(folder: Folder) -> None:
    """Finish a folder."""
    content = {name: value for name, value in vars(folder).items() if name != "path"}
    write_json(folder.path / STAMP, content, through=True)


def all_folders(root: Path | None = None) -> list[Folder]:
    """Every finished folder, whatever it is of."""
    root = packages_root() if root is None else root
    return [folder for folder in map(read, sorted(_entries(root))) if folder is not None]


def finished(python: str, feature: str, locks: Path | None = None) -> Folder | None:
    """The folder of a group that this version of Maquette asks for, the newest one where there are several builds."""
    ending = content_digest(locks or locks_folder(), python, feature)
    found = [
        folder
        for folder in map(read, packages_root().glob(f"cp{python.replace('.', '')}-{feature}-*{ending}"))
        if folder is not None and folder.feature == feature
    ]
    return max(found, key=lambda folder: folder.number, default=None)


def superseded(python: str, feature: str) -> Folder | None:
    """The newest folder of a group that another version of Maquette asked for."""
    ending = content_digest(locks_folder(), python, feature)
    found = [
        folder
        for folder in all_folders()
        if folder.python == python and folder.feature == feature and not folder.path.name.endswith(ending)
    ]
    return max(found, key=lambda folder: folder.number, default=None)


def _entries(root: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in root.iterdir() if _OURS.match(path.name))


# use by this process


def activate() -> list[Folder]:
    """Make the groups that are installed importable in this process; returns the folders in use.

    A folder goes to the end of sys.path: what Blender, or another add-on, brings always wins. A group whose modules
    are there already (another environment, another add-on) gets no folder.
    """
    python = this_python()
    used = []
    for feature in FEATURES:
        # The first question spares a Blender that starts without packages the reading of the lock file.
        if not any(packages_root().glob(f"{_tag()}-{feature}-*")) or (importable(feature) and not active(feature)):
            continue
        folder = finished(python, feature)
        if folder is not None and _use(folder):
            used.append(folder)
    return used


def active(feature: str) -> Path | None:
    """The folder of a group that this process uses."""
    return next((path for path in _held if path.name.startswith(f"{_tag()}-{feature}-")), None)


def _tag() -> str:
    return f"cp{this_python().replace('.', '')}"


def _use(folder: Folder) -> bool:
    before = active(folder.feature)
    if before == folder.path:
        return True
    if before is not None:
        if _imported_from(before):
            return False  # what is loaded stays; the new folder waits for the next start
        _leave(before)
    _held[folder.path] = _hold(folder.path)
    if read(folder.path) is None:  # it was being removed
        _leave(folder.path)
        return False
    if str(folder.path) not in sys.path:
        sys.path.append(str(folder.path))
    return True


def _imported_from(folder: Path) -> bool:
    start = str(folder) + os.sep
    return any((getattr(module, "__file__", None) or "").startswith(start) for module in list(sys.modules.values()))


def _leave(folder: Path) -> None:
    handle = _held.pop(folder, None)
    if handle is not None:
        handle.close()
    while str(folder) in sys.path:
        sys.path.remove(str(folder))


def _hold(folder: Path) -> IO[str] | None:
    """Hold a lock of our own in a folder, and put down which Maquette asks for it; None on a read-only disk."""
    try:
        record_user(folder, this_python())
        for number in range(_MOST_USERS):
            handle = try_lock(folder / _USE / f"{number}.lock")
            if handle is not None:
                return handle
    except OSError:
        pass
    return None


def record_user(folder: Path, python: str) -> None:
    """Put down that this installation of Maquette asks for a folder, as long as its lock file is what it is."""
    root = locks_folder().parent.parent
    path = folder / _USE / f"{digest(root)}.json"
    text = json.dumps({"root": str(root), "python": python, "lock": _digest_of_lock(root, python)})
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def _digest_of_lock(root: Path, python: str) -> str:
    try:
        return digest(lock_file(root / "installer" / "locks", python).read_text("utf-8"))
    except OSError:
        return ""


def in_use(folder: Path) -> bool:
    """Whether a process, this one too, uses a folder."""
    return folder in _held or any(map(is_locked, folder.glob(f"{_USE}/*.lock")))


def wanted_elsewhere(folder: Path) -> bool:
    """Whether another installation of Maquette, of another version, still asks for a folder."""
    here = locks_folder().parent.parent
    for path in folder.glob(f"{_USE}/*.json"):
        try:
            user = json.loads(path.read_text("utf-8"))
            root, recorded = Path(user["root"]), user["lock"]
            now = _digest_of_lock(root, user["python"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if root != here and recorded and now == recorded:
            return True
    return False


# removal


def remove(path: Path) -> bool:
    """Remove a folder, or have it removed at a later start where it is in use; True when it is gone.

    The stamp goes first: a Blender that starts now either sees it gone or is seen by `in_use`.
    """
    (path / STAMP).unlink(missing_ok=True)
    if in_use(path):
        return False
    away = path.with_name(f"{REMOVING}{path.name}-{os.getpid()}")
    try:
        path.replace(away)
    except OSError:  # Windows, where a file of it is open
        return False
    return remove_tree(away)


def tidy() -> list[str]:
    """Remove what killed installations have left and what nobody asks for any more; returns the names. Does nothing
    while an installation is running."""
    root = packages_root()
    if not root.is_dir():
        return []
    try:
        handle = try_lock(root / LOCK)
    except OSError:
        return []
    if handle is None:
        return []
    with handle:
        return _tidy(root)


def _tidy(root: Path) -> list[str]:
    left = [*root.glob(f"{BUILDING}*"), *root.glob(f"{REMOVING}*")]
    gone = [path.name for path in left if remove_tree(path)]
    stale = [path for path in _entries(root) if not in_use(path) and _is_stale(path)]
    removed = [path.name for path in stale if remove(path)]
    if removed:
        drop_unshared()
    return [*gone, *removed]


def downloaded_megabytes(cache: Path) -> int:
    """About how many MB of wheels a cache of uv holds."""
    return round(sum(disk.count(packages)[1] for packages in cache.glob("archive-v*")) / UNPACKED / 1e6)


def drop_unshared() -> None:
    """Give back what uv's cache holds for no folder any more: nothing else shares the files of such a package. uv
    notices, and fetches it again when it is asked for."""
    for package in (packages_root() / CACHE).glob("archive-v*/*"):
        shared = next(package.glob("*.dist-info/METADATA"), None)
        if shared is None or shared.stat().st_nlink == 1:
            remove_tree(package)


def _is_stale(path: Path) -> bool:
    """Whether a folder is unfinished, has been replaced, or is of a version of Maquette that is gone. What replaces it
    must be there: until then uv's cache keeps, for its sake, the packages that have not changed."""
    folder = read(path)
    if folder is None:
        return True
    if folder.feature not in FEATURES or not lock_file(locks_folder(), folder.python).exists():
        return False
    current = finished(folder.python, folder.feature)
    if current is None or current.path == path:
        return False
    same_content = path.name[-12:] == current.path.name[-12:]
    return same_content or not wanted_elsewhere(path)


# sizes


def count(folder: Path) -> tuple[int, int]:
    """Number of files in a folder of packages and their MB, without what is of use only here."""
    files, size = disk.count(folder, frozenset({_USE, STAMP}))
    return files, round(size / 1e6)
