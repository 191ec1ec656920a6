# SPDX-License-Identifier: GPL-3.0-or-later
"""The last plan of detailing, kept for the panel, which must import nothing heavy while it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .settings import PROPERTIES


@dataclass(frozen=True)
class Shown:
    """asked : what was planned for, see `signature`.  lines : the plan in words."""

    asked: tuple[Any, ...]
    lines: tuple[str, ...]


_last: Shown | None = None


def signature(settings: Any) -> tuple[Any, ...]:
    """What a plan depends on, of an operator's properties or a scene's."""
    return tuple(getattr(settings, name) for name in PROPERTIES)


def remember(plan: Shown) -> None:
    global _last
    _last = plan


def last() -> Shown | None:
    return _last
