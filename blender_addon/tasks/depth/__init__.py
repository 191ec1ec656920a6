# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth of a photo or clip: an image, a displaced grid or material, a relief mesh, or a live relief."""

from __future__ import annotations

from ..shared.task import Command, Task
from .panel import DepthPanel, DepthSettingsPanel
from .settings import BUILD, SETTINGS

TASK = Task(
    "depth",
    20,
    SETTINGS,
    (DepthPanel, DepthSettingsPanel),
    operator="estimate_depth",
    label="Estimate Depth",
    tooltip="Estimate the depth of the photo and build it into the scene",
    package=__name__,
    built=BUILD.names,
    commands=(
        Command("depth", "depth of a photo as relief mesh, grid or image"),
        Command("relief", "surface relief of a material photo as displaced grid", {"model": "relief"}),
    ),
)
