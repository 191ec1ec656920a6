# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of depth.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import math

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from ..shared.settings import frames_property, model_items, resolution_property, start_frame_property


class DepthSettings:
    model: EnumProperty(
        name="Model", description="Where the depth comes from", items=model_items("depth"), default="builtin"
    )
    resolution: resolution_property()
    output: EnumProperty(
        name="Build",
        description="What to make of the depth",
        items=[
            ("AUTO", "Best Fit", "A relief mesh where the depth is in metres, else a displaced grid"),
            ("IMAGE", "Image", "A 32-bit float image of the depth"),
            ("GRID", "Displaced Grid", "A grid that the depth image displaces"),
            ("MATERIAL", "Material Displacement", "A Displacement node in the active object's material"),
            ("RELIEF", "Relief Mesh", "A mesh that matches the photo from its camera, torn at the edges of things"),
            ("LIVE", "Live Relief", "The same mesh made by Geometry Nodes, whose depth and limits stay adjustable"),
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
    max_distance: FloatProperty(
        name="Max Distance",
        description="What lies farther from the camera is left out; 0 keeps everything",
        default=0.0,
        min=0.0,
        subtype="DISTANCE",
    )
    specks: IntProperty(
        name="Remove Specks",
        description="Loose pieces of fewer faces than this are left out",
        default=16,
        min=0,
        soft_max=1000,
    )
    adaptive: BoolProperty(
        name="Adaptive Subdivision",
        description="Let Cycles subdivide the object as finely as the render needs (before Blender 5, this switches on "
        "the experimental features of Cycles)",
    )
    dicing: FloatProperty(
        name="Dicing Rate",
        description="Size in the render, in pixels, that Cycles subdivides to",
        default=1.0,
        min=0.1,
        max=1000.0,
        soft_min=0.5,
        soft_max=16.0,
        subtype="PIXEL",
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
    frames: frames_property()
    start_frame: start_frame_property()
