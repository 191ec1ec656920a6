# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of normals.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import math

from bpy.props import BoolProperty, EnumProperty, FloatProperty

from ..shared.settings import frames_property, model_items, resolution_property, start_frame_property


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
    resolution: resolution_property()
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
    frames: frames_property()
    start_frame: start_frame_property()
