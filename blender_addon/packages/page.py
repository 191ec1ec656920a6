# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of packages in the preferences: one button that sets them up, and what it did."""

from __future__ import annotations

import sys
from typing import Any

from bpy.types import UILayout

from ...installer.environment.lock_files import CORE, FEATURES, LABELS
from ...installer.environment.torch_build import REGISTRY
from ...installer.models.catalogue import in_words
from ...installer.packages import sizes
from ...installer.packages import status as states
from ..core import jobs
from ..core.online import is_online
from ..ui.job_display import draw_offline, draw_progress
from ..ui.text import draw_fold, draw_lines, page_characters
from . import state as known
from .state import WHEELS_INSTEAD, property_of, wanted

#: State -> icon and words.
_STATES = {
    states.NOT_INSTALLED: ("IMPORT", "Not installed"),
    states.INSTALLING: ("SORTTIME", "Another Blender is installing them; this page updates when it is done"),
    states.BROKEN: ("ERROR", "Damaged"),
    states.READY: ("CHECKMARK", "Ready"),
    states.OUTDATED: ("FILE_REFRESH", "From another version of Maquette; an update downloads only what has changed"),
    states.RESTART: ("RECOVER_LAST", "Restart Blender to use the new packages; until then the old ones are used"),
    states.PROVIDED: ("CHECKMARK", "Ready, from this Blender's own environment"),
    states.UNFIT: ("ERROR", "Another add-on's packages are in the way"),
    states.UNSUPPORTED: ("ERROR", "This Blender's Python is not supported"),
}
#: States in which no package can be installed, or none need be.
_CLOSED = (states.UNFIT, states.UNSUPPORTED, states.INSTALLING)


def draw(layout: UILayout, chosen: Any) -> None:
    """The whole page. chosen : the add-on's preferences."""
    known.look()
    status, width = known.status(), page_characters()
    layout.label(text="Packages", icon="PREFERENCES")
    box = layout.box()
    active = [job for job in jobs.active() if job.thread == jobs.LIBRARY and job.label.endswith("Packages")]
    if active:
        box.label(text=active[0].label, icon="SORTTIME")
        draw_progress(box, active[0], "Stopping; the downloaded part is kept")
    else:
        state = _state_of(status)
        _draw_state(box, status, state, width)
        _draw_groups(box, status, chosen, width)
        if state not in _CLOSED:
            _draw_buttons(box, status, state, chosen)
    if not is_online() and status.state not in (states.PROVIDED, states.UNFIT, states.UNSUPPORTED):
        draw_offline(box, WHEELS_INSTEAD, width)
        if not chosen.wheels_folder:
            box.prop(chosen, "wheels_folder")
    if draw_fold(layout, chosen, "show_sources"):
        _draw_sources(layout.column(), status, chosen, width)
    if status.groups[0].proof and draw_fold(layout, chosen, "show_report"):
        _draw_report(layout.box().column(align=True), status.groups[0].proof, width)


def _state_of(status: states.Status) -> str:
    """The core's state; damage that a closer look has found counts."""
    usable = status.state in (states.READY, states.RESTART)
    return states.BROKEN if usable and known.machine.damaged else status.state


def _draw_state(box: UILayout, status: states.Status, state: str, width: int) -> None:
    icon, words = _STATES[state]
    detail = status.groups[0].detail
    if state in (states.READY, states.PROVIDED) and detail:
        words = f"{words}: {detail}"
    draw_lines(box, words, width, icon)
    if state == states.BROKEN:
        names = ", ".join(LABELS[feature] for feature in known.machine.damaged) or LABELS[CORE]
        detail = f"{names}: files are missing. Repair downloads only what is damaged."
    if state in (states.BROKEN, states.UNFIT, states.UNSUPPORTED, states.NOT_INSTALLED):
        draw_lines(box, detail, width, "BLANK1")


