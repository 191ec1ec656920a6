# SPDX-License-Identifier: GPL-3.0-or-later
"""Base of the operators that install, check and remove models and packages, on the thread that downloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bpy

from ...installer.net.errors import LicenceNeeded, NeedsRegistration
from ...installer.shared.errors import SetupError
from ..core import jobs
from .job_display import report_error

if TYPE_CHECKING:
    from ...inference.errors import MaquetteError


class SetupOperator(bpy.types.Operator):
    """One job, waited for in a script, in the background when clicked."""

    bl_options = {"REGISTER", "INTERNAL"}
    #: Set by `invoke`: `execute` comes from a click.
    clicked = False

    def job(self) -> jobs.Job:
        """What to do. Raises MaquetteError or SetupError where it cannot be done."""
        raise NotImplementedError

    def ask(self, context: Any, event: Any) -> set[Any]:
        """What a click does first: a subclass shows a dialog. May raise SetupError."""
        return self.execute(context)

    def dialog(self, context: Any, title: str, confirm: str) -> set[Any]:
        """A dialog that a subclass fills in `draw`."""
        return context.window_manager.invoke_props_dialog(self, width=460, title=title, confirm_text=confirm)

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background:
            return self.execute(context)
        self.clicked = True
        try:
            return self.ask(context, event)
        except SetupError as error:
            return report_error(self, with_button(error))

    def execute(self, context: Any) -> set[Any]:
        from ...inference.errors import MaquetteError

        try:
            job = self.job()
            if self.clicked and not bpy.app.background:
                jobs.submit(job)
            else:
                self.report({"INFO"}, jobs.run(job))
        except SetupError as error:
            return report_error(self, with_button(error))
        except MaquetteError as error:
            return report_error(self, error)
        return {"FINISHED"}


def with_button(error: SetupError, model: str = "") -> MaquetteError:
    """The error with the operator that solves it: for a missing licence or registration, that model's dialog."""
    from ...inference.errors import MaquetteError

    if model and isinstance(error, (LicenceNeeded, NeedsRegistration)):
        return MaquetteError(error.message, error.remedy, "maquette.install_model", {"model": model})
    return MaquetteError(error.message, error.remedy, "maquette.open_preferences")


def setup_job(
    label: str, work: Callable[[jobs.Report], Any], finish: Callable[[Any], str], model: str = ""
) -> jobs.Job:
    """A job of the thread that downloads, whose errors have buttons. model : the id of the one that it is about."""

    def guarded(report: jobs.Report) -> Any:
        try:
            return work(report)
        except SetupError as error:
            raise with_button(error, model) from error

    return jobs.Job(label, guarded, finish, jobs.LIBRARY)
