# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of packages in the preferences: one button that sets them up, and what it did."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ...installer.environment.lock_files import FEATURES
from ...installer.environment.torch_build import REGISTRY, TORCH_INDEX
from ...installer.environment.uv import PUBLIC_INDEX
from ...installer.packages import sizes
from ...installer.packages import status as states
from ...installer.packages.features import CORE
from ..core import choices, jobs
from ..core.online import how_to_allow, is_online
from ..ui.job_display import draw_progress
from ..ui.text import draw_lines, page_characters
from . import state as work
from .settings import LABELS, property_of, wanted

if TYPE_CHECKING:
    from bpy.types import UILayout

#: State -> icon and words.
_SHOWN = {
    states.NOT_INSTALLED: ("IMPORT", "Not installed"),
    states.INSTALLING: ("SORTTIME", "Being installed"),
    states.BROKEN: ("ERROR", "Damaged"),
    states.READY: ("CHECKMARK", "Ready"),
    states.OUTDATED: (
        "FILE_REFRESH",
        "Installed for another version of Maquette; an update downloads what has changed",
    ),
    states.RESTART: ("RECOVER_LAST", "Start Blender again to use the new packages; until then the earlier ones stay"),
    states.PROVIDED: ("CHECKMARK", "Ready, from this Blender's own environment"),
    states.UNFIT: ("ERROR", "Another add-on is in the way"),
    states.UNSUPPORTED: ("ERROR", "This Blender's Python is not supported"),
}


def draw(layout: UILayout, context: Any) -> None:
    """The whole page, inside the preferences of the add-on."""
    chosen = choices.preferences()
    if chosen is None:
        return
    work.look()
    status = work.status()
    width = page_characters()
    layout.label(text="Packages", icon="PREFERENCES")
    box = layout.box()
    active = [job for job in jobs.active() if job.thread == jobs.LIBRARY and job.label.endswith("Packages")]
    if active:
        box.label(text=active[0].label, icon="SORTTIME")
        draw_progress(box, active[0], "maquette.cancel_library", "Stopping; the downloaded part is kept")
    else:
        _draw_state(box, status, width)
        _draw_groups(box, status, chosen)
        _draw_buttons(box, status, chosen)
    if not is_online() and status.state not in (states.PROVIDED, states.UNFIT, states.UNSUPPORTED):
        line = f"Blender is offline. {how_to_allow()}, or choose an offline folder of wheels under Sources"
        draw_lines(box, line, width, "INTERNET_OFFLINE")
        chosen_folder = chosen.wheels_folder
        if not chosen_folder:
            box.prop(chosen, "wheels_folder")
    _draw_sources(layout, chosen, width)
    _draw_report(layout, status, chosen, width)


def state_of(status: states.Status) -> str:
    """The core's state; damage that a closer look has found counts."""
    usable = status.state in (states.READY, states.RESTART)
    return states.BROKEN if usable and work.machine.damaged else status.state


def _draw_state(box: UILayout, status: states.Status, width: int) -> None:
    state = state_of(status)
    icon, words = _SHOWN[state]
    core = status.groups[0]
    text = words
    if state in (states.READY, states.PROVIDED) and core.detail:
        text = f"{words}: {core.detail}"
    draw_lines(box, text, width, icon)
    if state == states.INSTALLING:
        draw_lines(box, "Another Blender installs them; this page shows when it is done", width, "BLANK1")
    elif state == states.BROKEN:
        names = ", ".join(LABELS[feature] for feature in work.machine.damaged) or "The core"
        draw_lines(box, f"{names}: files are missing. Repair downloads only what is damaged.", width, "BLANK1")
    elif state in (states.UNFIT, states.UNSUPPORTED, states.NOT_INSTALLED) and core.detail:
        draw_lines(box, core.detail, width, "BLANK1")


def _draw_groups(box: UILayout, status: states.Status, chosen: Any) -> None:
    column = box.column(align=True)
    for group in status.groups:
        if group.feature == CORE and len(status.groups) == 1:
            continue
        split = column.split(factor=0.32)
        left = split.row()
        left.use_property_split = False
        if group.feature == CORE or group.state in states.USABLE:
            left.label(text=LABELS[group.feature], icon="CHECKBOX_HLT")
        else:
            left.prop(chosen, property_of(group.feature))
        right = split.split(factor=0.78)
        right.active = group.state in states.USABLE
        right.label(text=FEATURES[group.feature])
        end = right.row()
        end.alignment = "RIGHT"
        end.label(text=_size(group))
        removable = group.feature != CORE and group.state == states.READY
        if removable:
            end.operator("maquette.remove_packages", text="", icon="TRASH").features = group.feature


def _size(group: states.Group) -> str:
    if group.megabytes:
        return in_words(group.megabytes)
    if group.state in states.USABLE:
        return ""
    return in_words(sizes.about([group.feature], work.machine.backend)[1]) if work.machine.backend else ""


