# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of cutting anything out of a photo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import Choice, Options, Value
from .common import RESOLUTION, boxes_from

# fmt: off
OPTIONS = Options(
    Value("points", None, "Points",
          "Clicks as [[u, v], ...] in pixels on what is wanted, or [u, v, 0] on what is not",
          "a list of points", parse=boxes_from, metavar="JSON"),
    Value("box", None, "Box", "A box around what is wanted, as [u0, v0, u1, v1] in pixels", "four numbers",
          parse=boxes_from, metavar="JSON"),
    Value("mask", None, "Mask", "A rough mask of it, which the model makes exact",
          "an array (H, W), or the path of a picture", metavar="FILE", blender=False),
    Choice("edges", "model", "Edges", "Who draws the edges of what was found", (
        ("model", "Model's Own", "The model that finds it"),
        ("fine", "Fine (BiRefNet)", "The best installed BiRefNet: hair, fur and soft edges; much slower than a click"),
    )),
    RESOLUTION,
)
# fmt: on


def is_prompted(given: Mapping[str, Any]) -> bool:
    """Whether anything says what is wanted."""
    return any(given.get(name) is not None for name in ("points", "box", "mask"))
