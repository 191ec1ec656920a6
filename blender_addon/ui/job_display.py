# SPDX-License-Identifier: GPL-3.0-or-later
"""How jobs are shown: their progress, how the last one ended, and the button that solves what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import bpy

from ..core import jobs
from .text import draw_lines

if TYPE_CHECKING:
    from bpy.types import Operator, UILayout

    from ...inference.errors import MaquetteError

ButtonText = Callable[[str, Mapping[str, str]], "str | None"]

_button_text: ButtonText = lambda operator, arguments: None  # noqa: E731
_drawn: object = None


def register(button_text: ButtonText) -> None:
    """`button_text(operator, arguments)` names a remedy's button; None where the operator's own label does."""
    global _button_text
    _button_text = button_text


def draw_progress(layout: UILayout, job: jobs.Job, cancel: str, stopping: str = "Stopping") -> None:
    """The bar of a job and the operator that cancels it."""
    row = layout.row(align=True)
    row.progress(factor=job.fraction, type="BAR", text=stopping if job.cancelled else job.message)
    row.operator(cancel, text="", icon="X")


def draw_running(layout: UILayout, thread: str, cancel: str) -> bool:
    """The jobs of one thread: the first with its progress, and how many wait behind it. False where there is none."""
    active = [job for job in jobs.active() if job.thread == thread]
    if active:
        column = layout.column(align=True)
        waiting = f" (+{len(active) - 1})" if len(active) > 1 else ""
        column.label(text=f"{active[0].label}{waiting}", icon="SORTTIME")
        draw_progress(column, active[0], cancel)
    return bool(active)


def draw_outcome(layout: UILayout, width: int, *, page: str = "") -> None:
    """The last job's closing line, or what went wrong and its remedy. page : the operator that leads to where this is
    drawn, and so does not help here."""
    outcome = jobs.outcome()
    if outcome is None:
        return
    box = layout.box()
    box.scale_y = 0.8
    draw_lines(box, outcome.line, width, "ERROR" if outcome.failed else "CHECKMARK")
    draw_lines(box, outcome.remedy, width, "BLANK1")
    if outcome.operator != page:
        draw_remedy(box, outcome)


def draw_remedy(layout: Any, shown: jobs.Outcome) -> None:
    """The button that solves what went wrong, where there is one."""
    if shown.operator is None:
        return
    layout.operator_context = "INVOKE_DEFAULT"  # a popup would carry it out at once, without its dialog
    button = layout.operator(shown.operator, text=_button_text(shown.operator, dict(shown.arguments)))
    for name, value in shown.arguments:
        setattr(button, name, value)


def report_error(operator: Operator, error: MaquetteError) -> set[Any]:
    """One line for whoever called; the panel keeps it together with the remedy's button."""
    jobs.remember(jobs.Outcome.of(error))
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


def announce(label: str, shown: jobs.Outcome) -> None:
    """Show an error that nobody waits for: the sidebar, which keeps it, may be closed."""
    manager: Any = bpy.context.window_manager
    if bpy.app.background or not manager.windows:
        return

    def draw(menu: Any, _context: object) -> None:
        for line in filter(None, (shown.line, shown.remedy)):
            menu.layout.label(text=line)
        draw_remedy(menu.layout, shown)

    with bpy.context.temp_override(window=manager.windows[0]):
        manager.popup_menu(draw, title=label, icon="ERROR")


def redraw() -> None:
    """Redraw the sidebars and the preferences when what they show has changed."""
    global _drawn
    shown = (jobs.outcome(), tuple((job.label, job.fraction, job.message) for job in jobs.active()))
    if shown == _drawn:
        return
    _drawn = shown
    manager: Any = bpy.context.window_manager
    for window in manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "IMAGE_EDITOR", "PREFERENCES"}:
                for region in area.regions:
                    if region.type == ("WINDOW" if area.type == "PREFERENCES" else "UI"):
                        region.tag_redraw()
