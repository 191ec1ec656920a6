# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models are installed, and which packages they need."""

from __future__ import annotations

from functools import partial

from ...installer.environment.lock_files import CORE
from ...installer.models import catalogue, library
from ...installer.models.catalogue import Model
from ...installer.packages.features import importable
from ...installer.shared.errors import SetupError
from ..core import jobs
from ..core.remembered import remembered

#: What can be done about a model where Blender may not use the network.
IMPORT_INSTEAD = "download the files on another computer and import them from disk"
#: Task -> its name on the page.
TASKS = {
    task: {"maps": "Image Passes"}.get(task, task.capitalize())
    for task in dict.fromkeys(model.task for model in catalogue.models())
}


def overview(model: Model) -> library.ModelStatus:
    """How a model stands."""
    return remembered((model.task, model.id), partial(library.overview, model))


def groups_of(model: Model) -> list[str]:
    """The groups of packages beside the core that a model needs, and those that its files on the disk need."""
    state = overview(model)
    files = [status.file.packages for status in (*state.files, *state.optional) if status.ready]
    return [group for group in dict.fromkeys((model.packages, *files)) if group not in ("", CORE)]


def missing_groups(model: Model) -> list[str]:
    """Those of them that are not installed."""
    return [group for group in groups_of(model) if not remembered(group, partial(_importable, group))]


def needed_groups() -> set[str]:
    """The groups of packages beside the core that the installed models need, or that the last error asks for."""
    installed = (model for model in catalogue.models() if overview(model).state == library.INSTALLED)
    needed = {group for model in installed for group in groups_of(model)}
    outcome = jobs.outcome()
    if outcome is not None and outcome.operator == "maquette.install_packages":
        needed.update(dict(outcome.arguments).get("features", "").split())
    return needed - {CORE}


def _importable(group: str) -> bool:
    try:
        return importable(group)
    except SetupError:  # there are no packages for this Python at all, as the page of packages says
        return False
