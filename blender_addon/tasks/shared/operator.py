# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators of all tasks share: one job, done in the background when clicked, to its end in a script."""

from __future__ import annotations

import math
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, cast

import bpy

from ...core import jobs
from ...packages.state import awaited
from ...ui.job_display import report_error
from .chosen import has_layers
from .settings import COMMON


class JobOperator(bpy.types.Operator):
    """Base of an operator that runs one job."""

    bl_options = {"REGISTER"}
    #: Set by `invoke`: `execute` comes from a click, and waits for nothing.
    clicked = False

    @classmethod
    def poll(cls, context: Any) -> bool:
        if context.scene is None or context.scene.library is not None:
            cls.poll_message_set("This scene is linked from another file")
            return False
        if not bpy.app.background and (missing := awaited()):
            cls.poll_message_set(missing)
            return False
        return True

    def invoke(self, context: Any, event: Any) -> set[Any]:
        self.clicked = not bpy.app.background
        return self.execute(context)

    def execute(self, context: Any) -> set[Any]:
        from ....inference.errors import MaquetteError

        if self.clicked:
            try:
                jobs.submit(self._checked_job(context))
            except MaquetteError as error:
                return report_error(self, error, self._photo)
            return {"FINISHED"}
        manager = context.window_manager
        manager.progress_begin(0, 1)
        try:
            line = jobs.run(self._checked_job(context), lambda fraction, _message: manager.progress_update(fraction))
        except MaquetteError as error:
            return report_error(self, error, self._photo)
        finally:
            manager.progress_end()
        self.report({"INFO"}, line)
        return {"FINISHED"}

    @property
    def _photo(self) -> str:
        return getattr(self, "image", "") or getattr(self, "filepath", "")

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

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background:
            return self.execute(context)
        self.clicked = True
        given: Any = self
        if not given.image and not given.filepath:  # from a menu, the search or a key: what the panel's button gives
            fill(self, context.scene.maquette, self.task)
            if not given.image and not given.filepath:
                context.window_manager.fileselect_add(self)
                return {"RUNNING_MODAL"}
        if given.ask:
            dialog = context.window_manager.invoke_props_dialog
            return dialog(self, width=360, title=self.bl_label, confirm_text="Build")
        return self.execute(context)

    def draw(self, context: Any) -> None:
        """What is built of the result that is there, in the dialog of `ask`."""
        layout: Any = self.layout
        layout.use_property_split = True
        for option in self.task.settings:
            if option.blender and option.name in self.task.built:
                layout.prop(self, option.name)

    def job(self, context: Any) -> jobs.Job:
        from .finish import finish

        code, given = self.task.code(), cast("Any", self)
        item = code.work(self, context)
        name = f"maquette.{type(self).__name__.removeprefix('MAQUETTE_OT_')}"
        build = partial(
            finish, item, code.build, self.bl_label, clicked=self.clicked, again=(name, _values(self)),
            replace=given.replace and self.task.replaces, all_of_it=given.ask,
        )  # fmt: skip
        return jobs.Job(
            self.bl_label, item.run, build, is_partial=attrgetter("partial"), operator=name,
            photo=self._photo,
        )  # fmt: skip


def _values(operator: Any) -> dict[str, Any]:
    """The operator's properties, to be called again with."""
    names = [one.identifier for one in operator.properties.bl_rna.properties if not one.is_readonly]
    values = {name: getattr(operator, name) for name in names if hasattr(operator, name)}
    return {name: tuple(value) if hasattr(value, "foreach_get") else value for name, value in values.items()}


def fill(properties: Any, settings: Any, task: Any) -> None:
    """Give an operator's properties what the scene's settings say. settings : `Scene.maquette`."""
    for declared, values in ((task.settings, getattr(settings, task.name)), (COMMON, settings)):
        for option in declared:
            if option.blender and hasattr(properties, option.name):  # another operator may have a part of them
                setattr(properties, option.name, getattr(values, option.name))
    properties.camera = settings.camera.name if settings.camera else ""
    if hasattr(properties, "armature"):  # its clip is that person's
        return
    properties.layer = settings.layer if has_layers(settings) else ""
    properties.image = settings.image.name if settings.image and settings.source == "IMAGE" else ""
    properties.filepath = settings.filepath if settings.source == "FILE" else ""
    task.adjust(properties)
