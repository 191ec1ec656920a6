# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the model files lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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


def user_data() -> Path:
    """The folder of this user's data for Maquette, shared by all Blenders."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return base / "maquette"
