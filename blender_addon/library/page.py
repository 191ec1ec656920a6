# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of models in the preferences: what is installed, what is missing and why, and what can be done about it."""

from __future__ import annotations

import shutil
from typing import Any
from urllib.parse import urlsplit

from bpy.types import UILayout

from ...installer.environment.lock_files import LABELS
from ...installer.models import catalogue, library, licences, store
from ...installer.models.catalogue import Model, in_words
from ...installer.net.http import HUB
from ..core import jobs
from ..ui.job_display import draw_offline, draw_outcome, draw_running
from ..ui.text import draw_fold, draw_lines, page_characters
from .choice import READY, STATES
from .state import IMPORT_INSTEAD, missing_groups, overview

#: Characters in a line of the dialog.
_DIALOG = 66


def draw(layout: UILayout, chosen: Any) -> None:
    """The whole page. chosen : the add-on's preferences."""
    width = page_characters()
    layout.label(text="Models", icon="PACKAGE")
    column = layout.column()
    column.prop(chosen, "models_folder", placeholder=str(store.models_root()))
    column.prop(chosen, "shared_models")
    row = column.row()
    row.alignment, row.active = "RIGHT", False
    row.label(text=f"{_free()} free")
    if not draw_running(layout, jobs.LIBRARY, but="Packages"):
        draw_outcome(layout, width, page="maquette.open_preferences")
    draw_offline(layout, IMPORT_INSTEAD, width)
    row = layout.row()
    row.operator("maquette.import_models", text="Import from Disk...", icon="FILE_FOLDER")
    row.operator("maquette.verify_models", text="Verify All", icon="VIEWZOOM").model = ""
    row = layout.row()
    row.use_property_split = False
    row.prop(chosen, "library_task", expand=True)
    column = layout.column(align=True)
    for model in catalogue.models(chosen.library_task):
        if not model.same_as:
            _draw_model(column.box(), model, width)
    if draw_fold(layout, chosen, "show_network"):
        column = layout.column()
        column.prop(chosen, "hub", placeholder=HUB)
        for name in ("hub_token", "proxy", "ca_file"):
            column.prop(chosen, name)


def _free() -> str:
    return in_words(shutil.disk_usage(library.existing(store.models_root())).free)


def _draw_model(box: UILayout, model: Model, width: int) -> None:
    state = overview(model)
    icon, words = STATES[state.state]
    busy = any(job.thread == jobs.LIBRARY and job.label.endswith(f" {model.label}") for job in jobs.active())
    if busy:
        icon, words = "SORTTIME", "in progress"
    split = box.split(factor=0.42)
    split.label(text=model.label, icon=icon)  # type: ignore[arg-type]
    right = split.split(factor=0.48)
    right.label(text=", ".join(filter(None, (model.size, words))))
    groups = missing_groups(model) if state.state in READY else []
    if not busy:
        buttons = right.row(align=True)
        buttons.alignment = "RIGHT"
        _draw_buttons(buttons, model, state, groups)
    column = box.column(align=True)
    column.active = False
    column.scale_y = 0.8
    draw_lines(column, model.licence + (f"  ({model.restriction})" if model.restriction else ""), width, "BLANK1")
    why = state.why if (state.state != library.NOT_INSTALLED or state.to_register) and not busy else ""
    for text in (why, _packages_line(groups), model.note):
        draw_lines(column, text, width, "BLANK1")


def _packages_line(groups: list[str]) -> str:
    names = " and ".join(LABELS.get(group, group) for group in groups)
    return f"Needs more packages: {names}" if groups else ""


def _draw_buttons(row: UILayout, model: Model, state: library.ModelStatus, groups: list[str]) -> None:
    if groups:
        row.operator("maquette.install_packages", text="Packages...", icon="IMPORT").features = " ".join(groups)
    for page in dict.fromkeys(file.page for file in state.to_register):
        row.operator("wm.url_open", text="Open Page", icon="URL").url = page
    if state.state == library.DAMAGED:
        row.operator("maquette.repair_model", text="Repair", icon="TOOL_SETTINGS").model = model.id
    elif state.to_download:
        text = "Resume" if state.state == library.UNFINISHED else "Install..."
        row.operator("maquette.install_model", text=text, icon="IMPORT").model = model.id
    elif state.to_add and not state.to_register:
        row.operator("maquette.install_model", text="Add...", icon="ADD").model = model.id
    if model.files and state.state == library.INSTALLED:
        row.operator("maquette.verify_models", text="", icon="VIEWZOOM").model = model.id
    if model.files and state.state != library.NOT_INSTALLED:
        row.operator("maquette.delete_model", text="", icon="TRASH").model = model.id


def draw_install(layout: UILayout, operator: Any, model: Model) -> None:
    """The dialog before a download: size, room, licence, and where to register."""
    state = library.overview(model)
    layout.operator_context = "INVOKE_DEFAULT"
    column = layout.column()
    if state.to_download:
        column.label(text=f"{in_words(state.download_bytes)} to download, {_free()} free", icon="IMPORT")
    column.label(text=str(store.models_root()), icon="FILE_FOLDER")
    if model.memory_mb:
        column.label(text=f"About {in_words(model.memory_mb * 1e6)} of memory when loaded", icon="MEMORY")
    draw_lines(column, f"Licence: {model.licence}", _DIALOG, "TEXT")
    if model.commercial == "ask":
        draw_lines(column, "Ask its authors before you use it, or what you make with it, commercially", _DIALOG, "INFO")
    for page in model.licence_pages:
        column.operator("wm.url_open", text=f"Read the Licence ({urlsplit(page).hostname})", icon="URL").url = page
    draw_lines(column, model.note, _DIALOG, "INFO")
    draw_lines(column, _packages_line(missing_groups(model)), _DIALOG, "INFO")
    for file in state.to_register:
        box = column.box()
        where = f"in {file.within}, which is imported as it is." if file.within else "after registration."
        line = f"{file.name} is only available from its owner, {where} Import it once you have it."
        draw_lines(box, line, _DIALOG, "INFO")
        row = box.row()
        row.operator("wm.url_open", text="Open Page", icon="URL").url = file.page
        row.operator("maquette.import_models", text="Import from Disk...", icon="FILE_FOLDER")
    if state.to_add:
        names = " and ".join(f"{file.name} ({file.size}; {file.licence})" for file in state.to_add)
        box = column.box()
        draw_lines(box, f"Can also use {names}", _DIALOG, "INFO")
        box.prop(operator, "optional")
    draw_offline(column, IMPORT_INSTEAD, _DIALOG)
    if licences.is_needed(model):
        box = column.box()
        line = "This licence forbids commercial use, including of what you make with the model."
        if model.ask_first:
            line = "This licence sets conditions on what the model is used for: read it before you accept it."
        draw_lines(box, line, _DIALOG, "ERROR")
        box.prop(operator, "accept")
