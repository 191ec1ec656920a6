# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the scale of a photo."""

from __future__ import annotations

from ....inference.options import Choice, Number, Options, Switch, Text
from ...core.bpy_settings import Name, Vector

# fmt: off
SETTINGS = Options(
    Choice("known", "DISTANCE", "Calibrate From", "What is known of the photo", (
        ("DISTANCE", "Distance", "How far two points are from each other"),
        ("PERSON", "Person", "How tall the selected person is, standing straight"),
        ("CAMERA", "Camera Height", "How high above the floor the photo was taken"),
    )),
    Choice("points", "SELECTION", "Points", "Which two points the distance is between", (
        ("SELECTION", "Selection",
         "The two selected vertices, bones or objects; or the selected one and the 3D cursor"),
        ("POINTS", "Points", "Two places in the scene"),
        ("PIXELS", "Pixels", "Two pixels of the photo, and what was built from it there"),
    )),
    Vector("point_a", None, "Point A", "Location of the first point", kind="XYZ_LENGTH"),
    Vector("point_b", None, "Point B", "Location of the second point", kind="XYZ_LENGTH"),
    Vector("pixel_a", None, "Pixel A", "First pixel of the photo: from the left, from the top", 0.0, size=2),
    Vector("pixel_b", None, "Pixel B", "Second pixel of the photo: from the left, from the top", 0.0, size=2),
    Number("distance", 1.0, "Length", "The true length, in the scene's units", 0.0, unit="DISTANCE"),
    Choice("keep", "FLOOR", "Hold Fixed", "What stays in place", (
        ("FLOOR", "Floor", "The floor stays at height 0, and the camera moves up or down"),
        ("CAMERA", "Camera", "The camera stays, and everything in the photo moves closer or farther away"),
    )),
    Switch("rewrite", True, "Rewrite Depth",
           "Write new depth images of the photo with the right metres; the old files stay for undo"),
)
#: Lines drawn on the photo, for its lens.
LINES = Options(
    *(
        Text(f"lines_{axis}", "", f"Lines {axis.upper()}",
             f"Lines along {along}, as [[u0, v0, u1, v1], ...] in pixels; without any, the photo's edges tell the lens")
        for axis, along in (("x", "edges that run to one side"), ("y", "edges at right angles to X, as level"),
                            ("z", "upright edges"))
    ),
)
#: The photo of the operator.
PHOTO = Options(
    Text("camera", "", "Camera", "Name of the photo's matched camera"),
    Text("image", "", "Image", "Name of the photo's image, instead of the camera's name"),
    Name("filepath", "", "File", "Path of the photo, instead of the camera's name", kind="FILE_PATH"),
)
# fmt: on
