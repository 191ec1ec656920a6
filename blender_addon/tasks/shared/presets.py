# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets of every task, kept as Blender keeps its own: behind the icon at the right of the panel's header.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import Any

import bpy
from bl_operators import presets
from bl_ui.utils import PresetPanel
from bpy.props import StringProperty

from ....inference.options import Options
from .settings import OF_ONE_PHOTO

#: Settings that are of one photo or file only.
_OF_ONE = OF_ONE_PHOTO | {"folder", "part", "bone"}
_AddPreset: Any = presets.AddPresetBase  # whose methods the stubs of Blender's types do not know
#: Task -> its settings, for `MAQUETTE_OT_save_preset`.
_settings: dict[str, Options] = {}


class MAQUETTE_OT_save_preset(_AddPreset, bpy.types.Operator):
    """Save the settings of the task as a preset, or remove one"""

    bl_idname = "maquette.save_preset"
    bl_label = "Save Preset"

    task: StringProperty(name="Task", description="Whose settings", options={"HIDDEN", "SKIP_SAVE"})

    @property
    def preset_menu(self) -> str:
        return f"MAQUETTE_PT_{self.task}_presets"

    @property
    def preset_subdir(self) -> str:
        return f"maquette/{self.task}"

    @property
    def preset_values(self) -> tuple[str, ...]:
        # Whole paths: a name defined before them (`preset_defines`) is unknown to Blender 4.3 with Python 3.13.
        kept = (option.name for option in _settings[self.task] if option.blender and option.name not in _OF_ONE)
        return tuple(f"bpy.context.scene.maquette.{self.task}.{name}" for name in kept)


def preset_panel(task: str, settings: Options) -> type:
    """The popover with the presets of a task."""
    _settings[task] = settings
    attributes: dict[str, Any] = {
        "bl_label": "Presets",
        "preset_subdir": f"maquette/{task}",
        "preset_operator": "script.execute_preset",
        "preset_add_operator": MAQUETTE_OT_save_preset.bl_idname,
        "preset_add_operator_properties": {"task": task},
        "draw": _draw,
    }
    return type(f"MAQUETTE_PT_{task}_presets", (PresetPanel, bpy.types.Panel), attributes)


def _draw(self: Any, context: Any) -> None:
    if bpy.utils.preset_paths(self.preset_subdir):
        PresetPanel.draw(self, context)
        return
    row = self.layout.row(align=True)  # Blender's own drawing says that a path is missing
    row.operator_context = "EXEC_DEFAULT"
    row.prop(context.window_manager, "preset_name", text="")
    save = row.operator(self.preset_add_operator, text="", icon="ADD")
    save.name, save.task = context.window_manager.preset_name, self.preset_add_operator_properties["task"]
