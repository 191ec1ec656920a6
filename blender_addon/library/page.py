# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of models in the preferences: what is installed, what is missing and why, and what can be done about it."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import bpy

from ...installer.models import catalogue, library, licences, store
from ...installer.models.catalogue import Model, in_words
from ...installer.net.http import HUB
from ...installer.packages import features
from ...installer.shared.errors import SetupError
from ..core import choices, jobs
from ..core.online import offline_line
from ..packages.settings import LABELS
from ..ui.job_display import draw_outcome, draw_running
from ..ui.text import draw_lines, page_characters
from .settings import IMPORT_INSTEAD, TASKS

if TYPE_CHECKING:
    from bpy.types import UILayout

#: State of a model -> icon, and the words beside its size.
_SHOWN = {
    library.SHIPS: ("CHECKMARK", "ships"),
    library.INSTALLED: ("CHECKMARK", "installed"),
    library.UNFINISHED: ("TIME", "unfinished"),
    library.NOT_INSTALLED: ("RADIOBUT_OFF", ""),
    library.DAMAGED: ("ERROR", "damaged"),
}
#: Seconds for which what lies on the disk is remembered while the page is redrawn.
_REMEMBERED = 1.0

#: Group of packages -> when it was looked for, and whether it was found.
_importable: dict[str, tuple[float, bool]] = {}
_overviews: dict[tuple[str, str], tuple[float, object, library.Overview]] = {}


def overview(model: Model) -> library.Overview:
    """How a model stands, looked up at most once a second and after every job: a page is redrawn at every move of the
    mouse, and the disk may be a network's."""
    key, now, outcome = (model.task, model.id), time.monotonic(), jobs.outcome()
    known = _overviews.get(key)
    if known is None or now - known[0] > _REMEMBERED or known[1] is not outcome:
        known = _overviews[key] = (now, outcome, library.overview(model))
    return known[2]


def lacking_packages(model: Model) -> str:
    """A line about the group of packages that a model needs beside the core, where that is not installed."""
    group, now = model.packages, time.monotonic()
    if group == features.CORE:
        return ""
    known = _importable.get(group)
    if known is None or now - known[0] > _REMEMBERED:
        try:
            found = features.importable(group)
        except SetupError:  # there are no packages for this Python at all, as the page says above
            found = False
        known = _importable[group] = (now, found)
    return "" if known[1] else f"Needs the packages of the group {LABELS.get(group, group)}, which are not installed"


def state_icon(model: Model) -> str:
    """The icon that says whether a model is installed."""
    return _SHOWN[overview(model).state][0]


def draw(layout: UILayout, context: Any) -> None:
    """The whole page, inside the preferences of the add-on."""
    chosen = choices.preferences()
    if chosen is None:
        return
    layout.label(text="Models", icon="PACKAGE")
    _draw_folders(layout, chosen)
    _draw_work(layout)
    row = layout.row()
    row.operator("maquette.import_models", text="Import from Disk...", icon="FILE_FOLDER")
    row.operator("maquette.verify_models", text="Verify All", icon="VIEWZOOM").model = ""
    row = layout.row()
    row.use_property_split = False
    row.prop(chosen, "library_task", expand=True)
    column = layout.column(align=True)
    for model in catalogue.models(chosen.library_task):
        _draw_model(column.box(), model, page_characters())
    _draw_network(layout, chosen)


def _draw_folders(layout: UILayout, chosen: Any) -> None:
    column = layout.column()
    column.prop(chosen, "models_folder", placeholder=str(store.models_root()))
    column.prop(chosen, "shared_models")
    free = shutil.disk_usage(library.existing(store.models_root())).free
    row = column.row()
    row.alignment = "RIGHT"
    row.active = False
    row.label(text=f"{in_words(free)} free")


def _draw_work(layout: UILayout) -> None:
    """Progress of what is under way, or how it ended; and that there is no network, where that is so."""
    width = page_characters()
    if not draw_running(layout, jobs.LIBRARY, "maquette.cancel_library"):
        draw_outcome(layout, width, page="maquette.open_preferences")
    if line := offline_line(IMPORT_INSTEAD):
        draw_lines(layout.box(), line, width, "INTERNET_OFFLINE")


def _draw_model(box: UILayout, model: Model, width: int) -> None:
    state = overview(model)
    icon, words = _SHOWN[state.state]
    busy = any(job.thread == jobs.LIBRARY and job.label.endswith(f" {model.label}") for job in jobs.active())
    if busy:
        icon, words = "SORTTIME", "at work"
    split = box.split(factor=0.42)
    split.label(text=model.label, icon=icon)  # type: ignore[arg-type]
    right = split.split(factor=0.48)
    right.label(text=", ".join(filter(None, (model.size, words))))
    if not busy:
        buttons = right.row(align=True)
        buttons.alignment = "RIGHT"
        _draw_buttons(buttons, model, state)
    column = box.column(align=True)
    column.active = False
    column.scale_y = 0.8
    commercial = "" if model.commercial else "  (no commercial use)"
    draw_lines(column, f"{model.licence}{commercial}", width, "BLANK1")
    why = state.why if (state.state != library.NOT_INSTALLED or state.to_register) and not busy else ""
    for text in (why, lacking_packages(model), model.note):
        if text:
            draw_lines(column, text, width, "BLANK1")


