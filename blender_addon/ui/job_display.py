# SPDX-License-Identifier: GPL-3.0-or-later
"""How jobs are shown: their progress, how the last one ended, and the button that solves what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bpy

from ..core import jobs, last_result
from ..core.online import offline_line
from .text import draw_lines

if TYPE_CHECKING:
    from bpy.types import Operator, UILayout

    from ...inference.errors import MaquetteError

ButtonText = Callable[[str, Mapping[str, str]], "str | None"]
InShort = Callable[[str, Mapping[str, str]], "tuple[str, str] | None"]

_button_text: ButtonText = lambda operator, arguments: None  # noqa: E731
_in_short: InShort = lambda operator, arguments: None  # noqa: E731
_drawn: object = None
#: What the status bar tells of, and since when; and for how many seconds.
_told: tuple[object, float] = (None, 0.0)
_TELLING = 60.0


def register(button_text: ButtonText, in_short: InShort) -> None:
    """`button_text(operator, arguments)` names a remedy's button; None where the operator's own label does.
    `in_short(operator, arguments)` : what the error says beside that button, in two short sentences; None as it is."""
    global _button_text, _in_short
    _button_text, _in_short = button_text, in_short
    bpy.types.STATUSBAR_HT_header.append(draw_in_status_bar)


def unregister() -> None:
    bpy.types.STATUSBAR_HT_header.remove(draw_in_status_bar)


def draw_progress(layout: UILayout, job: jobs.Job, stopping: str = "Stopping", *, named: bool = False) -> None:
    """The bar of a job, with what it does and how long that will take, and the button that cancels it."""
    row = layout.row(align=True)
    row.progress(factor=job.fraction, type="BAR", text=progress_text(job, stopping, named=named))
    row.operator("maquette.cancel_job", text="", icon="X").number = job.number


def progress_text(job: jobs.Job, stopping: str = "Stopping", *, named: bool = False) -> str:
    """What a job is at. named : with its label, where it does not stand beside it."""
    left = None if job.cancelled else job.remaining()
    text = stopping if job.cancelled else job.message
    if job.count and not job.cancelled:  # in a narrow panel the number says more than what is done with it
        text = f"{text.partition(', ')[0]}, {job.count}" if named else job.count.capitalize()
    text = f"{job.label}: {text}" if named else text
    return text if left is None else f"{text}, {_duration(left)}{' left' * named}"  # a button is narrow


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def draw_running(layout: UILayout, thread: str | None = None, but: str = "\0") -> bool:
    """Every job that runs or waits, or those of one thread, each with its cancel button. False where there is none.
    but : what the labels of those end in that are shown elsewhere."""
    active = [job for job in jobs.active() if thread in (None, job.thread) and not job.label.endswith(but)]
    column = layout.column(align=True)
    for job in active:
        draw_progress(column, job, named=True)
    return bool(active)


def _shortened(outcome: jobs.Outcome) -> jobs.Outcome:
    """An error as the window tells it, where a button does what the long remedy describes."""
    if bpy.app.background or outcome.operator is None:
        return outcome
    told = _in_short(outcome.operator, dict(outcome.arguments))
    return outcome if told is None else replace(outcome, line=told[0], remedy=told[1])


def is_there(outcome: jobs.Outcome) -> bool:
    """Whether any of what a job has made is still there: it may have been undone or deleted."""
    if not outcome.made:
        return True
    there = any(name in getattr(bpy.data, kind) for kind, name in outcome.made)
    return there and (outcome is not jobs.outcome() or last_result.stands(outcome.line))


def current(photo: str) -> jobs.Outcome | None:
    """How the last job ended, where that is still of interest: not after its undo, and not of another photo than the
    chosen one."""
    outcome = jobs.outcome()
    if outcome is None or not is_there(outcome):
        return None
    other = outcome.photo != photo and (outcome.photo or (outcome.failed and outcome.label))
    return None if other else outcome


def draw_status(layout: UILayout, photo: str) -> None:
    """One row, which never changes its height: what is running, or how the last job ended and the button that helps.
    The whole text is its tooltip."""
    row = layout.row(align=True)
    job, *waiting = jobs.active() or (None,)
    if job is not None:
        left = job.remaining()
        text = f"{job.label}{f' (+{len(waiting)})' if waiting else ''}"
        row.progress(factor=job.fraction, type="BAR", text=text + (f", {_duration(left)} left" if left else ""))
        row.operator("maquette.cancel_job", text="", icon="X").number = job.number
        return
    outcome = current(photo)
    if outcome is None:
        row.label(text="")
        return
    split = row.split(factor=0.6) if outcome.operator or _of_photo(outcome) else row
    split.operator("maquette.show_outcome", text=opening(outcome.line), icon=_icon(outcome), emboss=False)
    if split != row:
        draw_remedy(split, outcome)


def opening(line: str) -> str:
    """A closing line's first sentence, and a sign that there is more: that somebody was seen who is not fitted, say."""
    first, _, more = line.partition(". ")
    return f"{first} …" if more else first


