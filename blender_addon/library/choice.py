# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of a task's model in the sidebar, and its menu. Imported while Blender starts, as the page need not be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
from bpy.types import UILayout

from ...inference.options.common import AUTO
from ...installer.models import catalogue, library
from ...installer.models.catalogue import Model, in_words
from ..ui.text import characters
from .state import TASKS, overview

#: State of a model -> icon, and the words beside its size.
STATES = {
    library.SHIPS: ("CHECKMARK", "included"),
    library.INSTALLED: ("CHECKMARK", "installed"),
    library.UNFINISHED: ("TIME", "incomplete"),
    library.NOT_INSTALLED: ("RADIOBUT_OFF", ""),
    library.DAMAGED: ("ERROR", "damaged"),
}
READY = (library.SHIPS, library.INSTALLED)


def draw_choice(layout: UILayout, group: Any, task: str) -> None:
    """The choice of a task's model in the sidebar: which of them are installed, and a button where the chosen one is
    not."""
    models = catalogue.models(task)
    model = next((model for model in models if model.id == group.model), None)
    split = layout.split(factor=0.4)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text="Model")
    if model is None and group.model != AUTO:
        split.prop(group, "model", text="")
        return
    if model is None:
        split.menu(f"MAQUETTE_MT_{task}_models", text="Automatic", icon="CHECKMARK")
        model = better(models)
        if model is not None:
            text = f"Install {model.label} ({model.size}, {model.licence})"
            if len(text) > characters(margin=45):  # the dialog names the licence
                text = f"Install {model.label} ({model.size})"
            layout.operator("maquette.install_model", text=text, icon="IMPORT").model = f"{task}/{model.id}"
        return
    state = overview(model)
    split.menu(f"MAQUETTE_MT_{task}_models", text=model.label, icon=STATES[state.state][0])  # type: ignore[arg-type]
    if state.state in READY:
        return
    verb = {library.UNFINISHED: "Resume", library.DAMAGED: "Repair"}.get(state.state, "Install")
    operator = "maquette.repair_model" if state.state == library.DAMAGED else "maquette.install_model"
    size = f" ({in_words(state.download_bytes)})" if state.download_bytes else ""
    layout.operator(operator, text=f"{verb} {model.label}{size}", icon="IMPORT").model = f"{task}/{model.id}"


def better(models: Iterable[Model]) -> Model | None:
    """The smallest model that "auto" would rather take than what ships; None where one is installed."""
    ready = max((model for model in models if overview(model).state in READY), key=lambda model: model.auto)
    above = [model for model in models if model.auto > ready.auto]
    if ready.files or not above:
        return None
    return min(above, key=lambda model: sum(file.about_bytes for file in model.files))


class ModelsMenu:
    """The models of a task; those that are not installed say how large they are."""

    layout: UILayout
    task = ""

    def draw(self, context: Any) -> None:
        group = getattr(context.scene.maquette, self.task)
        if any(model.auto for model in catalogue.models(self.task)):
            self.layout.prop_enum(group, "model", AUTO, icon="CHECKMARK")
        for model in (model for model in catalogue.models(self.task) if not model.same_as):
            state = overview(model).state
            text = model.label if state in READY else f"{model.label}   ({model.size} to download)"
            self.layout.prop_enum(group, "model", model.id, text=text, icon=STATES[state][0])  # type: ignore[arg-type]


#: The tasks whose model is one of the catalogue.
CLASSES = tuple(
    type(f"MAQUETTE_MT_{task}_models", (ModelsMenu, bpy.types.Menu), {"task": task, "bl_label": "Model"})
    for task in TASKS
)
