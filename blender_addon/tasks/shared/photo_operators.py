# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing the photo, from disk, an image editor, by dropping it, or the sample; and the tasks in Blender's menus.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...ui.job_display import redraw_tabs, report_error

#: A photo in the public domain that ships: NASA's portrait of Eileen Collins.
SAMPLE = Path(__file__).parents[2] / "sample" / "astronaut.jpg"
_PICTURES = ".jpg;.jpeg;.png;.tif;.tiff;.webp;.exr;.heic;.avif;.bmp;.mp4;.mov;.mkv;.avi;.webm"
#: Operators in Blender's menus: name -> text and icon.
_MENU: dict[str, tuple[str, str]] = {
    "recover_people": ("People from Photo", "OUTLINER_OB_ARMATURE"),
    "estimate_depth": ("Relief from Photo", "MOD_DISPLACE"),
    "estimate_normals": ("Normal Map from Photo", "NORMALS_FACE"),
    "refine_hands": ("Hands from Photo", "VIEW_PAN"),
}


class MAQUETTE_OT_choose_photo(bpy.types.Operator):
    """Choose the photo or clip to work on"""

    bl_idname = "maquette.choose_photo"
    bl_label = "Choose Photo or Clip"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="File", description="Photo, movie, or one of numbered pictures", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    then: StringProperty(name="Task", description="Operator that is run on it", options={"SKIP_SAVE", "HIDDEN"})
    display_type: EnumProperty(
        name="Display",
        description="How the file browser lists files",
        # The browser goes by the numbers of its own property.
        items=[("DEFAULT", "Default", "As set in Blender", 0), ("THUMBNAIL", "Thumbnails", "Pictures", 3)],
        default="THUMBNAIL",
        options={"HIDDEN"},
    )
    filter_image: BoolProperty(name="Images", description="List pictures", default=True, options={"HIDDEN"})
    filter_movie: BoolProperty(name="Movies", description="List movies", default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(name="Folders", description="List folders", default=True, options={"HIDDEN"})

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if self.filepath:  # dropped
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Any) -> set[Any]:
        from ....inference.errors import BadInput

        path = Path(bpy.path.abspath(self.filepath))
        settings = context.scene.maquette
        try:
            settings.image = bpy.data.images.load(str(path), check_existing=True)
            settings.source = "IMAGE"
        except RuntimeError:  # Blender cannot read it; inference reads more
            if not path.is_file():
                return report_error(self, BadInput(f"The file {path} does not exist.", "Choose another photo."))
            settings.filepath, settings.source = str(path), "FILE"
        redraw_tabs()
        return _run(self.then) if self.then else {"FINISHED"}


class MAQUETTE_OT_use_image(bpy.types.Operator):
    """Work on the image that this editor shows"""

    bl_idname = "maquette.use_image"
    bl_label = "Use This Image"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        if shown_image(context) is None:
            cls.poll_message_set("This editor shows no image")
            return False
        return True

    def execute(self, context: Any) -> set[Any]:
        settings = context.scene.maquette
        settings.image, settings.source = shown_image(context), "IMAGE"
        redraw_tabs()
        return {"FINISHED"}


class MAQUETTE_OT_sample_photo(bpy.types.Operator):
    """Open a photo that comes with Maquette, to try it on: NASA's portrait of an astronaut, in the public domain"""

    bl_idname = "maquette.sample_photo"
    bl_label = "Sample Photo"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[Any]:
        return bpy.ops.maquette.choose_photo(filepath=str(SAMPLE))  # type: ignore[attr-defined]


class MAQUETTE_OT_drop_photo(bpy.types.Operator):
    """Work on the photo or clip that was dropped"""

    bl_idname = "maquette.drop_photo"
    bl_label = "Use in Maquette"  # beside what Blender itself offers to do with an image
    bl_options = {"INTERNAL"}

    filepath: StringProperty(name="File", description="Photo or clip", subtype="FILE_PATH", options={"SKIP_SAVE"})

    def execute(self, context: Any) -> set[Any]:
        return bpy.ops.maquette.choose_photo(filepath=self.filepath)  # type: ignore[attr-defined]


