# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators of all tasks share: one request, done in the background when clicked, to its end in a script."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any, ClassVar

import bpy

from ...core import jobs
from ...ui.job_display import report_error


class TaskOperator(bpy.types.Operator):
    """Base of an operator whose work is in `tasks.<task>`."""

    bl_options = {"REGISTER"}
    task: ClassVar[str]

    @classmethod
    def poll(cls, context: Any) -> bool:
        if context.scene is None or context.scene.library is not None:
            cls.poll_message_set("Maquette builds into a scene of this file")
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
        return self._job(context)

    def _job(self, context: Any) -> jobs.Job:
        from .common import job_of

        task = import_module(f"..{self.task}.build", __package__)
        return job_of(self.bl_label, task.request(self, context), task.build)
