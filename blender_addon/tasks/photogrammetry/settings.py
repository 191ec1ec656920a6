# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of cameras from several photos."""

from __future__ import annotations

from ....inference.options import Choice, Number, Options
from ..shared.settings import START_FRAME, model_choice

# fmt: off
PARAMETERS = Options(
    Number("most_photos", 100, "Photos", "How many are compared at most, taken evenly; time grows with them", 2,
           soft_high=300),
    Number("long_side", 1600, "Size", "Longer side at which photos are compared", 64, soft_high=4000, unit="PIXEL"),
)
BUILD = Options(
    Choice("cameras", "AUTO", "Cameras", "What becomes of the cameras", (
        ("AUTO", "Automatic", "Of a film one camera that moves, of separate photos one each"),
        ("ANIMATED", "One, Animated", "One camera that moves from photo to photo, a frame each"),
        ("SEPARATE", "One a Photo", "A camera for each photo, with the photo behind it"),
    )),
    Number("point_size", 0.02, "Point Size", "Radius of the points", 0.0, soft_high=0.1, unit="DISTANCE"),
    START_FRAME,
)
SETTINGS = Options(
    model_choice("depth", "What tells the metres; without one people in the photos do, else they are guessed"),
    *PARAMETERS,
    *BUILD,
)
# fmt: on
