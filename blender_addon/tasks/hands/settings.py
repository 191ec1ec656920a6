# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of hands.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..shared.mask_settings import MASK_OUTPUTS, MaskSettings
from ..shared.settings import BODIES, frames_property, model_items, resolution_property, start_frame_property

MASK_TYPES = [
    ("based_on_depth", "Silhouette", "The outline of the fitted hand"),
    ("tight_bboxes", "Tight Box", "The box around the hand's landmarks"),
    ("original", "Padded Box", "The box that the hand was fitted in"),
]


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
        items=MASK_TYPES,
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
    resolution: resolution_property()
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
        name="Mask", description="What to make of the mask of the hands", items=MASK_OUTPUTS, default="IMAGE"
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
    frames: frames_property()
    start_frame: start_frame_property()
    mesh_cache: EnumProperty(
        name="Motion",
        description="How the meshes of a clip are kept",
        items=BODIES[1:],
    )
