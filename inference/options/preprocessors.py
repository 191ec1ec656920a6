# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of image passes."""

from __future__ import annotations

import math
import reprlib
from dataclasses import replace
from typing import Any

from ..errors import BadInput
from . import Number, Options, Switch, Value
from .common import RESOLUTION

# fmt: off
#: The two numbers of `thresholds` by model: what each is called, and the model's own value.
THRESHOLDS: dict[str, Options] = {
    "canny": Options(
        Number("edge_low", 100.0, "Low Threshold", "Contrast down to which an edge is followed", 0.0, soft_high=500.0),
        Number("edge_high", 200.0, "High Threshold", "Contrast at which an edge begins", 0.0, soft_high=500.0),
    ),
    "mlsd": Options(
        Number("line_score", 0.1, "Score Threshold", "Drop lines detected with less confidence", 0.0, soft_high=1.0),
        Number("line_length", 0.1, "Distance Threshold", "Drop shorter lines, in half pixels", 0.0, soft_high=100.0),
    ),
    "lineart-standard": Options(
        Number("blur", 6.0, "Gaussian Sigma", "Radius in pixels of the surroundings that a line is compared with", 0.0,
               soft_low=0.1, soft_high=50.0),
        Number("darker", 8.0, "Intensity Threshold", "How much darker than its surroundings a line is, in grey levels",
               0.0, soft_high=100.0),
    ),
    "anyline": Options(
        Number("blur", 2.0, "Gaussian Sigma", "As for lineart-standard, of the lines that are added", 0.0),
        Number("darker", 3.0, "Intensity Threshold", "As for lineart-standard, of the lines that are added", 0.0),
    ),
}
# fmt: on


def _two_numbers(value: Any) -> tuple[float, float]:
    try:
        low, high = (float(number) for number in value)
    except (TypeError, ValueError, OverflowError):
        raise BadInput(f"thresholds must be two numbers, not {reprlib.repr(value)}.", "Give two, or None.") from None
    if not (0 <= low < math.inf and 0 <= high < math.inf):
        raise BadInput(f"thresholds must be numbers of at least 0, not {low:g} and {high:g}.", "Change them.")
    return low, high


# fmt: off
OPTIONS = Options(
    replace(
        RESOLUTION,
        label="Size",
        help="Short side in pixels of the picture, which is also what the model sees; 0 keeps the photo's size",
    ),
    Value("thresholds", None, "Thresholds", "Two numbers: what counts as an edge or line; left out, the model's own",
          "two numbers", check=_two_numbers, nargs=2, metavar=("LOW", "HIGH"), models=tuple(THRESHOLDS), blender=False),
    Switch("safe", None, "Safe (3 Levels)", "Reduce the edges to three grey levels, so that nothing hides between them",
           models=("hed", "pidinet", "teed", "anyline")),
    Switch("scribble", False, "Scribble", "Draw only the ridges of the edges, with a broad pen",
           models=("hed", "pidinet", "teed")),
    Number("seed", 0, "Seed", "Seed of the noise that content is shuffled by", 0, models=("content-shuffle",)),
)
# fmt: on
