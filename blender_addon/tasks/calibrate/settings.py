# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of the scale of a photo.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from bpy.props import BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty


class CalibrateSettings:
    known: EnumProperty(
        name="Known",
        description="What is known of the photo",
        items=[
            ("DISTANCE", "Distance", "How far two points are from each other"),
            ("PERSON", "Person", "How tall the selected person is, standing straight"),
            ("CAMERA", "Camera Height", "How high above the floor the photo was taken"),
        ],
    )
    points: EnumProperty(
        name="Between",
        description="Which two points the distance is between",
        items=[
            (
                "SELECTION",
                "Selection",
                "The two selected vertices, bones or objects; or the selected one and the 3D cursor",
            ),
            ("POINTS", "Points", "Two places in the scene"),
            ("PIXELS", "Pixels", "Two pixels of the photo, and what was built of it there"),
        ],
    )
    point_a: FloatVectorProperty(name="Point A", description="Place of the first point", subtype="XYZ_LENGTH")
    point_b: FloatVectorProperty(name="Point B", description="Place of the second point", subtype="XYZ_LENGTH")
    pixel_a: FloatVectorProperty(
        name="Pixel A", description="First pixel of the photo: from the left, from the top", size=2, min=0.0
    )
    pixel_b: FloatVectorProperty(
        name="Pixel B", description="Second pixel of the photo: from the left, from the top", size=2, min=0.0
    )
    distance: FloatProperty(
        name="Length", description="The true length, in the scene's units", default=1.0, min=0.0, subtype="DISTANCE"
    )
    keep: EnumProperty(
        name="Keep",
        description="What stays in its place",
        items=[
            ("FLOOR", "Floor", "The floor stays at height 0, and the camera moves up or down"),
            ("CAMERA", "Camera", "The camera stays, and all that the photo shows comes nearer or goes away"),
        ],
    )
    rewrite: BoolProperty(
        name="Rewrite Depth",
        description="Write the photo's depth images anew with the right metres; their old files stay for undo",
        default=True,
    )
