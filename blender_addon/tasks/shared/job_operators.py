# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping a job, giving memory back, and the way to the preferences."""

from typing import Any

import bpy

from ...core import jobs


class MAQUETTE_OT_cancel_job(bpy.types.Operator):
    """Stop the running task and those waiting; nothing is built from them"""

    bl_idname = "maquette.cancel_job"
    bl_label = "Cancel Job"

    @classmethod
    def poll(cls, context: Any) -> bool:
        if not any(job.thread == jobs.TORCH for job in jobs.active()):
            cls.poll_message_set("No task is running")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        jobs.cancel(jobs.TORCH)
        return {"FINISHED"}


class MAQUETTE_OT_free_memory(bpy.types.Operator):
    """Drop the models that are kept in memory; the next job loads what it needs again"""

    bl_idname = "maquette.free_memory"
    bl_label = "Free Memory"

    def execute(self, context: Any) -> set[Any]:
        # In a script the memory is free on return; a click never waits for a job that is under way.
        busy = any(job.thread == jobs.TORCH for job in jobs.active())
        jobs.free_memory(seconds=0.0 if busy else jobs.STOP_SECONDS)
        return {"FINISHED"}


class MAQUETTE_OT_open_preferences(bpy.types.Operator):
    """Show Maquette's preferences, where its packages and models are"""

    bl_idname = "maquette.open_preferences"
    bl_label = "Maquette's Preferences"

    def execute(self, context: Any) -> set[Any]:
        if bpy.app.background:
            self.report({"ERROR"}, "There is no window to show the preferences in")
            return {"CANCELLED"}
        bpy.ops.screen.userpref_show()
        context.preferences.active_section = "ADDONS"
        bpy.ops.preferences.addon_show(module=str(__package__).rpartition(".blender_addon")[0])
        return {"FINISHED"}


OPERATORS = (MAQUETTE_OT_cancel_job, MAQUETTE_OT_free_memory, MAQUETTE_OT_open_preferences)
