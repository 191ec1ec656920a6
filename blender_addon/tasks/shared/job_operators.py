# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping a job, looking at what it made, building it again, giving memory back, and the way to the preferences.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty

from ...core import jobs
from ...ui.job_display import draw_remedy
from ...ui.text import draw_lines
from .shown import look_through_camera


class MAQUETTE_OT_cancel_job(bpy.types.Operator):
    """Stop the running task and those waiting, or one of them; nothing is built from them"""

    bl_idname = "maquette.cancel_job"
    bl_label = "Cancel Job"

    number: IntProperty(name="Number", description="Number of the job; 0 for all tasks", min=0, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Any) -> bool:
        if not jobs.active():
            cls.poll_message_set("No task is running")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        if self.number:
            jobs.cancel(number=self.number)
        else:
            jobs.cancel(jobs.TORCH)
        return {"FINISHED"}


class Result:
    """One of the last results. Blender takes properties from plain classes only."""

    index: IntProperty(
        name="Number", description="Of the last results, the latest being 0", min=0, options={"SKIP_SAVE"}
    )

    def outcome(self) -> jobs.Outcome | None:
        history = jobs.history()
        return history[self.index] if self.index < len(history) else None


class MAQUETTE_OT_show_outcome(Result, bpy.types.Operator):
    """The whole message"""

    bl_idname = "maquette.show_outcome"
    bl_label = "Message"
    bl_options = {"INTERNAL"}

    @classmethod
    def description(cls, context: Any, properties: Any) -> str:
        outcome = jobs.outcome()
        return f"{outcome.line}\n{outcome.remedy}".rstrip(".\n ") if outcome else cls.__doc__ or ""

    def invoke(self, context: Any, event: Any) -> set[Any]:
        return context.window_manager.invoke_popup(self, width=420)

    def execute(self, context: Any) -> set[Any]:
        return {"FINISHED"}

    def draw(self, context: Any) -> None:
        outcome, layout = jobs.outcome(), self.layout
        if outcome is not None and layout is not None:
            draw_lines(layout, outcome.line, 64, "ERROR" if outcome.failed else "CHECKMARK")
            draw_lines(layout, outcome.remedy, 64, "BLANK1")
            draw_remedy(layout, outcome)


class MAQUETTE_OT_show_result(Result, bpy.types.Operator):
    """Select and frame what was made; pictures open in an image editor"""

    bl_idname = "maquette.show_result"
    bl_label = "Show"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[Any]:
        from . import shown

        outcome = self.outcome()
        known = [getattr(bpy.data, kind).get(name) for kind, name in outcome.made] if outcome else []
        made = [block for block in known if block is not None]
        if not made:
            self.report({"WARNING"}, "What was made is no longer there")
            return {"CANCELLED"}
        shown.show(made, context)
        return {"FINISHED"}


class MAQUETTE_OT_build_again(Result, bpy.types.Operator):
    """Build what was computed in another way; nothing is computed again while the result is in memory"""

    bl_idname = "maquette.build_again"
    bl_label = "Build Again"

    @classmethod
    def poll(cls, context: Any) -> bool:
        if not any(outcome.again for outcome in jobs.history()):
            cls.poll_message_set("Nothing has been made that could be built again")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        again = getattr(self.outcome(), "again", None)
        if again is None:
            return {"CANCELLED"}
        name, values = again
        operators: Any = bpy.ops
        return getattr(operators.maquette, name.partition(".")[2])("INVOKE_DEFAULT", **{**values, "ask": True})


class MAQUETTE_OT_match_render(bpy.types.Operator):
    """Give the render the size and shape of the photo, and look through the photo's camera"""

    bl_idname = "maquette.match_render"
    bl_label = "Set Render"
    bl_options = {"REGISTER", "UNDO"}

    camera: StringProperty(name="Camera", description="Name of the photo's camera; empty for the scene's camera")

    def execute(self, context: Any) -> set[Any]:
        from ....inference.errors import MaquetteError
        from ...builders.camera import matched
        from ...ui.job_display import report_error

        camera = bpy.data.objects.get(self.camera) if self.camera else context.scene.camera
        if camera is None:
            self.report({"ERROR"}, f"There is no camera {self.camera}".rstrip())
            return {"CANCELLED"}
        try:
            line = matched.match_render(camera, context.scene)
        except MaquetteError as error:
            return report_error(self, error)
        look_through_camera(context.scene)
        jobs.remember(jobs.Outcome(line))
        self.report({"INFO"}, line)
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


class MAQUETTE_OT_allow_online(bpy.types.Operator):
    """Let Blender use the network, as Preferences > System > Network does; Maquette downloads only what you install"""

    bl_idname = "maquette.allow_online"
    bl_label = "Allow Online Access"

    @classmethod
    def poll(cls, context: Any) -> bool:
        if bpy.app.online_access_override:
            cls.poll_message_set("Blender was started offline; start it without --offline-mode")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        context.preferences.system.use_online_access = True
        jobs.remember(jobs.Outcome("Blender may use the network now"))
        return {"FINISHED"}


OPERATORS = (
    MAQUETTE_OT_cancel_job,
    MAQUETTE_OT_show_outcome,
    MAQUETTE_OT_show_result,
    MAQUETTE_OT_build_again,
    MAQUETTE_OT_match_render,
    MAQUETTE_OT_free_memory,
    MAQUETTE_OT_open_preferences,
    MAQUETTE_OT_allow_online,
)
