# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals of a photo or clip: a normal map, or a Normal Map node in the material."""

from __future__ import annotations

from ..shared.task import Command, Task
from .panel import NormalsPanel, NormalsSettingsPanel
from .settings import BUILD, SETTINGS

TASK = Task(
    "normals",
    30,
    SETTINGS,
    (NormalsPanel, NormalsSettingsPanel),
    operator="estimate_normals",
    label="Estimate Normals",
    tooltip="Estimate the surface normals of the photo as a normal map",
    package=__name__,
    built=BUILD.names,
    commands=(Command("normals", "normal map of a photo"),),
)
