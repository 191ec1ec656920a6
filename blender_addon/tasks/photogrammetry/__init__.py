# SPDX-License-Identifier: GPL-3.0-or-later
"""Several photos, or a film, of a place where nothing moves: a camera for each, and the points that they share."""

from __future__ import annotations

from ..shared.task import Command, Task
from .panel import PhotogrammetryPanel, PhotogrammetrySettingsPanel
from .settings import SETTINGS

TASK = Task(
    "photogrammetry",
    6,
    SETTINGS,
    (PhotogrammetryPanel, PhotogrammetrySettingsPanel),
    operator="reconstruct_photos",
    label="Cameras from Photos",
    tooltip="Find the cameras of several photos, or of a film, of a place where nothing moves, and points of the place",
    package=__name__,
    commands=(Command("cameras", "cameras and points of a place, by several photos or a film of it"),),
)
