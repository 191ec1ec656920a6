# SPDX-License-Identifier: GPL-3.0-or-later
"""Repainting what is under a mask, telling beforehand what it takes, and looking at what came out.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ...builders.materials.paint_layers import layers
from ...core import jobs
from ...ui.job_display import report_error
from ..shared.operator import PhotoOperator
from . import presets as detail_presets
from .settings import MODEL_KINDS, PROPERTIES


def fill_whole(properties: Any) -> None:
    """The built-in model fills: a share of it would leave a ghost of the old picture."""
    if properties.model == "builtin":
        properties.denoise = 1.0


class PlanOperator(PhotoOperator):
    """Base of the operator that tells what detailing takes, without doing it."""

    def job(self, context: Any) -> jobs.Job:
        from . import build, plan

        return plan.job_of(self.bl_label, build.work(self, context), plan.signature(self))


class MAQUETTE_OT_toggle_detail(bpy.types.Operator):
    """Show the picture before or after detailing: the other image in the Image Editor, else the layer on the object"""

    bl_idname = "maquette.toggle_detail"
    bl_label = "Before / After"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        space, obj = context.space_data, context.active_object
        edits = space is not None and space.type == "IMAGE_EDITOR" and space.image is not None
        if edits or (obj is not None and obj.active_material is not None and list(layers(obj.active_material))):
            return True
        cls.poll_message_set("There is no detailed image or layer to compare")
        return False

    def execute(self, context: Any) -> set[Any]:
        from ...builders.images import compare

        space = context.space_data
        if space is not None and space.type == "IMAGE_EDITOR":
            other = compare.other_image(space.image)
            if other is not None:
                space.image = other
                return {"FINISHED"}
        obj = context.active_object
        if obj is not None and compare.toggle_layer(obj.active_material):
            bpy.ops.ed.undo_push(message=self.bl_label)  # which image an editor shows is not an undo step
            return {"FINISHED"}
        self.report({"ERROR"}, "There is no detailed image or layer to compare")
        return {"CANCELLED"}


class MAQUETTE_OT_load_detail_settings(bpy.types.Operator):
    """Load the settings that an image was detailed with, from the image or its file"""

    bl_idname = "maquette.load_detail_settings"
    bl_label = "Load Settings from Image"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        space = context.space_data
        if space is not None and space.type != "IMAGE_EDITOR":
            cls.poll_message_set("Show the image in an image editor")
            return False
        return True

    image: StringProperty(name="Image", description="Name of the image; empty for the one that the editor shows")
    filepath: StringProperty(name="File", description="PNG or OpenEXR file to read instead", subtype="FILE_PATH")

    def execute(self, context: Any) -> set[Any]:
        from ....inference.errors import BadInput, MaquetteError
        from ...builders.images import detail

        try:
            if self.filepath:
                found = detail.settings_in_file(bpy.path.abspath(self.filepath))
            else:
                image = bpy.data.images.get(self.image) if self.image else getattr(context.space_data, "image", None)
                if image is None:
                    raise BadInput("No image is chosen.", "Show the image in the Image Editor, or give its name.")
                found = detail.settings_of(image)
        except MaquetteError as error:
            return report_error(self, error)
        detail_presets.apply(context.scene.maquette.detail, found)
        self.report({"INFO"}, f"Loaded the settings of {found.get('picture', 'the image')}")
        return {"FINISHED"}


class MAQUETTE_OT_detail_preset(bpy.types.Operator):
    """Set what suits a purpose; everything else stays as it is"""

    bl_idname = "maquette.detail_preset"
    bl_label = "Detail Preset"
    bl_options = {"REGISTER", "UNDO"}

    preset: EnumProperty(name="Preset", description="What is to be repainted", items=detail_presets.ITEMS)

    def execute(self, context: Any) -> set[Any]:
        detail_presets.apply(context.scene.maquette.detail, detail_presets.PRESETS[self.preset])
        return {"FINISHED"}


class MAQUETTE_OT_new_detail_seed(bpy.types.Operator):
    """Draw another seed"""

    bl_idname = "maquette.new_detail_seed"
    bl_label = "New Seed"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[Any]:
        from secrets import randbelow

        context.scene.maquette.detail.seed = randbelow(2**31)
        return {"FINISHED"}


class MAQUETTE_OT_choose_detail_model(bpy.types.Operator):
    """Choose a .safetensors or .gguf file, or a folder of diffusers, on the disk"""

    bl_idname = "maquette.choose_detail_model"
    bl_label = "Choose Model"
    bl_options = {"REGISTER", "UNDO"}

    target: EnumProperty(
        name="For",
        description="Which of the models it becomes",
        items=[(name, name.capitalize(), "") for name in MODEL_KINDS],
        options={"HIDDEN"},
    )
    filepath: StringProperty(name="File", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.safetensors;*.gguf", options={"HIDDEN"})

    def invoke(self, context: Any, event: Any) -> set[Any]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Any) -> set[Any]:
        # A folder that was opened rather than chosen ends with a separator.
        setattr(context.scene.maquette.detail, self.target, self.filepath.rstrip("/\\"))
        return {"FINISHED"}


class MAQUETTE_MT_detail_presets(bpy.types.Menu):
    bl_label = "Presets"
    preset_subdir = "maquette/detail"
    preset_operator = "script.execute_preset"

    def draw(self, context: Any) -> None:
        layout: Any = self.layout
        for identifier, label, _ in detail_presets.ITEMS:
            layout.operator("maquette.detail_preset", text=label).preset = identifier
        if bpy.utils.preset_paths(self.preset_subdir):  # the menu of Blender says that paths are missing otherwise
            layout.separator()
            bpy.types.Menu.draw_preset(self, context)


def _add_preset_operator() -> type:
    """Blender's own way of keeping what the user has set; its base class is only there once Blender has started."""
    from bl_operators import presets

    base: Any = presets.AddPresetBase

    class MAQUETTE_OT_add_detail_preset(base, bpy.types.Operator):
        """Save the settings as a preset, or remove the selected one"""

        bl_idname = "maquette.add_detail_preset"
        bl_label = "Add Detail Preset"
        preset_menu = "MAQUETTE_MT_detail_presets"
        preset_subdir = MAQUETTE_MT_detail_presets.preset_subdir
        preset_values = tuple(f"bpy.context.scene.maquette.detail.{name}" for name in PROPERTIES if name != "mask_name")

    return MAQUETTE_OT_add_detail_preset


MAQUETTE_OT_add_detail_preset = _add_preset_operator()

CLASSES = (
    MAQUETTE_OT_toggle_detail,
    MAQUETTE_OT_load_detail_settings,
    MAQUETTE_OT_detail_preset,
    MAQUETTE_OT_new_detail_seed,
    MAQUETTE_OT_choose_detail_model,
    MAQUETTE_OT_add_detail_preset,
    MAQUETTE_MT_detail_presets,
)