def _draw_buttons(box: UILayout, status: states.Status, chosen: Any) -> None:
    state = state_of(status)
    if state in (states.UNFIT, states.UNSUPPORTED, states.INSTALLING):
        return
    installed = {group.feature for group in status.groups if group.state in states.USABLE}
    offered = {group.feature for group in status.groups}
    left = [feature for feature in wanted(chosen) if feature not in installed and feature in offered]
    if left:
        _draw_plan(box, status, left)
    row = box.row()
    row.scale_y = 1.3
    if state == states.BROKEN:
        row.operator("maquette.repair_packages", text="Repair", icon="TOOL_SETTINGS")
    elif left:
        row.enabled = is_online() or bool(chosen.wheels_folder)
        verb = "Update" if state == states.OUTDATED else "Install" if CORE in left else "Add"
        verb = "Resume Installing" if status.kept_mb else verb
        row.operator("maquette.install_packages", text=f"{verb} Packages", icon="IMPORT").features = " ".join(left)
    if status.megabytes and state not in (states.NOT_INSTALLED, states.OUTDATED):
        row = box.row(align=True)
        row.operator("maquette.verify_packages", text="Verify", icon="VIEWZOOM")
        if state == states.READY:
            another = row.operator("maquette.install_packages", text="Change Build", icon="FILE_REFRESH")
            another.anew = True
        row.operator("maquette.remove_packages", text=f"Remove ({in_words(status.megabytes)})", icon="TRASH")


def _draw_plan(box: UILayout, status: states.Status, features: list[str]) -> None:
    """Size, place and device, before the button is pressed."""
    column = box.column(align=True)
    column.scale_y = 0.9
    backend = status.groups[0].backend or work.machine.backend
    if work.machine.device is None and CORE in features:
        column.label(text="Looking at the graphics driver ...", icon="SORTTIME")
    elif CORE in features:
        column.label(text=f"This machine has: {work.machine.device}", icon="MEMORY")
        column.label(text=f"PyTorch's build for it: {states.build_name(backend)}", icon="BLANK1")
    if backend:
        download, disk = sizes.about(features, backend)
        text = f"About {in_words(download)} to download, {in_words(disk)} on the disk ({in_words(status.free_mb)} free)"
        column.label(text=text, icon="IMPORT")
        if status.kept_mb:
            column.label(text=f"{in_words(status.kept_mb)} of it have come already", icon="BLANK1")
        elif CORE in features and backend != REGISTRY:
            other = in_words(sizes.about(features, REGISTRY)[0])
            column.label(text=f"{other} where PyTorch's own registry is out of reach", icon="BLANK1")
    column.label(text=status.root, icon="FILE_FOLDER")


def draw_install(layout: UILayout, features: list[str]) -> None:
    """The dialog before a download."""
    status = work.status()
    column = layout.column()
    names = ", ".join(LABELS.get(feature, feature) for feature in features)
    column.label(text=names, icon="PACKAGE")
    _draw_plan(column, status, features)
    if not is_online():
        draw_lines(column.box(), f"Blender is offline. {how_to_allow()}", 62, "INTERNET_OFFLINE")


def _draw_sources(layout: UILayout, chosen: Any, width: int) -> None:
    if not _unfolded(layout, chosen, "show_sources"):
        return
    column = layout.column()
    column.prop(chosen, "accelerator")
    column.prop(chosen, "packages_folder", placeholder=work.status().root)
    column.prop(chosen, "package_index", placeholder=PUBLIC_INDEX)
    column.prop(chosen, "torch_index", placeholder=TORCH_INDEX)
    column.prop(chosen, "wheels_folder")
    if sys.platform == "win32" and len(work.status().root) > 110:
        draw_lines(column, "This folder's path is too long for Windows; choose a shorter one.", width, "ERROR")


def _draw_report(layout: UILayout, status: states.Status, chosen: Any, width: int) -> None:
    """What the proof found, for a report about a fault."""
    proof = status.groups[0].proof
    if not proof or not _unfolded(layout, chosen, "show_report"):
        return
    column = layout.box().column(align=True)
    column.scale_y = 0.85
    versions = ", ".join(f"{name} {version}" for name, version in proof.get("versions", {}).items())
    draw_lines(column, versions, width, "BLANK1")
    numpy = proof.get("numpy", {})
    if numpy.get("version"):
        draw_lines(column, f"Blender's own numpy {numpy['version']} is untouched", width, "BLANK1")
    for product in proof.get("products", []):
        name = proof.get("names", {}).get(product["device"], product["device"])
        if product["right"]:
            text = f"{name}: a product in {product['type']} is right to {product['relative_error']:.1e}"
        else:
            text = f"{name}: {product.get('error', 'its results are wrong')}"
        draw_lines(column, text, width, "BLANK1")


def _unfolded(layout: UILayout, chosen: Any, name: str) -> bool:
    row = layout.row()
    row.use_property_split = False
    row.alignment = "LEFT"
    shown = getattr(chosen, name)
    row.prop(chosen, name, icon="DOWNARROW_HLT" if shown else "RIGHTARROW", emboss=False)
    return shown


def in_words(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{max(1, round(megabytes))} MB"
