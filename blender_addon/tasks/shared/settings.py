# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that several tasks share, declared as `inference.options` declares those of the models."""

from __future__ import annotations

from ....inference.options import Choice, Number, Options, Switch, Text
from ....inference.options.common import AUTO, LAYER
from ....installer.models import catalogue
from ...core.bpy_settings import Name, Vector

#: Settings of tasks that are clicked, drawn or chosen on one photo.
OF_ONE_PHOTO = frozenset(("boxes", "points", "box", "mask", "scene_depth", "lines_x", "lines_y", "lines_z"))

# fmt: off
#: What every task is asked: through which lens, where to write, where to compute.
COMMON = Options(
    Number("fx", None, "Focal Length X", "Focal length in pixels; 0 takes the photo's own, or else 55 degrees", 0.0),
    Number("fy", None, "Focal Length Y", "Vertical focal length in pixels; 0 takes the horizontal one", 0.0),
    Number("lens_mm", None, "Focal Length",
           "Focal length as on full frame (36 mm along the photo's longer side); 0 takes the photo's own", 0.0, 10000.0,
           soft_high=200.0, unit="DISTANCE_CAMERA"),
    Switch("match_render", False, "Match Render Size",
           "Give the render the photo's size and pixel aspect; a scene without a camera gets them in any case"),
    Switch("replace", False, "Replace Earlier",
           "What the same task made of the same photo before goes; what would lie in its place is hidden"),
    Name("folder", "", "Folder", "Folder for the images that are written; empty for the one beside the .blend file",
         kind="DIR_PATH"),
    Choice("device", "AUTO", "Device", "Where to compute", (
        ("AUTO", "Automatic", "The device chosen in the preferences, or else the fastest"),
        ("cuda", "CUDA or ROCm", "An NVIDIA or AMD graphics card"),
        ("mps", "Metal", "Apple's graphics processor"),
        ("xpu", "XPU", "An Intel graphics card"),
        ("cpu", "CPU", "The processor"),
    )),
)
#: The photo of an operator, by name or path.
PHOTO = Options(
    Text("image", "", "Image", "Name of the image datablock that holds the photo or clip"),
    Name("filepath", "", "File",
         "Path of the photo, movie, or numbered pictures (shot_%04d.png), when no image is given", kind="FILE_PATH"),
    Number("frame", 0, "Frame", "Frame of a clip to use where one photo is needed; 0 takes the scene's current one", 0),
    LAYER,
    Text("camera", "", "Camera", "Name of the camera object that the photo was taken with, for its focal length"),
)
FRAMES = Choice("frames", "CURRENT", "Frames", "How much of a clip to work on", (
    ("CURRENT", "Current Frame", "One frame, as a photo"),
    ("CLIP", "Whole Clip", "Every frame: images become sequences, and what is built from them is animated"),
))
START_FRAME = Number("start_frame", 1, "Start Frame", "Frame of the scene at which the clip begins", 0, 1048574)
#: Of control rigs, which of their controls have the say.
LIMBS = Choice("limbs", "FK", "Limbs", "What poses the limbs of a Rigify rig; the other controls follow", (
    ("FK", "FK", "All limbs by their FK controls"),
    ("LEGS", "Legs IK, Arms FK", "Legs by their IK controls, arms by FK"),
    ("IK", "IK", "All limbs by their IK controls"),
))
ROOT_MOTION = Choice("root_motion", "HIPS", "Root Motion", "Which bone moves the figure, where one is on the ground", (
    ("HIPS", "Hips", "The hips; the bone on the ground stays where it is"),
    ("ROOT", "Root", "The bone on the ground, which follows the hips"),
))
#: How a body or mesh moves.
BODIES = (
    ("ARMATURE", "Armature", "An armature with one action, and a mesh that it deforms"),
    ("VERTEX_CACHE", "Vertex Cache", "The exact vertices of every frame, in a PC2 file"),
    ("SHAPE_KEYS", "Shape Keys", "The exact vertices of every frame, as absolute shape keys"),
)
MASK_OUTPUTS = (
    ("NONE", "None", "Make no masks"),
    ("IMAGE", "Image", "An image for each mask"),
    ("PAINT_SLOT", "Paint Layer", "A painted layer over the active object's material, behind a Mix node"),
    ("STENCIL", "Stencil", "The stencil of texture painting, so that strokes reach only what the mask shows"),
    ("ATTRIBUTE", "Attribute", "A float attribute on the active object's points, projected from the photo's camera"),
    ("VERTEX_GROUP", "Vertex Group", "A vertex group of the active object, projected from the photo's camera"),
    ("GREASE_PENCIL", "Grease Pencil", "The mask's outline as closed, filled strokes in front of the photo's camera"),
)
#: What becomes of the masks of hands and people.
MASKS = Options(
    Number("mask_feather", 0.0, "Feather", "Width of the mask's soft edge; 0 leaves it as the model draws it", 0.0,
           4096.0, soft_high=100.0, unit="PIXEL"),
    Choice("mask_edge", "CENTRE", "Edge", "Where the soft edge lies", (
        ("CENTRE", "Centred", "Half of it on either side of the mask's outline"),
        ("OUTSIDE", "Outside", "Around the mask, which stays solid"),
        ("INSIDE", "Inside", "Within the mask, which does not grow"),
    )),
    Switch("visible_only", True, "Visible Only", "Leave out what the photo's camera cannot see of the active object"),
    Choice("mask_mapping", "UV", "Mapping", "How a paint layer or stencil lies on the object", (
        ("UV", "Active UV Map", "Through the object's active UV map"),
        ("CAMERA", "Photo's Camera", "Projected from the photo's camera, through a UV map of its own"),
    )),
    Vector("mask_colour", (0.8, 0.1, 0.05, 1.0), "Colour",
           "Colour of the paint layer where the mask is white, or of the outline; its alpha is the opacity", 0.0, 1.0,
           size=4, kind="COLOR"),
)
# fmt: on


def model_choice(task: str, help_text: str, default: str = AUTO, label: str = "Model") -> Choice:
    """The choice of a task's model, in the catalogue's order, behind the automatic one where the task has it."""
    models = catalogue.models(task)
    items = tuple((model.id, model.label, f"Licence: {model.licence}") for model in models)
    if any(model.auto for model in models):
        items = ((AUTO, "Automatic", "The best installed model whose results are free, else the built-in way"), *items)
    return Choice("model", default, label, help_text, items)


def mask_choice(default: str, label: str, help_text: str) -> Choice:
    """What to make of a task's masks."""
    return Choice("masks", default, label, help_text, MASK_OUTPUTS)
