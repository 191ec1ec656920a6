# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a scene from a photo."""

from __future__ import annotations

from ....inference.options import Choice, Options, Switch, Text
from ...builders.bodies.rig_choices import RIGS
from ..depth.settings import BUILD as DEPTH
from ..shared.settings import model_choice

# fmt: off
PARAMETERS = Options(
    Text("people_model", "auto", "People Model", "Which model recovers the people; auto takes the best one installed"),
)
BUILD = Options(
    *(DEPTH[name] for name in ("mesh_resolution", "tear", "grazing", "max_distance", "specks")),
    Choice("rig", "OWN", "Rig", "Which bones the people's armatures get", RIGS),
    Switch("person_masks", True, "Masks", "An image of each person's mask"),
)
SETTINGS = Options(
    model_choice("depth", "What measures everything but the people"),
    *PARAMETERS,
    Text("scene_depth", "", "Scene Depth",
         "Float depth image of the same photo, in metres, where it is known; no model is asked then"),
    *BUILD,
)
# fmt: on
