# SPDX-License-Identifier: GPL-3.0-or-later
"""The library of models: what is here, and what is missing and why. What changes it is in `upkeep` and `importing`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..net.partial_file import partial_bytes
from ..shared.errors import SetupError
from ..shared.paths import path_exists
from . import catalogue, store
from .catalogue import File, Model, in_words

#: How a model stands. SHIPS: it is part of the extension.
SHIPS, INSTALLED, UNFINISHED, NOT_INSTALLED, DAMAGED = "ships", "installed", "unfinished", "not installed", "damaged"


@dataclass(frozen=True)
class FileStatus:
    """How one file of a model stands.

    state : of `store`.  shared : it lies in a root that is only read.  why : what is missing, in words; "" if nothing.
    """

    file: File
    path: Path
    state: str
    shared: bool
    why: str

    @property
    def ready(self) -> bool:
        return self.state in (store.PRESENT, store.CONVERTED)


@dataclass(frozen=True)
class ModelStatus:
    """How a model stands, with its files."""

    model: Model
    state: str
    files: tuple[FileStatus, ...]
    optional: tuple[FileStatus, ...] = ()

    @property
    def why(self) -> str:
        """Why it cannot be used as it is; "" when it can."""
        reasons = [status.why for status in self.files if status.why]
        more = [f"and {len(reasons) - 3} more of its files"] if len(reasons) > 4 else []
        return "; ".join([*reasons[: 3 if more else None], *more])

    @property
    def to_download(self) -> tuple[File, ...]:
        return tuple(status.file for status in self.files if not status.ready and status.file.url)

    @property
    def to_add(self) -> tuple[File, ...]:
        """Optional files that can be downloaded."""
        return tuple(status.file for status in self.optional if not status.ready and status.file.url)

    @property
    def to_register(self) -> tuple[File, ...]:
        return tuple(status.file for status in self.files if not status.ready and not status.file.url)

    @property
    def download_bytes(self) -> int:
        """About how much has still to come."""
        return sum(max(0, file.about_bytes - partial_bytes(own(file))) for file in self.to_download)


def own(file: File) -> Path:
    """Where a file belongs in the user's own root."""
    return store.models_root() / file.path


def by_id(name: str) -> Model:
    """The model called `name`, or `task/name`. Several tasks may have one of that name: they share its files."""
    task, _, identifier = name.rpartition("/")
    for model in catalogue.models(task or None):
        if model.id == identifier and (model.files or task):
            return model
    for model in catalogue.models(task or None):
        if model.id == identifier:
            return model
    known = ", ".join(dict.fromkeys(model.id for model in catalogue.models() if model.files))
    raise SetupError(f"Unknown model: {name}.", f"Choose one of: {known}.")


def needing(path: str, task: str = "") -> Model | None:
    """The first model that needs a file, among those of a task where there is one."""
    models = [model for model in catalogue.models() if any(file.path == path for file in model.everything)]
    return next((model for model in models if model.task == task), models[0] if models else None)


def overview(model: Model) -> ModelStatus:
    """How a model stands. Looks at names and lengths only."""
    files = tuple(_status_of(file) for file in model.files)
    states = {status.state for status in files}
    if not files:
        state = SHIPS
    elif all(status.ready for status in files):
        state = INSTALLED
    elif store.BAD_SIZE in states:
        state = DAMAGED
    else:
        state = UNFINISHED if store.PARTIAL in states else NOT_INSTALLED
    return ModelStatus(model, state, files, tuple(_status_of(file) for file in model.optional))


def _status_of(file: File) -> FileStatus:
    path, state = store.locate(file), store.file_state(file)
    return FileStatus(file, path, state, store.models_root() not in path.parents, why_not(file, path, state))


def why_not(file: File, path: Path, state: str) -> str:
    """Why a file in this state of `store` cannot be used, in words; "" where it can."""
    if state in (store.PRESENT, store.CONVERTED):
        return ""
    if state == store.BAD_SIZE:
        size = path.stat().st_size
        expected = store.recorded(path).get("bytes", 0)
        wanted = f" instead of {expected:,}" if expected else ""
        return f"{file.name} has {size:,} bytes{wanted}"
    if state == store.PARTIAL:
        return f"{in_words(partial_bytes(path))} of {file.name} ({file.size}) downloaded"
    if not file.url:
        return f"{file.name} is only available from its owner at {file.page}"
    return f"{file.name} ({file.size}) is not downloaded"


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not path_exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
