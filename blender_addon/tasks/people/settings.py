# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of people: those of the models, and what is built of their results."""

from __future__ import annotations

from dataclasses import replace

from ....inference.options import Choice, Number, Options, Switch
from ....inference.options.people import OPTIONS, SAM3D, SOLVING
from ...builders.bodies.rig_choices import RIGS
from ..shared.settings import (
    BODIES,
    COMMON,
    FRAMES,
    LIMBS,
    MASKS,
    PHOTO,
    ROOT_MOTION,
    START_FRAME,
    mask_choice,
    model_choice,
)

# fmt: off
PARAMETERS = Options(*OPTIONS, replace(OPTIONS["boxes"], blender=True))
BUILD = Options(
    Choice("bodies", "ARMATURE", "Body", "How the bodies are stored", (
        ("NONE", "None", "Build no bodies, but masks or skeletons alone"), *BODIES)),
    Choice("surface", "NEUTRAL", "Surface", "What SAM 3D Body's people look like", (
        ("NEUTRAL", "Neutral", "The built-in body, an average adult, with all of its rigs"),
        ("OWN", "Recovered", "The body that was recovered, with the person's own build"),
    ), models=SAM3D),
    Choice("rig", "OWN", "Rig", "Which bones the armature gets", RIGS),
    Choice("rig_unit", "METRES", "Unit", "Unit of rigs for engines and avatars", (
        ("METRES", "Metres", "As Blender and glTF have it"),
        ("CENTIMETRES", "Centimetres", "As files from Mixamo and Unreal have it; the armature is scaled by 0.01"),
    )),
    LIMBS,
    ROOT_MOTION,
    Number("max_influences", 4, "Influences", "Most bones that move a vertex, in all rigs but the body's own;"
           " 0 sets no limit", 0, 64, soft_high=8),
    Switch("game_skeleton", False, "Game Skeleton", "Beside a Rigify rig make an armature of its deforming bones alone,"
           " which follows it and moves the mesh, for engines"),
    Choice("correctives", "LIVE", "Correctives",
           "What to do with the corrective shapes of joints that bulge and fold, for bodies that have them", (
        ("LIVE", "Live", "Shape keys driven by the bones, however they are posed"),
        ("BAKED", "Baked", "Shape keys with the values of every frame: plays faster, and fits this motion only"),
        ("OFF", "Off", "The skin follows the bones alone"),
    )),
    replace(FRAMES, default="CLIP"),
    START_FRAME,
    Choice("skeleton_image", "NONE", "Skeletons",
           "Draw the skeletons of the first frame as an image for a ControlNet", (
        ("NONE", "None", "Don't draw skeletons"),
        ("coco_18", "OpenPose", "18 joints, as most ControlNets for poses expect"),
        ("body_25", "OpenPose with Feet", "25 joints, with feet"),
    )),
    mask_choice("NONE", "Masks", "What to make of the people's masks in the first frame"),
    Number("mask_grow", 0.0, "Grow", "Expand the masks by this many pixels (negative shrinks them)", -4096.0, 4096.0,
           soft_low=-64.0, soft_high=64.0, unit="PIXEL"),
    *MASKS,
)
# fmt: on
SETTINGS = Options(model_choice("people", "What recovers the people"), *PARAMETERS, *BUILD)
#: Of a clip that is solved again: by what, and the focal length, as it may be asked for.
SOLVED = Options(*(OPTIONS[name] for name in SOLVING))
LENS = Options(*(COMMON[name] for name in ("fx", "fy", "lens_mm")), PHOTO["camera"])
