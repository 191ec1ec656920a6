# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of cleaning up motion."""

from __future__ import annotations

from ....inference.options import Choice, Number, Options, Switch

# fmt: off
RANGE = Options(
    Number("first", 0, "First", "First frame; with both at 0 the whole action", -1048574, 1048574),
    Number("last", 0, "Last", "Last frame; with both at 0 the whole action", -1048574, 1048574),
)
REDUCE = Options(
    Number("tolerance", 5.0, "Tolerance", "How far any joint may stray, in millimetres", 0.01, 10000.0,
           soft_low=0.5, soft_high=50.0),
)
SMOOTH = Options(
    *RANGE,
    Number("width", 2.0, "Width", "Standard deviation of the smoothing, in frames", 0.1, 1000.0, soft_high=12.0),
)
LOOP = Options(
    *RANGE,
    Number("blend", 8, "Blend", "Frames over which the end is led to the beginning", 1, 10000, soft_high=30),
    Switch("find", True, "Find Ends", "Of the whole action, take the part whose ends look and move most alike"),
)
ROOT = Options(
    Choice("to", "IN_PLACE", "Travel", "What becomes of the way over the ground", (
        ("IN_PLACE", "In Place", "The figure stays where it starts"),
        ("ROOT", "To Root Bone", "The bone that carries the whole rig goes the way"),
        ("OBJECT", "To Object", "The armature object goes the way"),
    )),
    Switch("steady", False, "Steady", "The way is straight and even; what sways about it stays with the hips"),
    Switch("turn", False, "Turn", "Also take where the figure faces"),
)
STRIP = Options(
    Number("repeat", 1, "Repeat", "Rounds of the loop", 1, 10000, soft_high=20),
    Number("start", 0, "Start", "First frame of the strip; 0 for the action's own", -1048574, 1048574),
)
# fmt: on
