# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of masks, which several tasks make.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from bpy.props import BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty

MASK_OUTPUTS = [
    ("NONE", "None", "Make no masks"),
    ("IMAGE", "Image", "An image for each mask"),
    ("PAINT_SLOT", "Paint Layer", "A painted layer over the active object's material, behind a Mix node"),
    ("STENCIL", "Stencil", "The stencil of texture painting, so that strokes reach only what the mask shows"),
    ("ATTRIBUTE", "Attribute", "A float attribute on the active object's points, projected from the photo's camera"),
    ("VERTEX_GROUP", "Vertex Group", "A vertex group of the active object, projected from the photo's camera"),
    ("GREASE_PENCIL", "Grease Pencil", "The mask's outline as closed, filled strokes before the photo's camera"),
]


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
