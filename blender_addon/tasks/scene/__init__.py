# SPDX-License-Identifier: GPL-3.0-or-later
"""One press, one scene: camera, floor, what is behind the people, and the people, in one collection and one measure."""

from __future__ import annotations

from ..shared.task import Command, Task
from .panel import ScenePanel, SceneSettingsPanel
from .settings import SETTINGS

TASK = Task(
    "scene",
    5,
    SETTINGS,
    (ScenePanel, SceneSettingsPanel),
    operator="reconstruct_scene",
    label="Scene from Photo",
    tooltip="Build the whole photo: its camera, the floor, what is behind the people, and the people on that floor",
    package=__name__,
    commands=(Command("scene", "camera, surroundings and people of a photo in one scene"),),
)
