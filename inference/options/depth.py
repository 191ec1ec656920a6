# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of depth, and of the relief of a material's surface."""

from __future__ import annotations

from . import Number, Options, Share, Switch
from .common import FX, FY, RESOLUTION, TOKENS

_RELIEF = ("relief",)
#: The options of the relief alone.
RELIEF = ("invert", "detail", "largest_feature", "light", "tileable")

# fmt: off
OPTIONS = Options(
    FX,
    FY,
    RESOLUTION,
    TOKENS,
    Switch("steady", True, "Steady", "Bring the metres of a clip's frames to one scale, so that they do not flicker"),
    Switch("invert", None, "Invert", "Whether bright parts lie deep; left out, the picture itself decides",
           models=_RELIEF, blender=False),
    Share("detail", 0.5, "Detail", "Weight of fine grain against broad forms, from 0 (broad forms) to 1 (fine grain)",
          models=_RELIEF, blender=False),
    Number("largest_feature", None, "Largest Feature",
           "Width of the broadest form; slower changes count as light. Left out, a sixth of the long side", 2.0,
           unit="PIXEL", models=_RELIEF, blender=False),
    Number("light", None, "Light Direction",
           "Degrees that the light comes from, counter-clockwise from the right; left out, shading is not used",
           models=_RELIEF, blender=False),
    Switch("tileable", False, "Tileable", "The photo repeats without a seam, and so does its relief", models=_RELIEF,
           blender=False),
)
# fmt: on
