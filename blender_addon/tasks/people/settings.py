# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of people.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...builders.bodies.rig_choices import RIGS
from ..shared.mask_settings import MASK_OUTPUTS, MaskSettings
from ..shared.settings import BODIES, model_items, start_frame_property


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
    smoothing: FloatProperty(
        name="Smoothing",
        description="How calm the motion of a tracked clip becomes; 0 keeps every frame's own pose",
        default=1.0,
        min=0.0,
        soft_max=4.0,
    )
    plant: FloatProperty(
        name="Plant Feet",
        description="How firmly planted feet of a tracked clip are held in place; 0 leaves them to slide",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    detector: StringProperty(
        name="Detector",
        description='What finds people for HMR 2.0: "builtin", a YOLO file in the models\' folder yolo, or a path; '
        "empty takes the first there is, else the built-in one",
    )
    boxes: StringProperty(
        name="Boxes",
        description="People as [[x0, y0, x1, y1], ...] in pixels (a list of such lists for a clip); empty finds them",
    )
    bodies: EnumProperty(
        name="Body",
        description="How the bodies are kept",
        items=BODIES,
    )
    rig: EnumProperty(
        name="Rig",
        description="Which bones the armature gets",
        items=RIGS,
    )
    correctives: EnumProperty(
        name="Correctives",
        description="What becomes of the shapes by which a body's joints bulge and fold, for bodies that have them",
        items=[
            ("LIVE", "Live", "Shape keys driven by the bones, whoever poses them"),
            ("BAKED", "Baked", "Shape keys with the values of every frame: plays faster, and fits this motion only"),
            ("OFF", "Off", "The skin follows the bones alone"),
        ],
    )
    start_frame: start_frame_property()
    skeleton_image: EnumProperty(
        name="Skeletons",
        description="Whether to paint the people's skeletons, in the first frame, as an image for a ControlNet",
        items=[
            ("NONE", "None", "Paint none"),
            ("coco_18", "OpenPose", "18 joints, as most ControlNets for poses were taught"),
            ("body_25", "OpenPose with Feet", "25 joints, with feet"),
        ],
    )
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
        name="Masks", description="What to make of the people's masks in the first frame", items=MASK_OUTPUTS
    )
