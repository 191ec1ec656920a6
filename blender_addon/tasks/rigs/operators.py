# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs: which bone is which part, motion onto another armature, poses as assets, and files for other programs.

They work on what is in the scene, need no model, and end within the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from ....inference.options import Number, Switch, Text
from ...core.bpy_settings import Name, properties_of
from ...ui.job_display import report_error
from .settings import FILE, RETARGET

ARMATURE = Text("armature", "", "Armature", "Name of the armature object; empty for the active one")


class RigOperator(bpy.types.Operator):
    """Base of operators that finish at once: errors become one line with what to do."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.scene is not None and context.scene.library is None

    def execute(self, context: Any) -> set[Any]:
        from ....inference.errors import MaquetteError
        from ...core import last_result
        from ...core.transaction import transaction

        try:
            with transaction() as opened:
                line = ". ".join([self.done(context), *opened.notes])
            last_result.remember(context.scene, self.bl_label, line, opened.made())
            self.report({"INFO"}, line)
        except MaquetteError as error:
            return report_error(self, error)
        return {"FINISHED"}

    def done(self, context: Any) -> str:
        """Do it; returns the line that says what was done."""
        raise NotImplementedError


class MAQUETTE_OT_find_bones(RigOperator):
    """Find which bone of an armature is which part of the body, by the names of its bones"""

    bl_idname = "maquette.find_bones"
    bl_label = "Find Bones"
    __annotations__ = properties_of(
        (
            ARMATURE,
            Text("preset", "", "Bone Names", 'Whose names it has ("mixamo", "rigify", ...); empty or "AUTO" finds out'),
        )
    )

    def done(self, context: Any) -> str:
        from . import build

        properties: Any = self
        return build.find_bones(build.armature_object(properties.armature, context), properties.preset)


class MAQUETTE_OT_add_bone(RigOperator):
    """Add a bone to the selected part, which a chain of several bones makes up"""

    bl_idname = "maquette.add_bone"
    bl_label = "Add Bone"
    __annotations__ = properties_of(
        (
            ARMATURE,
            Number("entry", 0, "Entry", "Entry of the bone map after which it is added", low=0),
        )
    )

    def done(self, context: Any) -> str:
        from . import build

        properties: Any = self
        return build.add_bone(build.armature_object(properties.armature, context), properties.entry)


class MAQUETTE_OT_retarget(RigOperator):
    """Move an armature as another one moves, whatever their bones are called and however their rest poses differ"""

    bl_idname = "maquette.retarget"
    bl_label = "Retarget"
    __annotations__ = properties_of(
        (
            *RETARGET,
            Text("source", "", "Source", "Name of the armature object whose motion is taken"),
            Text("target", "", "Target", "Name of the armature object that takes over the motion"),
            Text(
                "source_bones",
                "",
                "Source Bones",
                'Bone map as {"hips": ["Hips"], "spine": [...], "upper_arm.L": [...]}; empty takes the armature\'s '
                "own, or finds it by names",
            ),
            Text("target_bones", "", "Target Bones", "Bone map of the target, in the same form"),
        )
    )

    def done(self, context: Any) -> str:
        from . import build

        manager = context.window_manager
        manager.progress_begin(0, 1)
        try:
            report: Callable[[float], object] = manager.progress_update
            done, unlike = build.retarget(self, context.scene, report)
            if unlike:
                self.report({"WARNING"}, unlike)
            return done
        finally:
            manager.progress_end()


class MAQUETTE_OT_save_pose(RigOperator):
    """Keep the pose of an armature as a pose asset, with a picture of the body in it"""

    bl_idname = "maquette.save_pose"
    bl_label = "Save Pose Asset"
    __annotations__ = properties_of(
        (ARMATURE, Text("name", "", "Name", "Name of the pose; empty takes the armature's"))
    )

    def done(self, context: Any) -> str:
        from . import build

        properties: Any = self
        return build.save_pose(build.armature_object(properties.armature, context), properties.name, context.scene)


class MAQUETTE_OT_export_person(RigOperator):
    """Write an armature and what it moves into a file for other programs"""

    bl_idname = "maquette.export_person"
    bl_label = "Export Person"
    __annotations__ = properties_of(
        (
            *FILE,
            Switch("overwrite", False, "Overwrite", "Replace a file of this name"),
            Text(
                "armature",
                "",
                "Object",
                "Name of the armature, or of a mesh with a vertex cache or shape keys; empty for the active object",
            ),
            Name("filepath", "", "File", "Path of the file to write", kind="FILE_PATH"),
        )
    )

    def invoke(self, context: Any, event: Any) -> set[Any]:
        from . import build

        properties: Any = self
        if not properties.filepath:
            properties.filepath = build.suggested_file(properties.armature, properties.format, context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: Any) -> bool:
        """The ending follows the format while the artist chooses."""
        from . import build

        properties: Any = self
        wanted = build.with_ending(properties.filepath, properties.format)
        changed = wanted != properties.filepath
        properties.filepath = wanted
        return changed

    def done(self, context: Any) -> str:
        from . import build

        return build.export(self, context)


OPERATORS = (
    MAQUETTE_OT_find_bones,
    MAQUETTE_OT_add_bone,
    MAQUETTE_OT_retarget,
    MAQUETTE_OT_save_pose,
    MAQUETTE_OT_export_person,
)
