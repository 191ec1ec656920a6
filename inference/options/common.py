# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several tasks share."""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import BadInput
from . import Choice, Number, Options, Text, Value


def frames_from(text: str) -> list[tuple[int, int]]:
    """Ranges of frames written as 1-50, 7 or 1-10,20-30: first and last of each. Raises `BadInput`."""
    ranges = [re.fullmatch(r"\s*(-?\d+)(?:-(-?\d+))?\s*", part) for part in text.split(",")]
    found = [(int(match[1]), int(match[2] or match[1])) for match in ranges if match]
    if len(found) < len(ranges) or any(first > last for first, last in found):
        raise BadInput(f"The frames {text!r} cannot be read.", "Write the first and the last, as 1-50.")
    return found


#: The name of a model that stands for the best one that is installed; see `registry.answering`.
AUTO = "auto"
# fmt: off
FX = Number("fx", None, "Focal Length X",
        "Focal length in pixels; left out, the photo's own, or else that of a lens that sees 55 degrees", 0.0,
        above=True)
FY = Number("fy", None, "Focal Length Y", "Vertical focal length in pixels; left out, the same as the horizontal one",
        0.0, above=True)
RESOLUTION = Number("resolution", 512, "Preview Size",
        "Short side of the 8-bit preview picture in pixels; 0 keeps the photo's size", 0, 16384)
MOGE = ("moge-2-small", "moge-2-base", "moge-2-large")
TOKENS = Number("tokens", 3600, "Network Detail",
        "Patches of the photo that the network sees: 1200 is quick, 3600 the finest it was trained for", 256, 16384,
        soft_low=1200, soft_high=3600, models=(*MOGE, AUTO))
LAYER = Text("layer", None, "Layer",
        "Layer of an OpenEXR photo, or the last word of its name; left out, Combined, RGBA, or its only picture")
DEVICE = Text("device", None, "Device",
        "Where to compute: cpu, cuda, cuda:1, mps, xpu; left out, the fastest there is")
PRECISION = Choice("precision", None, "Precision",
        "Numbers that the networks compute with; left out, what suits the device",
        (("float32", "Full", "32-bit floats"),
         ("float16", "Half", "16-bit floats: faster and in half the memory, on graphics cards")),
        blender=False)
FRAMES = Value("frames", None, "Frames",
        "Frames of a clip by their own numbers, both ends included: those of its files, of a movie from 1; left out, "
        "all", "a range such as 1-50", parse=frames_from, metavar="A-B", blender=False)
# fmt: on
BATCH_SIZE = Number("batch_size", 4, "Batch Size", "Photos that pass through a network together", 1, soft_high=64)
BATCH = Options(BATCH_SIZE)
#: Where and how a task computes; beside them stand `progress` and `models_dir`.
RUN = Options(DEVICE, PRECISION)
#: The keywords of every task that are not its own options.
RUN_NAMES = (*RUN.names, "progress", "models_dir")


def boxes_from(text: str) -> list[Any]:
    """Boxes written as JSON, as a list of lists. Raises `BadInput`."""
    try:
        boxes = json.loads(text)
    except ValueError:
        boxes = None
    if not isinstance(boxes, list):
        raise BadInput(f"The boxes {text!r} cannot be read.", "Write them as [[x0, y0, x1, y1, ...], ...] in pixels.")
    return boxes
