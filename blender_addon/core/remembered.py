# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers kept while a panel is redrawn at every move of the mouse: the disk that is asked may be a network's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from . import jobs

Answer = TypeVar("Answer")

#: Seconds for which an answer is kept; the end of a job, which may change it, ends that.
KEPT = 1.0

_answers: dict[object, tuple[float, object, Any]] = {}


def remembered(key: object, ask: Callable[[], Answer]) -> Answer:
    """What `ask` answered a moment ago, or answers now."""
    now, outcome = time.monotonic(), jobs.outcome()
    known = _answers.get(key)
    if known is None or now - known[0] > KEPT or known[1] is not outcome:
        known = _answers[key] = (now, outcome, ask())
    return known[2]


def forget() -> None:
    """Ask everything again."""
    _answers.clear()
