# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of people."""

from __future__ import annotations

from . import Choice, Number, Options, Share, Switch, Text, Value
from .common import AUTO, boxes_from

SAM3D = ("sam3d-body", "sam3d-body-vith")
#: Those that what was measured of a clip is solved by: the keywords of `solve_people`.
SOLVING = (
    "refine", "hmr_batch_size", "smoothing", "plant", "capture_fps", "body", "smpl_body", "hands", "camera_motion",
    "floor_height", "floor_pitch", "floor_roll",
)  # fmt: skip
# fmt: off
OPTIONS = Options(
    Share("det_confidence_thresh", 0.25, "Confidence", "Drop people detected with less confidence"),
    Share("det_iou_thresh", 0.7, "Overlap",
          "Of two detections that overlap more than this, drop the weaker one"),
    Number("det_batch_size", 10, "Detector Batch", "Photos that pass through the detector together", 1, soft_high=256),
    Number("hmr_batch_size", 8, "Body Batch", "People that pass through the body network together", 1, soft_high=256),
    Switch("refine", False, "Refine", "Spend more steps on fitting the bodies to the picture",
           models=("builtin", "hmr2", AUTO)),
    Value("boxes", None, "Boxes",
          "People as [[x0, y0, x1, y1], ...] in pixels, of a clip a list of such lists; left out, they are detected",
          "a list of boxes for each photo", parse=boxes_from, metavar="JSON", blender=False),
    Switch("track", True, "Track", "Follow each person through a clip and smooth the motion"),
    Number("smoothing", 1.0, "Smoothing", "Amount of temporal smoothing; 0 keeps the raw poses", 0.0, 1000.0,
           soft_high=4.0),
    Share("plant", 1.0, "Plant Feet", "How firmly planted feet are held in place; 0 lets them slide"),
    Number("capture_fps", 0.0, "Capture Rate",
           "Of a tracked clip in slow motion or time lapse: frames a second that were filmed; 0: as many as it plays",
           0.0, 10000.0, soft_high=240.0),
    Choice("body", "mannequin", "Body", "Which body people have",
           (("mannequin", "Mannequin", "A smooth figure without anatomical detail"),
            ("anatomical", "Anatomical", "An anatomical body")), models=("builtin",)),
    Choice("smpl_body", "smpl", "SMPL Body", "Which of your bodies HMR 2.0's people have",
           (("smpl", "SMPL", "Without fingers"),
            ("smplh", "SMPL+H", "SMPL with fingers, as the hands show them"),
            ("smplx", "SMPL-X", "With fingers, jaw and eyes; its build follows the joints alone")), models=("hmr2",)),
    Choice("hands", "full", "Hands", "How hands are read",
           (("full", "Own Look", "Each hand is looked at by itself: wrists, forearms and fingers follow it"),
            ("none", "With the Body", "Wrists are read with the body, and SAM 3D Body's fingers; others are relaxed"))),
    Switch("mask_prompts", False, "Show Masks", "Show the network the mask that the detector draws of each person",
           models=SAM3D),
    Value("masks", None, "Masks", "Of the people in the boxes, to show to the network",
          "a list of masks for each photo", models=SAM3D, cli=False, blender=False),
    Choice("camera_motion", "auto", "Camera Motion", "How the camera of a clip is taken to move", (
        ("auto", "From Background", "Followed by what is behind the people, and animated"),
        ("still", "Still", "As if it stood still"),
        ("scene", "Scene Camera", "As an animated camera of the scene moves, in whose world the people stand"),
    )),
    Value("camera_poses", None, "Camera Poses", "Of the scene's camera: world from camera for each frame, in metres, z "
          "up, the camera looking along -z; from a file .npy, .npz or .json", "matrices (T, 4, 4), or a file of them",
          metavar="FILE", blender=False),
    Number("floor_height", 0.0, "Floor Height", "Of a tracked clip: the floor lies higher than was found", -100.0,
           100.0, soft_low=-1.0, soft_high=1.0, unit="DISTANCE"),
    Number("floor_pitch", 0.0, "Floor Pitch", "Of a tracked clip: the floor rises more from the camera than was found",
           -1.2, 1.2, soft_low=-0.3, soft_high=0.3, unit="ANGLE"),
    Number("floor_roll", 0.0, "Floor Roll", "Of a tracked clip: the floor rises more to the right than was found",
           -1.2, 1.2, soft_low=-0.3, soft_high=0.3, unit="ANGLE"),
    Text("detector", None, "Detector",
         "What finds the people: builtin, a YOLO, RT-DETR, D-FINE or RF-DETR file of the models folder, or a path; "
         "left out, the built-in people have their own, HMR 2.0 takes the first such file, or else the "
         "built-in detector",
         path=True),
)
# fmt: on
