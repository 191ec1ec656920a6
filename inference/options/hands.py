# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of hands."""

from __future__ import annotations

from . import Choice, Number, Options, Switch, Value
from .common import RESOLUTION, boxes_from

MASK_TYPES = (
    ("based_on_depth", "Silhouette", "The outline of the fitted hand"),
    ("tight_bboxes", "Tight Box", "The box around the hand's landmarks"),
    ("original", "Padded Box", "The box that the hand was fitted in"),
)

# fmt: off
OPTIONS = Options(
    Number("mask_bbox_padding", 30, "Box Padding", "Minimum padding of a padded box", 0, 100, unit="PIXEL"),
    Choice("mask_type", "based_on_depth", "Mask Type", "What the mask of a hand covers", MASK_TYPES),
    Number("mask_expand", 5, "Expand", "Expand the mask by this many pixels (negative shrinks it)", -16384, 16384,
           soft_low=-64, soft_high=64, unit="PIXEL"),
    Number("rand_seed", 88, "Seed", "Accepted for compatibility with the original node; nothing here is random", 0,
           blender=False),
    RESOLUTION,
    Value("boxes", None, "Boxes",
          'Hands as [[x0, y0, x1, y1, "left"], ...] in pixels, far to near; left out, the detector finds them',
          "a list of boxes", parse=boxes_from, metavar="JSON", blender=False),
    Number("detect_thr", 0.5, "Confidence", "Drop hands that the palm detector is less sure of", 0.0, 1.0,
           soft_low=0.01, unit="FACTOR", above=True),
    Number("presence_thr", 0.5, "Presence Confidence", "Drop hands that the landmark network is less sure of", 0.0, 1.0,
           soft_low=0.01, unit="FACTOR", above=True),
    Value("scene_depth", None, "Scene Depth",
          "Float depth of the same photo in metres; hands are moved to where it shows them",
          "a depth map, or the path of an .exr or .npz", metavar="FILE", blender=False),
    Switch("exact", True, "Reference Arithmetic",
           "See small hands exactly as the original node does, including its 8-bit overflow",
           models=("meshgraphormer",)),
)
# fmt: on
