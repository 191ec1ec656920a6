# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of catalogue.toml: every model, its licence, and the files it needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Model:
    """One entry of the catalogue.

    code : the module under `inference` that runs it.  memory_mb : weights in memory, float32.
    """

    id: str
    task: str
    label: str
    code: str
    licence: str
    commercial: bool
    gated: bool
    memory_mb: int


@lru_cache(maxsize=1)
def _all() -> tuple[Model, ...]:
    import tomllib  # Python 3.11; the bootstrap, which runs on 3.9, never comes here

    path = Path(__file__).with_name("catalogue.toml")
    return tuple(Model(**entry) for entry in tomllib.loads(path.read_text("utf-8"))["model"])


def models(task: str | None = None) -> tuple[Model, ...]:
    """All models, or those of one task, in the order in which they are offered."""
    return tuple(model for model in _all() if task in (None, model.task))