def _icon(outcome: jobs.Outcome) -> Any:
    return "ERROR" if outcome.failed else "INFO" if outcome.cancelled else "CHECKMARK"


def draw_outcome(layout: UILayout, width: int, *, page: str = "") -> None:
    """The last job's closing line, or what went wrong and its remedy. page : the operator that leads to where this is
    drawn, and so does not help here."""
    outcome = jobs.outcome()
    if outcome is None or not is_there(outcome):
        return
    box = layout.box()
    box.scale_y = 0.8
    draw_lines(box, outcome.line, width, _icon(outcome))
    draw_lines(box, outcome.remedy, width, "BLANK1")
    if outcome.operator != page:
        draw_remedy(box, outcome)


def draw_offline(layout: UILayout, instead: str, width: int) -> None:
    """Where Blender may not use the network: that, and the button that lets it."""
    if line := offline_line(instead):
        box = layout.box()
        draw_lines(box, line, width, "INTERNET_OFFLINE")
        box.operator("maquette.allow_online", icon="INTERNET")


def _of_photo(shown: jobs.Outcome) -> bool:
    """Whether another photo is the way out."""
    nothing = shown.kind is not None and shown.kind.__name__ == "NothingFound"
    return nothing or (shown.failed and "another photo" in shown.remedy)


def draw_remedy(layout: Any, shown: jobs.Outcome) -> None:
    """The button that solves what went wrong, where there is one."""
    if shown.operator is None:
        if _of_photo(shown):
            layout.operator("maquette.choose_photo", text="Choose Photo...")
        return
    layout.operator_context = "INVOKE_DEFAULT"  # a popup would carry it out at once, without its dialog
    button = layout.operator(shown.operator, text=_button_text(shown.operator, dict(shown.arguments)))
    for name, value in shown.arguments:
        setattr(button, name, value)


def report_error(operator: Operator, error: MaquetteError, photo: str | None = None) -> set[Any]:
    """One line for whoever called; the panel keeps it together with the remedy's button. photo : that it is about."""
    told = {} if photo is None else {"label": operator.bl_label, "photo": photo}
    jobs.remember(replace(_shortened(jobs.Outcome.of(error)), **told))  # type: ignore[arg-type]
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
    """Redraw the sidebars, the status bar and the preferences when what they show has changed."""
    global _drawn
    # A bar is some hundred pixels wide; drawing a window takes a while where the processor does it.
    shown = (jobs.outcome(), tuple((job.number, round(job.fraction, 2), job.message) for job in jobs.active()))
    if shown == _drawn:
        return
    _drawn = shown
    redraw_tabs()


def redraw_tabs() -> None:
    """Redraw sidebars, status bar and preferences: of an operator only the region of its button is redrawn."""
    manager: Any = bpy.context.window_manager
    for window in manager.windows:
        if not bpy.app.background:
            # Has the status bar drawn, which no area lists. A timer has no window, and after a file was opened a
            # workspace without one, where Blender 4.3 crashes.
            with bpy.context.temp_override(window=window):
                window.workspace.status_text_set_internal(None)
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "IMAGE_EDITOR", "PREFERENCES"}:
                for region in area.regions:
                    if region.type == ("WINDOW" if area.type == "PREFERENCES" else "UI"):
                        region.tag_redraw()


def draw_in_status_bar(self: Any, _context: object) -> None:
    """The running job at the end of Blender's status bar, wherever the artist works; for a while after it, what it
    made: a picture may have been opened nowhere, and the sidebar may be closed."""
    global _told
    active, outcome = jobs.active(), jobs.outcome()
    if outcome is not _told[0]:
        _told = outcome, time.monotonic()
    telling = outcome is not None and outcome.made and is_there(outcome) and time.monotonic() - _told[1] < _TELLING
    if not active and not telling:
        return
    row = self.layout.row()
    row.ui_units_x = 18
    if active:
        draw_progress(row, active[0], named=True)
    elif outcome is not None:
        row.label(text=opening(outcome.line), icon="CHECKMARK")
        row.operator("maquette.show_result", text="Show", icon="VIEWZOOM").index = 0
