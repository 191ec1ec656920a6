# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the model files lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .catalogue import File, Model

#: Whether a published file is there; CONVERTED: only what was made of it, which is enough.
MISSING, PRESENT, CONVERTED, BAD_SIZE = "missing", "present", "converted", "bad size"

#: Published ending -> that of the file which the inference keeps beside it.
_CONVERTED = {**dict.fromkeys((".pth", ".pt", ".bin", ".ckpt"), ".safetensors"), ".pkl": ".npz"}

_chosen: Path | None = None


def set_models_root(path: str | os.PathLike[str] | None) -> None:
    """Let a preference choose the root; None goes back to the environment or the default."""
    global _chosen
    _chosen = Path(path) if path else None


def models_root() -> Path:
    """Root of the model files: the preference, else MAQUETTE_MODELS, else the user's data folder."""
    if _chosen is not None:
        return _chosen
    if "MAQUETTE_MODELS" in os.environ:
        return Path(os.environ["MAQUETTE_MODELS"])
    return user_data() / "models"


def locate(file: File, root: Optional[Path] = None) -> Path:
    """Where a catalogue's file lies, or belongs, below `root` (None: the chosen one)."""
    return (models_root() if root is None else root) / file.path


def file_state(file: File, root: Optional[Path] = None) -> str:
    """MISSING, PRESENT, CONVERTED or BAD_SIZE (empty, or not of the published length). Looks at names and lengths
    only, so that it may be asked while a panel is drawn."""
    path = locate(file, root)
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError:  # a folder that this user may not look into
        size = None
    if size is not None:
        return PRESENT if size and size == (file.bytes or size) else BAD_SIZE
    ending = _CONVERTED.get(path.suffix)
    return CONVERTED if ending and path.with_suffix(ending).is_file() else MISSING


def is_installed(model: Model, root: Optional[Path] = None) -> bool:
    """Whether every file that a model needs is there; what ships needs none."""
    return all(file_state(file, root) in (PRESENT, CONVERTED) for file in model.files)


def user_data() -> Path:
    """The folder of this user's data for Maquette, shared by all Blenders."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return base / "maquette"
