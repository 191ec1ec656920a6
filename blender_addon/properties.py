# SPDX-License-Identifier: GPL-3.0-or-later
"""The properties of every request, written once: operators take them, and the scene remembers them for the panel.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import inspect
import math
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..installer import catalogue

_MASK_OUTPUTS = [
    ("NONE", "None", "Make no masks"),
    ("IMAGE", "Image", "An image for each mask"),
    ("PAINT_SLOT", "Paint Layer", "A painted layer over the active object's material, behind a Mix node"),
    ("STENCIL", "Stencil", "The stencil of texture painting, so that strokes reach only what the mask shows"),
    ("ATTRIBUTE", "Attribute", "A float attribute on the active object's points, projected from the photo's camera"),
    ("VERTEX_GROUP", "Vertex Group", "A vertex group of the active object, projected from the photo's camera"),
    ("GREASE_PENCIL", "Grease Pencil", "The mask's outline as closed, filled strokes before the photo's camera"),
]
_MASK_TYPES = [
    ("based_on_depth", "Silhouette", "The outline of the fitted hand"),
    ("tight_bboxes", "Tight Box", "The box around the hand's landmarks"),
    ("original", "Padded Box", "The box that the hand was fitted in"),
]
_BODIES = [
    ("ARMATURE", "Armature", "An armature with one action, and a mesh that it deforms"),
    ("VERTEX_CACHE", "Vertex Cache", "The exact vertices of every frame, in a PC2 file"),
    ("SHAPE_KEYS", "Shape Keys", "The exact vertices of every frame, as absolute shape keys"),
]


def model_items(task: str) -> list[tuple[str, str, str]]:
    """Enum items of a task's models, in the catalogue's order."""
    return [(model.id, model.label, f"Licence: {model.licence}") for model in catalogue.models(task)]


def _resolution() -> Any:
    return IntProperty(
        name="Preview Size",
        description="Short side of the 8-bit preview picture in pixels; 0 keeps the photo's size",
        default=512,
        min=0,
        max=16384,
    )


def _frames() -> Any:
    return EnumProperty(
        name="Frames",
        description="How much of a clip to work on",
        items=[
            ("CURRENT", "Current Frame", "One frame, as a photo"),
            ("CLIP", "Whole Clip", "Every frame: images become sequences, and what is made of them follows"),
        ],
    )


def _start_frame() -> Any:
    return IntProperty(
        name="Start Frame", description="Frame of the scene at which the clip begins", default=1, min=0, max=1048574
    )


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


class DepthSettings:
    model: EnumProperty(
        name="Model", description="Where the depth comes from", items=model_items("depth"), default="builtin"
    )
    resolution: _resolution()
    output: EnumProperty(
        name="Build",
        description="What to make of the depth",
        items=[
            ("AUTO", "Best Fit", "A relief mesh where the depth is in metres, else a displaced grid"),
            ("IMAGE", "Image", "A 32-bit float image of the depth"),
            ("GRID", "Displaced Grid", "A grid that the depth image displaces"),
            ("MATERIAL", "Material Displacement", "A Displacement node in the active object's material"),
            ("RELIEF", "Relief Mesh", "A mesh that matches the photo from its camera, torn at the edges of things"),
        ],
    )
    mesh_resolution: IntProperty(
        name="Resolution",
        description="Vertices along the long side of the mesh",
        default=1024,
        min=2,
        max=8192,
        soft_max=2048,
    )
    tear: FloatProperty(
        name="Tear",
        description="A face is left out where it reaches farther back than this part of its distance",
        default=0.04,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    grazing: FloatProperty(
        name="Grazing Angle",
        description="A face is left out where it is seen more slanted than this",
        default=math.radians(85),
        min=0.0,
        max=math.radians(90),
        subtype="ANGLE",
    )
    grid_method: EnumProperty(
        name="Method",
        description="What displaces the grid",
        items=[
            ("DISPLACE", "Displace Modifier", "Pushes all points in parallel"),
            ("NODES", "Geometry Nodes", "Pushes each point along its own line of sight"),
        ],
    )
    grid_width: FloatProperty(
        name="Width",
        description="Width of the grid, where the depth is not in metres",
        default=2.0,
        min=0.001,
        subtype="DISTANCE",
    )
    strength: FloatProperty(
        name="Strength", description="Height of the relief, where the depth is not in metres", default=0.1, soft_min=0.0
    )
    frames: _frames()
    start_frame: _start_frame()


class NormalsSettings:
    model: EnumProperty(
        name="Model", description="Where the normals come from", items=model_items("normals"), default="builtin"
    )
    a: FloatProperty(
        name="Depth Strength",
        description="How strongly models that see only relative depth bend the normals",
        default=2 * math.pi,
        min=0.0,
        max=5 * math.pi,
    )
    bg_threshold: FloatProperty(
        name="Background",
        description="Relative depth below which models that see only relative depth leave the background flat",
        default=0.1,
        min=0.0,
        max=1.0,
    )
    resolution: _resolution()
    output: EnumProperty(
        name="Build",
        description="What to make of the normals",
        items=[
            ("IMAGE", "Image", "A float image of the normal map"),
            ("MATERIAL", "Material Normal Map", "A Normal Map node in the active object's material"),
        ],
    )
    strength: FloatProperty(
        name="Strength", description="Strength of the Normal Map node", default=1.0, min=0.0, soft_max=2.0
    )
    space: EnumProperty(
        name="Space",
        description="What the normals are relative to",
        items=[
            ("TANGENT", "Surface", "The object's surface, by its UV map: for a material photographed straight on"),
            ("CAMERA", "Photo's Camera", "The photo's camera, from which the map is projected onto the object as well"),
        ],
    )
    green_down: BoolProperty(
        name="DirectX",
        description="Green points down, as games with DirectX want it; Blender itself wants it up",
    )
    keep_preview: BoolProperty(
        name="Keep the Preview", description="Keep the 8-bit preview picture as an image of its own as well"
    )
    frames: _frames()
    start_frame: _start_frame()


class MaskSettings:
    mask_feather: FloatProperty(
        name="Feather",
        description="Width of the mask's soft edge; 0 leaves it as the model draws it",
        default=0.0,
        min=0.0,
        max=4096.0,
        soft_max=100.0,
        subtype="PIXEL",
    )
    mask_edge: EnumProperty(
        name="Edge",
        description="Where the soft edge lies",
        items=[
            ("CENTRE", "Centred", "Half of it on either side of the mask's outline"),
            ("OUTSIDE", "Outside", "Around the mask, which stays whole"),
            ("INSIDE", "Inside", "Within the mask, which grows no larger"),
        ],
    )
    visible_only: BoolProperty(
        name="Visible Only",
        description="Leave out what the active object hides from the photo's camera, such as its back",
        default=True,
    )
    mask_mapping: EnumProperty(
        name="Mapping",
        description="How a paint layer or stencil lies on the object",
        items=[
            ("UV", "Active UV Map", "Through the object's active UV map"),
            ("CAMERA", "Photo's Camera", "Projected from the photo's camera, through a UV map of its own"),
        ],
    )
    mask_colour: FloatVectorProperty(
        name="Colour",
        description="Colour of the paint layer where the mask is white, or of the outline; its alpha is the opacity",
        default=(0.8, 0.1, 0.05, 1.0),
        size=4,
        min=0.0,
        max=1.0,
        subtype="COLOR",
    )


class HandsSettings(MaskSettings):
    model: EnumProperty(
        name="Model", description="What finds and fits the hands", items=model_items("hands"), default="builtin"
    )
    mask_bbox_padding: IntProperty(
        name="Box Padding", description="Least padding of a padded box, in pixels", default=30, min=0, max=100
    )
    mask_type: EnumProperty(
        name="Mask Type",
        description="What the mask of a hand covers",
        items=_MASK_TYPES,
    )
    mask_expand: IntProperty(
        name="Expand",
        description="Grow the mask by so many pixels; shrink it where negative",
        default=5,
        min=-16384,
        max=16384,
        soft_min=-64,
        soft_max=64,
    )
    rand_seed: IntProperty(
        name="Seed", description="Kept for requests written for other tools; nothing here is random", default=88, min=0
    )
    resolution: _resolution()
    boxes: StringProperty(
        name="Boxes",
        description='Hands as [[x0, y0, x1, y1, "left"], ...] in pixels, far to near; empty lets the model find them',
    )
    detect_thr: FloatProperty(
        name="Detection",
        description="How sure the palm detector must be",
        default=0.5,
        min=0.01,
        max=1.0,
        subtype="FACTOR",
    )
    presence_thr: FloatProperty(
        name="Presence",
        description="How sure the landmark network must be that it sees a hand",
        default=0.5,
        min=0.01,
        max=1.0,
        subtype="FACTOR",
    )
    exact: BoolProperty(
        name="As the Reference",
        description="MeshGraphormer sees small hands with the reference's arithmetic, overflow of 8 bits included",
        default=True,
    )
    scene_depth: StringProperty(
        name="Scene Depth",
        description="Float depth image of the same photo, in metres; hands are moved to where it shows them",
    )
    masks: EnumProperty(
        name="Mask", description="What to make of the mask of the hands", items=_MASK_OUTPUTS, default="IMAGE"
    )
    mask_split: EnumProperty(
        name="Split",
        description="Whether the hands share one mask",
        items=[
            ("MERGED", "Merged", "One mask of all hands"),
            ("PER_SIDE", "Left and Right", "One mask of the left hands and one of the right hands"),
            ("PER_HAND", "Every Hand", "A mask for each hand, named by side and number"),
        ],
    )
    depth: EnumProperty(
        name="Depth",
        description="What to make of the hands' depth",
        items=[
            ("NONE", "None", "Make nothing of the depth"),
            ("IMAGE", "Image", "A 32-bit float image, metres"),
            ("RELIEF", "Relief Mesh", "A mesh of what the photo shows of the hands, from its camera"),
            ("GRID", "Displaced Grid", "A grid that the depth image displaces along the view"),
            ("MATERIAL", "Material Displacement", "A Displacement node in the active object's material"),
        ],
        default="IMAGE",
    )
    control_image: BoolProperty(
        name="Control Image",
        description="The depth as 8-bit grey levels for a ControlNet or the detailer, at the preview's size",
    )
    id_map: BoolProperty(
        name="ID Map",
        description="Images that tell the hands apart: exact numbers for an ID Mask node, and flat colours",
    )
    build_meshes: BoolProperty(name="Meshes", description="Make a mesh of every hand", default=True)
    frames: _frames()
    start_frame: _start_frame()
    mesh_cache: EnumProperty(
        name="Motion",
        description="How the meshes of a clip are kept",
        items=_BODIES[1:],
    )


class PeopleSettings(MaskSettings):
    model: EnumProperty(
        name="Model", description="What recovers the people", items=model_items("people"), default="builtin"
    )
    det_confidence_thresh: FloatProperty(
        name="Confidence",
        description="People found with less confidence are dropped",
        default=0.25,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    det_iou_thresh: FloatProperty(
        name="Overlap",
        description="Of two detections that overlap more than this, the weaker one is dropped",
        default=0.7,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    det_batch_size: IntProperty(
        name="Photos at Once", description="Photos that pass through the detector together", default=10, min=1, max=256
    )
    hmr_batch_size: IntProperty(
        name="People at Once", description="People that pass through the network together", default=8, min=1, max=256
    )
    refine: BoolProperty(name="Refine", description="Spend more steps on fitting the body to the picture")
    track: BoolProperty(
        name="Track", description="Follow each person through a clip and smooth the motion", default=True
    )
    boxes: StringProperty(
        name="Boxes",
        description="People as [[x0, y0, x1, y1], ...] in pixels (a list of such lists for a clip); empty finds them",
    )
    bodies: EnumProperty(
        name="Body",
        description="How the bodies are kept",
        items=_BODIES,
    )
    start_frame: _start_frame()
    mask_grow: FloatProperty(
        name="Grow",
        description="Grow the masks by so many pixels; shrink them where negative",
        default=0.0,
        min=-4096.0,
        max=4096.0,
        soft_min=-64.0,
        soft_max=64.0,
        subtype="PIXEL",
    )
    masks: EnumProperty(
        name="Masks", description="What to make of the people's masks in the first frame", items=_MASK_OUTPUTS
    )


def names(*settings: type) -> list[str]:
    """Names of the properties that these classes and their bases declare."""
    return [name for cls in settings for base in cls.__mro__ for name in inspect.get_annotations(base)]


class MAQUETTE_PG_depth(DepthSettings, bpy.types.PropertyGroup):
    """Depth settings of a scene."""


class MAQUETTE_PG_normals(NormalsSettings, bpy.types.PropertyGroup):
    """Normals settings of a scene."""


class MAQUETTE_PG_hands(HandsSettings, bpy.types.PropertyGroup):
    """Hands settings of a scene."""


class MAQUETTE_PG_people(PeopleSettings, bpy.types.PropertyGroup):
    """People settings of a scene."""


def _is_camera(_settings, candidate: bpy.types.Object) -> bool:
    return candidate.type == "CAMERA"


class MAQUETTE_PG_settings(Common, bpy.types.PropertyGroup):
    """What the panel shows: the chosen photo, and one group of settings a task."""

    source: EnumProperty(
        name="Photo",
        description="Where the photo comes from",
        items=[
            ("IMAGE", "Image", "An image, image sequence or movie that is open in Blender"),
            ("FILE", "File", "A file on disk: photo, movie, or numbered pictures"),
        ],
    )
    image: PointerProperty(name="Photo", description="Photo, image sequence or movie to work on", type=bpy.types.Image)
    filepath: StringProperty(
        name="File",
        description="Photo, movie, or numbered pictures (shot_%04d.png) to work on",
        subtype="FILE_PATH",
    )
    camera: PointerProperty(
        name="Camera",
        description="Camera that the photo was taken with, for its focal length; the photo's own is used without",
        type=bpy.types.Object,
        poll=_is_camera,
    )
    depth: PointerProperty(type=MAQUETTE_PG_depth)
    normals: PointerProperty(type=MAQUETTE_PG_normals)
    hands: PointerProperty(type=MAQUETTE_PG_hands)
    people: PointerProperty(type=MAQUETTE_PG_people)


CLASSES = (MAQUETTE_PG_depth, MAQUETTE_PG_normals, MAQUETTE_PG_hands, MAQUETTE_PG_people, MAQUETTE_PG_settings)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.maquette = PointerProperty(type=MAQUETTE_PG_settings)  # type: ignore[attr-defined]


def unregister() -> None:
    del bpy.types.Scene.maquette  # type: ignore[attr-defined]
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
