# SPDX-License-Identifier: GPL-3.0-or-later
"""`Scene.maquette`: the chosen photo, and the settings of every task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty, PointerProperty, StringProperty

from ....inference.errors import MaquetteError
from ....inference.options import Choice, Options
from ....inference.options.common import LAYER
from ...core.bpy_settings import properties_of
from .chosen import chosen_path
from .settings import COMMON, OF_ONE_PHOTO, PHOTO

if TYPE_CHECKING:
    from .task import Task

# fmt: off
_SOURCE = Options(
    Choice("source", "IMAGE", "Photo", "Where the photo comes from", (
        ("IMAGE", "Image", "An image, image sequence or movie that is open in Blender"),
        ("FILE", "File", "A file on disk: photo, movie, or numbered pictures"),
    )),
    PHOTO["filepath"],
)
# fmt: on


def _is_camera(_settings: object, candidate: bpy.types.Object) -> bool:
    return candidate.type == "CAMERA"


def _layers(settings: Any, _context: object, _typed: str) -> list[str]:
    """The layers of the chosen photo, where it is an OpenEXR file; the one without a name is what is taken unasked."""
    from ....inference.photo import layers_of
    from ....installer.packages import manager

    manager.activate()
    try:
        return [name for name in layers_of(chosen_path(settings)) if name]
    except MaquetteError:  # told when the photo is worked on
        return []


def _another_photo(settings: Any, _context: object) -> None:
    """Forget what was clicked, drawn or chosen on the photo before: on this one it would be somewhere else."""
    name = settings.image.name if settings.image else ""
    if not name or name == settings.clicked_on:
        return
    groups = [getattr(settings, one.identifier) for one in settings.bl_rna.properties if one.type == "POINTER"]
    for group in (one for one in groups if settings.clicked_on and isinstance(one, bpy.types.PropertyGroup)):
        for one in group.bl_rna.properties:
            if one.identifier in OF_ONE_PHOTO and one.type == "STRING":
                group.property_unset(one.identifier)
    settings.clicked_on = name


def scene_group(tasks: Iterable[Task]) -> type:
    """The class of `Scene.maquette`."""
    declared = {
        **properties_of((*_SOURCE, *COMMON)),
        "layer": StringProperty(
            name=LAYER.label, description=LAYER.help, search=_layers, search_options={"SUGGESTION"}
        ),
        "image": PointerProperty(
            name="Photo",
            description="Photo, image sequence or movie to work on",
            type=bpy.types.Image,
            update=_another_photo,
        ),
        "clicked_on": StringProperty(name="Clicked On", description="Photo of the clicks, lines and boxes"),
        "camera": PointerProperty(
            name="Camera",
            description="Camera that the photo was taken with, for its focal length; empty for the photo's own",
            type=bpy.types.Object,
            poll=_is_camera,
        ),
        "replace": BoolProperty(name=COMMON["replace"].label, description=COMMON["replace"].help, default=True),
        **{task.name: PointerProperty(type=task.group) for task in tasks},
    }
    return type("MAQUETTE_PG_settings", (bpy.types.PropertyGroup,), {"__annotations__": declared})
