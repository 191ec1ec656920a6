# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of catalogue.toml: every model, its licence, and the files it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Mapping


@dataclass(frozen=True)
class File:
    """A published file, under its own name.

    path : below the root of the model files.  url : where it can be downloaded, "" where only its `page` gives it out.
    bytes, sha256 : of the published file; 0 and "" where they are not known.
    page : the page that describes it or, where `gated`, on which its owner hands it out after registration.
    """

    path: str
    licence: str
    page: str
    url: str = ""
    bytes: int = 0
    sha256: str = ""
    gated: bool = False


@dataclass(frozen=True)
class Model:
    """One entry of the catalogue.

    code : the module under `inference` that runs it.  memory_mb : weights in memory, float32.
    files : what it needs on the disk; none for what ships.  options : what tells apart models that share their code.
    """

    id: str
    task: str
    label: str
    code: str
    licence: str
    commercial: bool
    gated: bool
    memory_mb: int
    files: tuple[File, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict, hash=False)


@lru_cache(maxsize=1)
def _all() -> tuple[Model, ...]:
    import tomllib  # Python 3.11; the bootstrap, which runs on 3.9, never comes here

    content = tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text("utf-8"))
    files = {entry["path"]: File(**entry) for entry in content["file"]}
    return tuple(
        Model(**{**entry, "files": tuple(files[path] for path in entry.get("files", ()))}) for entry in content["model"]
    )


def models(task: str | None = None) -> tuple[Model, ...]:
    """All models, or those of one task, in the order in which they are offered."""
    return tuple(model for model in _all() if task in (None, model.task))
