# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist runs, one folder a task. Every folder (but `shared`) has a `TASK`, which is found here.

Importing them brings in neither numpy nor torch: what a task does lies in its module `build`, which is imported when
it is first run.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

import bpy
from bpy.props import PointerProperty

from .shared import manual, photo_operators
from .shared.job_operators import OPERATORS
from .shared.memory_panel import MemoryPanel
from .shared.panel import panel_classes
from .shared.photo_panel import PhotoOptionsPanel, PhotoPanel, ResultsPanel
from .shared.presets import MAQUETTE_OT_save_preset
from .shared.scene_settings import scene_group

if TYPE_CHECKING:
    from .shared.task import Task

_EDITORS = (("VIEW_3D", "MAQUETTE_PT_view3d"), ("IMAGE_EDITOR", "MAQUETTE_PT_image"))


def _found() -> tuple[Task, ...]:
    """The task of every folder, in the order of the sidebar."""
    folders = [found.name for found in pkgutil.iter_modules(__path__) if found.ispkg and found.name != "shared"]
    return tuple(sorted((import_module(f".{name}", __name__).TASK for name in folders), key=lambda task: task.order))


def _panels(space: str, prefix: str) -> list[type]:
    return [
        *panel_classes((PhotoPanel, PhotoOptionsPanel), space, prefix),
        *(panel for task in TASKS for panel in task.panel_classes(space, prefix)),
        *panel_classes((ResultsPanel, MemoryPanel), space, prefix),
    ]


TASKS = _found()
_SETTINGS = scene_group(TASKS)
_CLASSES = (
    *(group for task in TASKS for group in (*task.groups, task.group)),
    _SETTINGS,
    *OPERATORS,
    *photo_operators.CLASSES,
    MAQUETTE_OT_save_preset,
    *(task.presets for task in TASKS if task.presets is not None),
    *(operator for task in TASKS for operator in task.operators),
    *(panel for editor in _EDITORS for panel in _panels(*editor)),
)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.maquette = PointerProperty(type=_SETTINGS)  # type: ignore[attr-defined]
    for task in TASKS:
        for (owner, name), declared in task.attached.items():
            setattr(owner, name, declared)
    photo_operators.register()
    bpy.utils.register_manual_map(manual.addresses)


def unregister() -> None:
    bpy.utils.unregister_manual_map(manual.addresses)
    photo_operators.unregister()
    for task in TASKS:
        for owner, name in task.attached:
            delattr(owner, name)
    del bpy.types.Scene.maquette  # type: ignore[attr-defined]
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)


def prepare() -> None:
    """Import what the tasks need when they are run; takes a second, so a worker does it."""
    for task in TASKS:
        if task.package:
            task.code()
