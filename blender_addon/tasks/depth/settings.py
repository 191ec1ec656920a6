# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of depth: those of the models, and what is built of their results."""

from __future__ import annotations

import math

from ....inference.options import Choice, Number, Options, Share, Switch
from ....inference.options.depth import OPTIONS
from ...core.bpy_settings import without
from ..shared.settings import COMMON, FRAMES, START_FRAME, model_choice

# fmt: off
PARAMETERS = without(OPTIONS, *COMMON.names)
BUILD = Options(
    Choice("output", "AUTO", "Build", "What to build from the depth", (
        ("AUTO", "Best Fit", "A relief mesh where the depth is in metres, or else a displaced grid"),
        ("IMAGE", "Image", "A 32-bit float image of the depth"),
        ("GRID", "Displaced Grid", "A grid displaced by the depth image"),
        ("MATERIAL", "Material Displacement", "A Displacement node in the active object's material"),
        ("RELIEF", "Relief Mesh", "A mesh that matches the photo from its camera, torn at the edges of objects"),
        ("LIVE", "Live Relief", "The same mesh made by Geometry Nodes, whose depth and limits stay adjustable"),
    )),
    Number("mesh_resolution", 1024, "Resolution", "Vertices along the long side of the mesh", 2, 8192, soft_high=2048),
    Share("tear", 0.04, "Tear", "Leave out faces that reach farther back than this share of their distance"),
    Number("grazing", math.radians(85), "Grazing Angle", "Leave out faces seen at a steeper angle than this", 0.0,
           math.radians(90), unit="ANGLE"),
    Number("max_distance", 0.0, "Max Distance", "Leave out what lies farther from the camera; 0 keeps everything", 0.0,
           unit="DISTANCE"),
    Number("specks", 16, "Remove Specks", "Leave out loose pieces with fewer faces than this", 0, soft_high=1000),
    Switch("adaptive", False, "Adaptive Subdivision",
           "Let Cycles subdivide the object as finely as the render needs (before Blender 5, this turns on the "
           "experimental features of Cycles)"),
    Number("dicing", 1.0, "Dicing Rate", "Size in the render, in pixels, that Cycles subdivides to", 0.1, 1000.0,
           soft_low=0.5, soft_high=16.0, unit="PIXEL"),
    Choice("grid_method", "DISPLACE", "Method", "What displaces the grid", (
        ("DISPLACE", "Displace Modifier", "Pushes all points in parallel"),
        ("NODES", "Geometry Nodes", "Pushes each point along its own line of sight"),
    )),
    Number("grid_width", 2.0, "Width", "Width of the grid, where the depth is not in metres", 0.001, unit="DISTANCE"),
    Number("strength", 0.1, "Strength", "Height of the relief, where the depth is not in metres", soft_low=0.0),
    FRAMES,
    START_FRAME,
)
# fmt: on
SETTINGS = Options(model_choice("depth", "Where the depth comes from"), *PARAMETERS, *BUILD)
