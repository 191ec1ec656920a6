# SPDX-License-Identifier: GPL-3.0-or-later
"""What detailing will take, reported before it runs. It is worked out on the worker, and remembered for the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core import jobs
from . import plan_shown as shown

if TYPE_CHECKING:
    from ....inference.detailer.planning import Plan
    from ...work.detail.item import DetailWork

signature = shown.signature

_MEBIBYTE = 1 << 20


def job_of(label: str, item: DetailWork, asked: tuple[Any, ...]) -> jobs.Job:
    """A job that plans. asked : `signature` of what it is planned for."""

    def finish(plan: Plan) -> str:
        lines = lines_of(plan)
        shown.remember(shown.Shown(asked, tuple(lines)))
        return "; ".join(lines)

    return jobs.Job(label, item.plan, finish)


def lines_of(plan: Plan) -> list[str]:
    """The plan in words, a line for each thing."""
    done = [one for one in plan.segments if not one.skipped]
    lines = []
    if done:
        largest = max(done, key=lambda one: one.work[0] * one.work[1])
        parts = "1 part" if len(done) == 1 else f"{len(done)} parts"
        width, height = largest.work
        at = f"{'up to ' * (len(done) > 1)}{width} x {height} pixels"
        larger = f", {largest.scale:.2g} times as large" if abs(largest.scale - 1) > 0.01 else ""
        lines.append(f"{parts}, worked on at {at}{larger}")
    if plan.calls:
        lines.append(f"{plan.calls:,} calls of the model")
    memory = f"About {_size(plan.memory)} of memory"
    if plan.available is not None:
        memory += f"; {_size(plan.available)} are free"
    return [*lines, memory, *plan.notes]


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB" if count >= 1 << 30 else f"{max(1, round(count / _MEBIBYTE))} MB"
