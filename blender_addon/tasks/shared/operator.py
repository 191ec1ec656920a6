# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators of all tasks share: one job, done in the background when clicked, to its end in a script."""

from __future__ import annotations

import math
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

import bpy

from ...core import jobs
from ...ui.job_display import report_error


class JobOperator(bpy.types.Operator):
    """Base of an operator that runs one job."""

    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        if context.scene is None or context.scene.library is not None:
            cls.poll_message_set("This scene is linked from another file")
            return False
        return True

    def invoke(self, context: Any, event: Any) -> set[Any]:
        from ....inference.errors import MaquetteError

        if bpy.app.background:
            return self.execute(context)
        try:
            jobs.submit(self._checked_job(context))
        except MaquetteError as error:
            return report_error(self, error)
        return {"FINISHED"}

    def execute(self, context: Any) -> set[Any]:
        from ....inference.errors import MaquetteError

        manager = context.window_manager
        manager.progress_begin(0, 1)
        try:
            line = jobs.run(self._checked_job(context), lambda fraction, _message: manager.progress_update(fraction))
        except MaquetteError as error:
            return report_error(self, error)
        finally:
            manager.progress_end()
        self.report({"INFO"}, line)
        return {"FINISHED"}

    def job(self, context: Any) -> jobs.Job:
        """The job that the properties ask for. Raises MaquetteError where it cannot be done."""
        raise NotImplementedError

    def _checked_job(self, context: Any) -> jobs.Job:
        from ....inference.errors import BadInput

        declared: Any = self.properties.bl_rna.properties
        for one in declared:
            if one.type != "FLOAT":
                continue
            value = getattr(self, one.identifier)
            # Blender holds numbers to their limits, but lets NaN through.
            if any(math.isnan(number) for number in (value if one.is_array else [value])):
                raise BadInput(f"{one.name} is not a number (NaN).", "Give a number.")
        return self.job(context)


class PhotoOperator(JobOperator):
    """Base of an operator that runs a task on a photo or clip."""

    #: The `Task`; Blender looks annotations up, and finds no types of ours.
    task: ClassVar[Any] = None

    def job(self, context: Any) -> jobs.Job:
        from .finish import finish

        code = self.task.code()
        item = code.work(self, context)
        build = partial(finish, item, code.build, self.bl_label)
        return jobs.Job(self.bl_label, item.run, build, is_partial=attrgetter("partial"))
