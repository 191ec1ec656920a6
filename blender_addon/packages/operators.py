# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing, verifying, repairing and removing PyTorch and the other packages that the models need.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import sys
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from ..core import choices, jobs
from ..core.online import require_online
from ..library.operators import LibraryOperator, library_job
from .page import draw_install
from .settings import wanted
from .state import look, look_again, ready, status

_WHEELS_INSTEAD = "choose the offline folder of wheels under Sources"


class MAQUETTE_OT_install_packages(LibraryOperator):
    """Download and install PyTorch and what else the models need, beside Blender's own packages"""

    bl_idname = "maquette.install_packages"
    bl_label = "Install Packages"

    features: StringProperty(
        name="Groups",
        description="Groups of packages besides the core, with spaces between; empty for those ticked in the "
        "preferences",
        options={"SKIP_SAVE"},
    )
    anew: BoolProperty(
        name="Anew", description="Also what is installed, as for another accelerator", options={"SKIP_SAVE"}
    )

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background:
            return self.execute(context)
        self.clicked = True
        look()
        return context.window_manager.invoke_props_dialog(
            self, width=440, title="Install Packages", confirm_text="Install"
        )

    def draw(self, context: Any) -> None:
        draw_install(self.layout, self.groups())  # type: ignore[arg-type]

    def groups(self) -> list[str]:
        """The groups to install."""
        from ...installer.packages.features import CORE

        if self.features:
            return [CORE, *(name for name in self.features.split() if name != CORE)]
        kept = choices.preferences()
        return wanted(kept) if kept else [CORE]

    def job(self) -> jobs.Job:
        from ...installer.packages import manager
        from ...installer.packages.sources import chosen_sources

        if chosen_sources().folder is None:
            require_online(_WHEELS_INSTEAD)
        features, anew = self.groups(), self.anew

        def work(report: jobs.Report) -> Any:
            return manager.install(sys.executable, features, _watch(report), anew=anew)

        return library_job("Install Packages", work, lambda folders: _finished("Installed the packages"), None)


class MAQUETTE_OT_repair_packages(LibraryOperator):
    """Read every file of the packages, try them, and install anew what is damaged"""

    bl_idname = "maquette.repair_packages"
    bl_label = "Repair Packages"

    def job(self) -> jobs.Job:
        from ...installer.packages import manager
        from ...installer.packages.sources import chosen_sources

        if chosen_sources().folder is None:
            require_online(_WHEELS_INSTEAD)

        def finish(repaired: Any) -> str:
            return _finished("Repaired the packages" if repaired else "The packages are whole")

        return library_job(
            "Repair Packages", lambda report: manager.repair(sys.executable, _watch(report)), finish, None
        )


class MAQUETTE_OT_verify_packages(LibraryOperator):
    """Read every file of the packages and try them in a process of their own"""

    bl_idname = "maquette.verify_packages"
    bl_label = "Verify Packages"

    def job(self) -> jobs.Job:
        from ...installer.packages import manager

        return library_job(
            "Verify Packages", lambda report: manager.verify(sys.executable, None, _watch(report)), _verified, None
        )


class MAQUETTE_OT_remove_packages(LibraryOperator):
    """Remove packages and give their space back"""

    bl_idname = "maquette.remove_packages"
    bl_label = "Remove Packages"

    features: StringProperty(
        name="Groups", description="Groups to remove, with spaces between; empty for all", options={"SKIP_SAVE"}
    )

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background:
            return self.execute(context)
        self.clicked = True
        return context.window_manager.invoke_confirm(self, event)

    def job(self) -> jobs.Job:
        from ...installer.packages import manager
        from ...installer.packages.features import this_python

        chosen = self.features.split() or None
        return library_job("Remove Packages", lambda report: manager.remove(this_python(), chosen), _removed, None)


def _watch(report: jobs.Report) -> Any:
    """Hands progress on to a job. `report` raises Cancelled, which stops the installation wherever it is."""
    from ...installer.packages import manager

    at = [0.0, "Looking at this machine"]

    def tell(fraction: float, message: str) -> None:
        at[:] = [max(at[0], fraction), message]
        report(*at)

    def line(text: str) -> None:
        tell(0.9 if text.startswith(("Installing", "Unpacking", "Trying")) else at[0], text)

    def loading(now: Any) -> None:
        tell(0.02 + 0.8 * now.done / max(1, now.total), str(now))

    def should_cancel() -> bool:
        report(*at)
        return False

    return manager.Watch(line, loading, should_cancel)


def _finished(line: str) -> str:
    """The closing line of an installation, on the main thread."""
    from ...inference.errors import MaquetteError
    from ...installer.packages import status as package_status

    look_again()
    usable = ready()
    state = status().state
    if state == package_status.RESTART:
        return f"{line}; they take effect when Blender is started again"
    if not usable:
        group = status().groups[0]
        raise MaquetteError("The packages are installed, but cannot be used.", group.detail or "Start Blender again.")
    return line


def _verified(found: dict[str, str]) -> str:
    from ...inference.errors import MaquetteError

    look_again()
    wrong = [f"{feature} is {what}" if what.startswith("damaged") else f"{feature}: {what}"
             for feature, what in found.items() if what]  # fmt: skip
    if wrong:
        raise MaquetteError(f"{'; '.join(wrong)}.", "Press Repair.", "maquette.repair_packages")
    return "The packages are whole, and they work" if found else "No packages are installed"


def _removed(gone: Any) -> str:
    look_again()
    later = f"; {gone.later:,} MB more when Blender is closed" if gone.later else ""
    return f"Removed the packages: {gone.megabytes:,} MB are free again{later}"


CLASSES = (
    MAQUETTE_OT_install_packages,
    MAQUETTE_OT_repair_packages,
    MAQUETTE_OT_verify_packages,
    MAQUETTE_OT_remove_packages,
)