class MAQUETTE_FH_photos(bpy.types.FileHandler):
    """Photos and movies that are dropped while the tab is open."""

    bl_idname = "MAQUETTE_FH_photos"
    bl_label = "Photo for Maquette"
    bl_import_operator = "maquette.drop_photo"
    bl_file_extensions = _PICTURES

    @classmethod
    def poll_drop(cls, context: Any) -> bool:
        area = context.area
        if area is None or area.type not in {"VIEW_3D", "IMAGE_EDITOR"} or not area.spaces.active.show_region_ui:
            return False
        sidebar = next((region for region in area.regions if region.type == "UI"), None)
        return getattr(sidebar, "active_panel_category", "") == "Maquette"


class MAQUETTE_MT_tasks(bpy.types.Menu):
    bl_idname = "MAQUETTE_MT_tasks"
    bl_label = "Maquette"

    def draw(self, context: Any) -> None:
        layout: Any = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        for name, (text, icon) in _MENU.items():
            layout.operator(f"maquette.{name}", text=text, icon=icon)
        layout.separator()
        for name in ("choose_photo", "sample_photo", "build_again", "match_render", "retarget"):
            layout.operator(f"maquette.{name}")


def shown_image(context: Any) -> Any:
    """The image of the editor that is drawn, or that the mouse is in; None elsewhere."""
    space = context.space_data
    image = space.image if space is not None and space.type == "IMAGE_EDITOR" else None
    return image if image is not None and image.type != "RENDER_RESULT" else None


def _run(name: str) -> set[Any]:
    operators: Any = bpy.ops
    return getattr(operators.maquette, name)("INVOKE_DEFAULT")


def _draw_add(self: Any, _context: object) -> None:
    self.layout.menu("MAQUETTE_MT_tasks", icon="IMAGE_DATA")


def _draw_import(self: Any, _context: object) -> None:
    for name, (text, _) in list(_MENU.items())[:2]:
        self.layout.operator("maquette.choose_photo", text=f"{text} (.jpg/.png/.mp4 ...)").then = name


def _draw_image(self: Any, _context: object) -> None:
    self.layout.separator()
    self.layout.operator("maquette.use_image", icon="EYEDROPPER")
    self.layout.menu("MAQUETTE_MT_tasks", icon="IMAGE_DATA")


_MENUS = {
    "VIEW3D_MT_add": _draw_add,
    "TOPBAR_MT_file_import": _draw_import,
    "IMAGE_MT_image": _draw_image,
    "VIEW3D_MT_object_context_menu": _draw_add,
}
#: Key map, editor, operator and property: off until the artist turns them on under Preferences > Keymap.
_KEYS = (("3D View", "VIEW_3D", "M"), ("Image", "IMAGE_EDITOR", "M"))
_keys: list[tuple[Any, Any]] = []

CLASSES = (
    MAQUETTE_OT_choose_photo,
    MAQUETTE_OT_use_image,
    MAQUETTE_OT_sample_photo,
    MAQUETTE_OT_drop_photo,
    MAQUETTE_FH_photos,
    MAQUETTE_MT_tasks,
)


def register() -> None:
    """Put the tasks into Blender's menus and key maps."""
    for name, draw in _MENUS.items():
        getattr(bpy.types, name).append(draw)
    manager: Any = bpy.context.window_manager
    configuration = manager.keyconfigs.addon
    if configuration is None:  # in background mode
        return
    for name, space, key in _KEYS:
        keymap = configuration.keymaps.new(name, space_type=space)
        item = keymap.keymap_items.new("wm.call_menu", key, "PRESS", ctrl=True, alt=True, shift=True)
        item.properties.name, item.active = "MAQUETTE_MT_tasks", False
        _keys.append((keymap, item))


def unregister() -> None:
    for keymap, item in _keys:
        keymap.keymap_items.remove(item)
    _keys.clear()
    for name, draw in _MENUS.items():
        getattr(bpy.types, name).remove(draw)
