# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the model files lie: in the user's own root, or in one of those that a studio shares."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..net.partial_file import partial_bytes

if TYPE_CHECKING:
    from .catalogue import File, Model

#: Whether a published file is there. CONVERTED: only what was made of it, which is enough.  PARTIAL: a download of it
#: was begun.  BAD_SIZE: it is empty, or not as long any more as when it came.
MISSING, PRESENT, CONVERTED, BAD_SIZE, PARTIAL = "missing", "present", "converted", "bad size", "partial"

#: Published ending -> that of the file which the inference keeps beside it.
_CONVERTED = {**dict.fromkeys((".pth", ".pt", ".bin", ".ckpt"), ".safetensors"), ".pkl": ".npz"}

_chosen: Path | None = None
_shared: tuple[Path, ...] = ()


def set_models_root(path: str | os.PathLike[str] | None) -> None:
    """Let a preference choose the root; None goes back to the environment or the default."""
    global _chosen
    _chosen = Path(path) if path else None


def set_shared_roots(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Let a preference choose the shared roots; none of them goes back to the environment."""
    global _shared
    _shared = tuple(Path(path) for path in paths)


def models_root() -> Path:
    """The user's own root, where models are downloaded to: the preference, else the first folder of MAQUETTE_MODELS,
    else the user's data folder."""
    if _chosen is not None:
        return _chosen
    named = _environment()
    return named[0] if named else user_data() / "models"


def shared_roots() -> tuple[Path, ...]:
    """Roots that are only read: the preference, else what MAQUETTE_MODELS names behind its first folder."""
    return _shared or _environment()[1:]


def search_path() -> tuple[Path, ...]:
    """All roots in the order in which they are looked into: the user's own first."""
    return tuple(dict.fromkeys((models_root(), *shared_roots())))


def _environment() -> tuple[Path, ...]:
    value = os.environ.get("MAQUETTE_MODELS", "")
    return tuple(Path(part).expanduser() for part in value.split(os.pathsep) if part)


def find(path: str, root: Path | None = None) -> Path:
    """Where a published file, or what was made of it, lies; where it belongs in `root` when it lies nowhere.

    path : below a root, as in the catalogue.  root : None, or the user's own root, looks into the shared ones as well;
    any other is looked into alone.
    """
    own = models_root()
    root = own if root is None else root
    places = [folder / path for folder in (search_path() if root == own else (root,))]
    for wanted in (_is_file, _has_converted):
        for place in places:
            if wanted(place):
                return place
    return places[0]


def is_shared(path: Path) -> bool:
    """Whether a file lies in a shared root, where nothing is written."""
    return models_root() not in path.parents and any(root in path.parents for root in shared_roots())


def conversion_elsewhere(source: Path, stamp: str) -> Path:
    """Where what is made of a published file is kept when it cannot be beside it. stamp : the file's `fingerprint`."""
    plain = converted(source) or source
    return user_data() / "converted" / f"{stamp}-{plain.name}"


def locate(file: File, root: Path | None = None) -> Path:
    """Where a catalogue's file lies, or belongs: see `find`."""
    return find(file.path, root)


def converted(path: Path) -> Path | None:
    """The name of what the inference makes of a published file, beside it; None for what it uses as it is."""
    ending = _CONVERTED.get(path.suffix)
    return path.with_suffix(ending) if ending else None


def file_state(file: File, root: Path | None = None) -> str:
    """MISSING, PRESENT, CONVERTED, BAD_SIZE or PARTIAL. Looks at names, lengths and what was kept of them only, so that
    it may be asked while a panel is drawn. A file may come in several forms: what was put here by hand counts."""
    path = locate(file, root)
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError:  # a folder that this user may not look into
        size = None
    if size is not None:
        return PRESENT if size and size == recorded(path).get("bytes", size) else BAD_SIZE
    if _has_converted(path):
        return CONVERTED
    return PARTIAL if partial_bytes(path) else MISSING


def note_of(path: Path) -> Path:
    """The small file beside a model file that keeps its checksum and length."""
    return path.with_name(f"{path.name}.json")


def recorded(path: Path) -> dict[str, Any]:
    """What was kept about a file when it came; empty where nothing was."""
    try:
        content = json.loads(note_of(path).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("sha256"), str) else {}


def is_installed(model: Model, root: Path | None = None) -> bool:
    """Whether every file that a model needs is there; what ships needs none."""
    return all(file_state(file, root) in (PRESENT, CONVERTED) for file in model.files)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _has_converted(path: Path) -> bool:
    plain = converted(path)
    return plain is not None and _is_file(plain)


def user_data() -> Path:
    """The folder of this user's data for Maquette, shared by all Blenders."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return base / "maquette"
