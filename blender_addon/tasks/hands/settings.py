# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of hands: those of the models, and what is built of their results."""

from __future__ import annotations

from dataclasses import replace

from ....inference.options import Choice, Options, Switch, Text
from ....inference.options.hands import OPTIONS
from ..shared.settings import BODIES, FRAMES, MASKS, START_FRAME, mask_choice, model_choice

# fmt: off
PARAMETERS = Options(*OPTIONS, *(replace(OPTIONS[name], blender=True) for name in ("rand_seed", "boxes")))
BUILD = Options(
    mask_choice("IMAGE", "Mask", "What to make of the mask of the hands"),
    Choice("mask_split", "MERGED", "Split", "Whether the hands share one mask", (
        ("MERGED", "Merged", "One mask of all hands"),
        ("PER_SIDE", "Left and Right", "One mask of the left hands and one of the right hands"),
        ("PER_HAND", "Every Hand", "A mask for each hand, named by side and number"),
    )),
    Choice("depth", "IMAGE", "Depth", "What to build from the hands' depth", (
        ("NONE", "None", "Build nothing from the depth"),
        ("IMAGE", "Image", "A 32-bit float image, in metres"),
        ("RELIEF", "Relief Mesh", "A mesh of what the photo shows of the hands, from its camera"),
        ("GRID", "Displaced Grid", "A grid displaced along the view by the depth image"),
        ("MATERIAL", "Material Displacement", "A Displacement node in the active object's material"),
    )),
    Switch("control_image", False, "Control Image",
           "The depth as 8-bit grey levels for a ControlNet or the detailer, at the preview's size"),
    Switch("id_map", False, "ID Map",
           "Images that tell the hands apart: exact numbers for an ID Mask node, and flat colours"),
    Switch("build_meshes", True, "Meshes", "Make a mesh of every hand"),
    FRAMES,
    START_FRAME,
    Choice("mesh_cache", "VERTEX_CACHE", "Motion", "How the meshes of a clip are stored", BODIES[1:]),
    *MASKS,
)
SETTINGS = Options(
    model_choice("hands", "What finds and fits the hands"),
    *PARAMETERS,
    Text("scene_depth", "", "Scene Depth",
         "Float depth image of the same photo, in metres; hands are moved to where it shows them"),
    *BUILD,
)
# fmt: on
