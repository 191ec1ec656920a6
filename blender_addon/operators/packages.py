# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing PyTorch and the other packages that the models need, into a folder of the user's data."""

import sys
from functools import lru_cache
from typing import Any

import bpy

from .. import jobs
from .task import failed


class MAQUETTE_OT_install_packages(bpy.types.Operator):
    """Download PyTorch and what else the models need, about 3 GB, beside Blender's own packages"""

    bl_idname = "maquette.install_packages"
    bl_label = "Install Packages"

    @classmethod
    def poll(cls, context: Any) -> bool:
        if ready():
            cls.poll_message_set("The packages are installed")
            return False
        return True

    def invoke(self, context: Any, event: Any) -> set[Any]:
        from ...inference.errors import MaquetteError

        if bpy.app.background:
            return self.execute(context)
        try:
            jobs.submit(install_job())
        except MaquetteError as error:
            return failed(self, error)
        return {"FINISHED"}

    def execute(self, context: Any) -> set[Any]:
        from ...inference.errors import MaquetteError

        try:
            self.report({"INFO"}, jobs.run(install_job(), lambda _fraction, message: print(message)))
        except MaquetteError as error:
            return failed(self, error)
        return {"FINISHED"}


@lru_cache(maxsize=1)
def ready() -> bool:
    """Whether torch can be imported; asked by every redraw, so it is remembered until `install_job` ends."""
    from ...installer import packages

    return packages.activate()


def install_job() -> jobs.Job:
    """Raises MaquetteError where the user has not allowed Blender to use the network."""
    from ...inference.errors import MaquetteError

    if not bpy.app.online_access:
        if bpy.app.online_access_override:
            remedy = "Start Blender without --offline-mode, or with --online-mode."
        else:
            remedy = "Allow Online Access in Blender's preferences, under System."
        raise MaquetteError("Blender is not allowed to use the network.", remedy, "screen.userpref_show")
    return jobs.Job("Install Packages", _install, _installed)


def _install(report: jobs.Report) -> None:
    from ...inference.errors import Cancelled, MaquetteError
    from ...installer import packages
    from ...installer.errors import SetupError

    stopped: list[Cancelled] = []

    def on_line(line: str) -> None:
        try:
            report(0.5, line)
        except Cancelled as error:
            stopped.append(error)

    try:
        packages.install(sys.executable, on_line, lambda: bool(stopped))
    except packages.Stopped as error:
        raise Cancelled from error
    except SetupError as error:
        raise MaquetteError(error.message, error.remedy, "maquette.install_packages") from error


def _installed(_nothing: None) -> str:
    from ...inference.errors import MaquetteError

    ready.cache_clear()
    if not ready():
        raise MaquetteError("The packages are installed but not found.", "Start Blender again.")
    return "Installed the packages"
