# SPDX-License-Identifier: GPL-3.0-or-later
"""Which licences the user has accepted that restrict what may be done: asked once, and kept in the user's data."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ..net.errors import LicenceNeeded, disk_error
from ..shared.disk import write_json
from ..shared.filelock import file_lock
from . import store
from .catalogue import Model


def _path() -> Path:
    return store.user_data() / "licences.json"


def _accepted() -> dict[str, Any]:
    try:
        content = json.loads(_path().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_needed(model: Model) -> bool:
    """Whether the licence has to be accepted before this model is installed: it forbids commercial use or sets other
    conditions, and was not accepted yet in these words."""
    return bool(model.restriction_first) and model.licence not in _accepted()


def accept(model: Model) -> None:
    """Remember that the user has accepted the licence of a model, and of all models under the same words."""
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path.with_name(".licences.lock"), lambda line: None):
            day = time.strftime("%Y-%m-%d")
            write_json(path, {**_accepted(), model.licence: {"model": model.id, "accepted": day}})
    except OSError as error:
        raise disk_error(error, path) from error


def require(model: Model) -> None:
    """Raise `LicenceNeeded` where the licence has not been accepted yet."""
    if is_needed(model):
        raise LicenceNeeded(
            f"{model.restriction_first}: {model.licence}.",
            "Accept its licence first.",
        )
