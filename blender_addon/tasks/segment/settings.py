# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of cutting out: those of the models, and what is built of the mask."""

from __future__ import annotations

from ....inference.options import Options, Switch, Text
from ....inference.options.segment import OPTIONS
from ...core.bpy_settings import without
from ..shared.settings import FRAMES, MASKS, START_FRAME, mask_choice, model_choice

# fmt: off
PARAMETERS = without(OPTIONS, "mask")
BUILD = Options(
    mask_choice("IMAGE", "Mask", "What to make of the mask"),
    Switch("card", False, "Cut-out Card",
           "A plane before the photo's camera that shows the photo where the mask is white, on the floor where it can"),
    FRAMES,
    START_FRAME,
    *MASKS,
)
SETTINGS = Options(
    model_choice("segment", "What finds the outline"),
    *PARAMETERS,
    Text("mask", "", "Rough Mask",
         "Image whose white part is roughly what is wanted; left out without clicks, the image that is being painted"),
    *BUILD,
)
# fmt: on
