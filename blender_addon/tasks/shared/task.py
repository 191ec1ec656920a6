# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task is to the add-on: one object, from which its operator, settings, panels and command follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import bpy

from ....inference.options import Options
from ...core.bpy_settings import properties_of
from .operator import PhotoOperator
from .panel import SidebarPanel, panel_classes
from .presets import preset_panel
from .settings import COMMON, PHOTO

if TYPE_CHECKING:
    from bpy.types import Context

    from ...work.item import JobResult, WorkItem
    from .finish import Place


_ASK: Any = bpy.props.BoolProperty(
    name="Ask", description="Show first what is to be built", options={"HIDDEN", "SKIP_SAVE"}
)


class TaskCode(Protocol):
    """The part of a task that needs numpy and the builders: its module `build`, imported when it is first run."""

    def work(self, properties: Any, context: Context) -> WorkItem:
        """What the worker is to do; raises MaquetteError where it cannot be done."""
        ...

    def build(self, item: Any, found: JobResult, place: Place) -> str:
        """Make the datablocks; returns the closing line."""
        ...


@dataclass(frozen=True)
class Command:
    """A command of `blender --command maquette`. defaults : properties that differ from the operator's own.
    needs_photo : there is nothing else that it could work on."""

    name: str
    help: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    needs_photo: bool = True


@dataclass(frozen=True)
class Task:
    """One folder of `tasks`.

    name : of the scene's settings `Scene.maquette.<name>`.  order : place in the sidebar.
    settings : what the scene remembers and the operator takes.  remembered : further properties of the scene's group.
    operator, label, tooltip : of the operator `maquette.<operator>` that runs the task on a photo.
    variants : further operators with the same properties: name -> label, tooltip and base class.
    built : the settings of what is built of a result, which can be built again.
    adjust : what the panel's button, a menu or a key changes of the settings for the chosen model.
    kept : its settings can be kept as presets, by the icon in its panel's header.
    replaces : a second run takes the place of the first one on the same photo.
    package : its folder's, where a module `build` does it (see `code`).
    classes : further operators, menus and lists.  groups : property groups that the settings or objects point to.
    attached : (class of datablock, name) -> property that is added to all its datablocks.
    """

    name: str
    order: int
    settings: Options
    panels: tuple[type[SidebarPanel], ...]
    operator: str = ""
    label: str = ""
    tooltip: str = ""
    variants: Mapping[str, tuple[str, str, type]] = field(default_factory=dict)
    package: str = ""
    built: tuple[str, ...] = ()
    kept: bool = True
    replaces: bool = True
    adjust: Callable[[Any], object] = lambda properties: None
    commands: tuple[Command, ...] = ()
    classes: tuple[type, ...] = ()
    groups: tuple[type, ...] = ()
    remembered: Mapping[str, Any] = field(default_factory=dict)
    attached: Mapping[tuple[type, str], Any] = field(default_factory=dict)

    @cached_property
    def group(self) -> type:
        """The settings of a scene."""
        declared = {**properties_of(self.settings), **self.remembered}
        return type(f"MAQUETTE_PG_{self.name}", (bpy.types.PropertyGroup,), {"__annotations__": declared})

    @cached_property
    def presets(self) -> type | None:
        """The popover of its presets; None where the task has presets of its own, or nothing that is worth keeping."""
        return preset_panel(self.name, self.settings) if self.kept else None

    @cached_property
    def operators(self) -> tuple[type, ...]:
        """The operators that take a photo, made of the settings, and the further classes."""
        own = {self.operator: (self.label, self.tooltip, PhotoOperator)} if self.operator else {}
        made = (self._operator(name, *told) for name, told in {**own, **self.variants}.items())
        return (*made, *self.classes)

    def code(self) -> TaskCode:
        """The module that does it, imported when the task is first run."""
        return cast("TaskCode", import_module(".build", self.package))

    def acts(self, name: str, model: str) -> bool:
        """Whether a setting acts on the chosen model."""
        if model not in self._acting:
            self._acting[model] = self.settings.for_model(model)
        return name in self._acting[model]

    @cached_property
    def _acting(self) -> dict[str, Options]:
        return {}

    def _operator(self, name: str, label: str, tooltip: str, base: type) -> type:
        attributes = {
            "__doc__": tooltip,
            "__annotations__": {**properties_of((*COMMON, *PHOTO, *self.settings)), "ask": _ASK},
            "bl_idname": f"maquette.{name}",
            "bl_label": label,
            "task": self,
        }
        return type(f"MAQUETTE_OT_{name}", (base,), attributes)

    def panel_classes(self, space: str, prefix: str) -> list[type]:
        """The panels as classes for one editor."""
        return panel_classes(self.panels, space, prefix, task=self)
