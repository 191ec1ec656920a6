# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of normals: those of the models, and what is built of their results."""

from __future__ import annotations

from ....inference.options import Choice, Number, Options, Switch
from ....inference.options.normals import OPTIONS as PARAMETERS
from ..shared.settings import FRAMES, START_FRAME, model_choice

# fmt: off
BUILD = Options(
    Choice("output", "IMAGE", "Build", "What to build from the normals", (
        ("IMAGE", "Image", "A float image of the normal map"),
        ("MATERIAL", "Material Normal Map", "A Normal Map node in the active object's material"),
    )),
    Number("strength", 1.0, "Strength", "Strength of the Normal Map node", 0.0, soft_high=2.0),
    Choice("space", "TANGENT", "Space", "What the normals are relative to", (
        ("TANGENT", "Surface", "The object's surface, by its UV map: for a material photographed straight on"),
        ("CAMERA", "Photo's Camera", "The photo's camera, from which the map is projected onto the object as well"),
    )),
    Switch("green_down", False, "DirectX", "Green points down, as DirectX games expect; Blender itself expects it up"),
    Switch("keep_preview", False, "Keep Preview", "Also keep the 8-bit preview as an image of its own"),
    FRAMES,
    START_FRAME,
)
# fmt: on
SETTINGS = Options(model_choice("normals", "Where the normals come from"), *PARAMETERS, *BUILD)
