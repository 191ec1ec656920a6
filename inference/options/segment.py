# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of cutting anything out of a photo."""

from __future__ import annotations

from . import Options, Value
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
    RESOLUTION,
)
# fmt: on
