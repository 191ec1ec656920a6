# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of people."""

from __future__ import annotations

from . import Number, Options, Switch, Text, Value
from .common import boxes_from

OPTIONS = Options(
    Number(
        "det_confidence_thresh",
        0.25,
        "Detection Confidence",
        "Drop people detected with less confidence",
        low=0.0,
        high=1.0,
        unit="FACTOR",
    ),
    Number(
        "det_iou_thresh",
        0.7,
        "NMS Overlap (IoU)",
        "Of two detections that overlap more than this, drop the weaker one",
        low=0.0,
        high=1.0,
        unit="FACTOR",
    ),
    Number(
        "det_batch_size",
        10,
        "Detector Batch",
        "Photos that pass through the detector together",
        low=1,
        soft_high=256,
        whole=True,
    ),
    Number(
        "hmr_batch_size",
        8,
        "Body Batch",
        "People that pass through the body network together",
        low=1,
        soft_high=256,
        whole=True,
    ),
    Switch("refine", False, "Refine", "Spend more steps on fitting the bodies to the picture"),
    Value(
        "boxes",
        None,
        "Boxes",
        "People as [[x0, y0, x1, y1], ...] in pixels, for several photos a list of such lists; left out, the detector "
        "finds them",
        blender=False,
        parse=boxes_from,
        metavar="JSON",
        form="a list of boxes for each photo",
    ),
    Switch("track", True, "Track", "Follow each person through a clip and smooth the motion"),
    Number(
        "smoothing",
        1.0,
        "Smoothing",
        "Amount of temporal smoothing; 0 keeps the raw poses",
        low=0.0,
        high=1000.0,
        soft_high=4.0,
    ),
    Number(
        "plant",
        1.0,
        "Plant Feet",
        "How firmly planted feet are held in place; 0 lets them slide",
        low=0.0,
        high=1.0,
        unit="FACTOR",
    ),
    Text(
        "detector",
        None,
        "Detector",
        'What finds the people: "builtin", a YOLO file in the models\' folder yolo, or a path; left out, the first '
        "YOLO file there is, or else the built-in detector",
        models=("hmr2",),
        path=True,
    ),
)