def _draw_buttons(row: UILayout, model: Model, state: library.Overview) -> None:
    for page in dict.fromkeys(file.page for file in state.to_register):
        row.operator("wm.url_open", text="Open Page", icon="URL").url = page
    if state.state == library.DAMAGED:
        row.operator("maquette.repair_model", text="Repair", icon="TOOL_SETTINGS").model = model.id
    elif state.to_download:
        text = "Resume" if state.state == library.UNFINISHED else "Install..."
        row.operator("maquette.install_model", text=text, icon="IMPORT").model = model.id
    if state.to_add and not state.to_download and not state.to_register:
        row.operator("maquette.install_model", text="Add...", icon="ADD").model = model.id
    if model.files and state.state in (library.INSTALLED, library.DAMAGED, library.UNFINISHED):
        if state.state == library.INSTALLED:
            row.operator("maquette.verify_models", text="", icon="VIEWZOOM").model = model.id
        row.operator("maquette.delete_model", text="", icon="TRASH").model = model.id


def _draw_network(layout: UILayout, chosen: Any) -> None:
    row = layout.row()
    row.use_property_split = False
    row.alignment = "LEFT"
    icon = "DOWNARROW_HLT" if chosen.show_network else "RIGHTARROW"
    row.prop(chosen, "show_network", icon=icon, emboss=False)
    if chosen.show_network:
        column = layout.column()
        column.prop(chosen, "hub", placeholder=HUB)
        column.prop(chosen, "hub_token")
        column.prop(chosen, "proxy")
        column.prop(chosen, "ca_file")


def draw_install(layout: UILayout, operator: Any, model: Model) -> None:
    """The dialog before a download: size, room, licence, and where to register."""
    state = library.overview(model)
    layout.operator_context = "INVOKE_DEFAULT"
    column = layout.column()
    root = store.models_root()
    free = shutil.disk_usage(library.existing(root)).free
    if state.to_download:
        column.label(text=f"{in_words(state.download_bytes)} to download, {in_words(free)} free", icon="IMPORT")
    column.label(text=str(root), icon="FILE_FOLDER")
    if model.memory_mb:
        column.label(text=f"About {in_words(model.memory_mb * 1e6)} of memory", icon="MEMORY")
    draw_lines(column, f"Licence: {model.licence}", 66, "TEXT")
    if model.note:
        draw_lines(column, model.note, 66, "INFO")
    for file in state.to_register:
        box = column.box()
        draw_lines(box, f"{file.name} is handed out by its owner only, after registration. Import it then.", 66, "INFO")
        row = box.row()
        row.operator("wm.url_open", text="Open Page", icon="URL").url = file.page
        row.operator("maquette.import_models", text="Import from Disk...", icon="FILE_FOLDER")
    if state.to_add:
        names = " and ".join(f"{file.name} ({file.size}; {file.licence})" for file in state.to_add)
        box = column.box()
        draw_lines(box, f"It can also use {names}", 66, "INFO")
        box.prop(operator, "optional")
    if line := offline_line(IMPORT_INSTEAD):
        draw_lines(column.box(), line, 66, "INTERNET_OFFLINE")
    if licences.is_needed(model):
        box = column.box()
        draw_lines(box, "This licence forbids commercial use, also of what is made with the model.", 66, "ERROR")
        box.prop(operator, "accept")


def draw_choice(layout: UILayout, group: Any, task: str) -> None:
    """The choice of a task's model in the sidebar: which of them are installed, and a button where the chosen one is
    not."""
    model = next((model for model in catalogue.models(task) if model.id == group.model), None)
    split = layout.split(factor=0.4)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text="Model")
    if model is None:
        split.prop(group, "model", text="")
        return
    split.menu(f"MAQUETTE_MT_{task}_models", text=model.label, icon=state_icon(model))  # type: ignore[arg-type]
    state = overview(model)
    if state.state in (library.SHIPS, library.INSTALLED):
        return
    row = layout.row()
    verb = {library.UNFINISHED: "Resume", library.DAMAGED: "Repair"}.get(state.state, "Install")
    operator = "maquette.repair_model" if state.state == library.DAMAGED else "maquette.install_model"
    size = f" ({in_words(state.download_bytes)})" if state.download_bytes else ""
    row.operator(operator, text=f"{verb} {model.label}{size}", icon="IMPORT").model = f"{task}/{model.id}"


class ModelsMenu:
    """The models of a task; those that are not installed say how large they are."""

    bl_label = "Model"
    layout: UILayout
    task = ""

    def draw(self, context: Any) -> None:
        group = getattr(context.scene.maquette, self.task)
        for model in catalogue.models(self.task):
            state = overview(model)
            size = "" if state.state in (library.SHIPS, library.INSTALLED) else f"   ({model.size} to download)"
            text = f"{model.label}{size}"
            self.layout.prop_enum(group, "model", model.id, text=text, icon=state_icon(model))  # type: ignore[arg-type]


#: The tasks whose model is one of the catalogue.
CLASSES = tuple(
    type(f"MAQUETTE_MT_{task}_models", (ModelsMenu, bpy.types.Menu), {"task": task, "bl_label": "Model"})
    for task in TASKS
)
