# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending a job to Flamenco's manager, and giving it the job type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ....inference.options import Options, Switch
from ...core import jobs
from ...core.bpy_settings import Name, properties_of
from ..shared.operator import JobOperator
from .settings import flamenco_manager


class MAQUETTE_OT_submit_to_flamenco(JobOperator):
    """Send the chosen photo or clip to the farm, with the settings of the task's panel"""

    bl_idname = "maquette.submit_to_flamenco"
    bl_label = "Submit to Flamenco"

    @classmethod
    def poll(cls, context: Any) -> bool:
        if flamenco_manager() is None:
            cls.poll_message_set("The Flamenco add-on is not enabled")
            return False
        return super().poll(context)

    def job(self, context: Any) -> jobs.Job:
        from ....inference.farm import flamenco
        from ...core.online import require_online
        from . import build

        request, manager = build.request(context.scene.maquette), flamenco_manager() or ""
        require_online()
        return jobs.Job(
            self.bl_label,
            lambda report: flamenco.submit(manager, request),
            lambda name: f"Sent {name} to Flamenco",
            thread=jobs.LIBRARY,
        )


class MAQUETTE_OT_save_job_type(JobOperator):
    """Write the job type maquette.js, which belongs into the folder "scripts" beside flamenco-manager"""

    bl_idname = "maquette.save_job_type"
    bl_label = "Save Job Type"
    __annotations__ = properties_of(
        Options(
            Name("directory", "", "Folder", "Flamenco's folder of scripts", kind="DIR_PATH"),
            Switch("overwrite", False, "Overwrite", "Replace a file of this name"),
        )
    )

    def invoke(self, context: Any, event: Any) -> set[Any]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def job(self, context: Any) -> jobs.Job:
        from ....inference.farm import flamenco

        properties: Any = self
        folder, overwrite = Path(bpy.path.abspath(properties.directory)), properties.overwrite
        write = lambda report: flamenco.save_job_type(folder, overwrite=overwrite)  # noqa: E731
        return jobs.Job(self.bl_label, write, lambda path: f"Wrote {path}", thread=jobs.LIBRARY)


OPERATORS = (MAQUETTE_OT_submit_to_flamenco, MAQUETTE_OT_save_job_type)