def _draw_groups(box: UILayout, status: states.Status, chosen: Any, width: int) -> None:
    """The core, and the groups that are installed, needed or switched on."""
    groups = [group for group in status.groups if group.feature in wanted(chosen) or group.state in states.USABLE]
    column = box.column(align=True)
    for group in groups if len(groups) > 1 else ():
        usable = group.state in states.USABLE
        split = column.split(factor=0.32)
        left = split.row()
        left.use_property_split = False
        if not usable and getattr(chosen, property_of(group.feature), False):
            left.prop(chosen, property_of(group.feature))
        else:
            left.label(text=LABELS[group.feature], icon="CHECKBOX_HLT" if usable else "IMPORT")
        right = split.split(factor=0.78)
        right.active = usable
        draw_lines(right, FEATURES[group.feature], int(width * 0.5), "NONE")
        end = right.row()
        end.alignment = "RIGHT"
        end.label(text=_size(group))
        if group.feature != CORE and group.state == states.READY:
            end.operator("maquette.remove_packages", text="", icon="TRASH").features = group.feature


def _size(group: states.Group) -> str:
    megabytes = group.megabytes
    if not megabytes and group.state not in states.USABLE and known.machine.backend:
        megabytes = sizes.about([group.feature], known.machine.backend)[1]
    return _words(megabytes) if megabytes else ""


def _words(megabytes: float) -> str:
    return in_words(megabytes * 1e6)


def _draw_buttons(box: UILayout, status: states.Status, state: str, chosen: Any) -> None:
    missing = {group.feature for group in status.groups if group.state not in states.USABLE}
    left = [feature for feature in wanted(chosen) if feature in missing]
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
            row.operator("maquette.install_packages", text="Change Build", icon="FILE_REFRESH").anew = True
        row.operator("maquette.remove_packages", text=f"Remove ({_words(status.megabytes)})", icon="TRASH")


def _draw_plan(box: UILayout, status: states.Status, features: list[str]) -> None:
    """Size, place and device, before the button is pressed."""
    column = box.column(align=True)
    column.scale_y = 0.9
    backend = status.groups[0].backend or known.machine.backend
    if known.machine.device is None and CORE in features:
        column.label(text="Checking the graphics driver ...", icon="SORTTIME")
    elif CORE in features:
        column.label(text=f"Device: {known.machine.device}", icon="MEMORY")
        column.label(text=f"PyTorch build: {states.build_name(backend)}", icon="BLANK1")
    if backend:
        download, disk = map(_words, sizes.about(features, backend))
        column.label(
            text=f"About {download} to download, {disk} on disk ({_words(status.free_mb)} free)", icon="IMPORT"
        )
        if status.kept_mb:
            column.label(text=f"{_words(status.kept_mb)} already downloaded", icon="BLANK1")
        elif CORE in features and backend != REGISTRY:
            other = _words(sizes.about(features, REGISTRY)[0])
            column.label(text=f"{other} where PyTorch's own registry cannot be reached", icon="BLANK1")
    column.label(text=status.root, icon="FILE_FOLDER")


def draw_install(layout: UILayout, features: list[str]) -> None:
    """The dialog before a download."""
    column = layout.column()
    column.label(text=", ".join(LABELS.get(feature, feature) for feature in features), icon="PACKAGE")
    _draw_plan(column, known.status(), features)
    draw_offline(column, WHEELS_INSTEAD, 66)


def _draw_sources(column: UILayout, status: states.Status, chosen: Any, width: int) -> None:
    column.prop(chosen, "accelerator")
    column.prop(chosen, "packages_folder", placeholder=status.root)
    column.prop(chosen, "package_index", placeholder="As uv or pip is configured")
    column.prop(chosen, "torch_index", placeholder="PyTorch's own")
    column.prop(chosen, "wheels_folder")
    if sys.platform == "win32" and len(status.root) > 110:
        draw_lines(column, "This folder's path is too long for Windows. Choose a shorter one.", width, "ERROR")


def _draw_report(column: UILayout, proof: dict[str, Any], width: int) -> None:
    """What the test of the packages found, for a bug report."""
    column.scale_y = 0.85
    lines = [", ".join(f"{name} {version}" for name, version in proof.get("versions", {}).items())]
    numpy = proof.get("numpy", {}).get("version")
    if numpy:
        lines.append(f"Blender's own numpy {numpy} is unchanged")
    for product in proof.get("products", []):
        name = proof.get("names", {}).get(product["device"], product["device"])
        if product["right"]:
            lines.append(f"{name}: test product in {product['type']} correct to {product['relative_error']:.1e}")
        else:
            lines.append(f"{name}: {product.get('error', 'its results are wrong')}")
    for line in lines:
        draw_lines(column, line, width, "BLANK1")
