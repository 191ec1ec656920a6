# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tasks are asked about, and pieces that several of them share.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import inspect
from typing import Any

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ....installer.models import catalogue

BODIES = [
    ("ARMATURE", "Armature", "An armature with one action, and a mesh that it deforms"),
    ("VERTEX_CACHE", "Vertex Cache", "The exact vertices of every frame, in a PC2 file"),
    ("SHAPE_KEYS", "Shape Keys", "The exact vertices of every frame, as absolute shape keys"),
]


def model_items(task: str) -> list[tuple[str, str, str]]:
    """Enum items of a task's models, in the catalogue's order."""
    return [(model.id, model.label, f"Licence: {model.licence}") for model in catalogue.models(task)]


def resolution_property() -> Any:
    return IntProperty(
        name="Preview Size",
        description="Short side of the 8-bit preview picture in pixels; 0 keeps the photo's size",
        default=512,
        min=0,
        max=16384,
    )


def frames_property() -> Any:
    return EnumProperty(
        name="Frames",
        description="How much of a clip to work on",
        items=[
            ("CURRENT", "Current Frame", "One frame, as a photo"),
            ("CLIP", "Whole Clip", "Every frame: images become sequences, and what is made of them follows"),
        ],
    )


def start_frame_property() -> Any:
    return IntProperty(
        name="Start Frame", description="Frame of the scene at which the clip begins", default=1, min=0, max=1048574
    )


def names(*settings: type) -> list[str]:
    """Names of the properties that these classes and their bases declare."""
    return [name for cls in settings for base in cls.__mro__ for name in inspect.get_annotations(base)]


class Common:
    """What every task is asked about: through which lens, where to write, where to compute."""

    fx: FloatProperty(
        name="Focal Length X",
        description="Focal length in pixels; 0 takes the photo's own, else a lens of 55 degrees",
        min=0.0,
    )
    fy: FloatProperty(
        name="Focal Length Y", description="Vertical focal length in pixels; 0 takes the horizontal one", min=0.0
    )
    match_render: BoolProperty(
        name="Match Render Size",
        description="Give the render the photo's size and shape; a scene without a camera gets them in any case",
    )
    folder: StringProperty(
        name="Folder",
        description="Folder for the pictures that are written; empty for the folder beside the .blend file",
        subtype="DIR_PATH",
    )
    device: EnumProperty(
        name="Device",
        description="Where to compute",
        items=[
            ("AUTO", "Automatic", "The device chosen in the preferences, else the fastest"),
            ("cuda", "CUDA or ROCm", "An NVIDIA or AMD graphics card"),
            ("mps", "Metal", "Apple's graphics processor"),
            ("xpu", "XPU", "An Intel graphics card"),
            ("cpu", "CPU", "The processor"),
        ],
    )


class PhotoInput(Common):
    """The photo of an operator, by name or path."""

    image: StringProperty(name="Image", description="Name of the image datablock that holds the photo or clip")
    filepath: StringProperty(
        name="File",
        description="Path of the photo, movie, or numbered pictures (shot_%04d.png), when no image is given",
        subtype="FILE_PATH",
    )
    frame: IntProperty(
        name="Frame",
        description="Frame of a clip to use where one photo is needed; 0 takes the scene's current frame",
        min=0,
    )
    camera: StringProperty(
        name="Camera", description="Name of the camera object that the photo was taken with, for its focal length"
    )
