# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing, verifying, repairing and removing PyTorch and the other packages that the models need.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import sys
from typing import Any

from bpy.props import BoolProperty, StringProperty

from ...installer.environment.lock_files import CORE
from ..core import choices, jobs
from ..core.online import require_online
from ..ui.setup_operator import SetupOperator, setup_job
from .state import WHEELS_INSTEAD, look, look_again, ready, status, unsupported, wanted


class MAQUETTE_OT_install_packages(SetupOperator):
    """Download and install PyTorch and the other packages that the models need; Blender's own stay as they are"""

    bl_idname = "maquette.install_packages"
    bl_label = "Install Packages"

    features: StringProperty(
        name="Groups",
        description="Groups of packages besides the core, separated by spaces; empty for those that the installed "
        "models need",
        options={"SKIP_SAVE"},
    )
    anew: BoolProperty(
        name="Reinstall",
        description="Reinstall what is installed already, for example for another accelerator",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Any) -> bool:
        if missing := unsupported():
            cls.poll_message_set(missing)
        return not missing

    def ask(self, context: Any, event: Any) -> set[Any]:
        look()
        return self.dialog(context, "Install Packages", "Install")

    def draw(self, context: Any) -> None:
        from .page import draw_install

        draw_install(self.layout, self.groups())  # type: ignore[arg-type]

    def groups(self) -> list[str]:
        """The groups to install."""
        if self.features:
            return [CORE, *(name for name in self.features.split() if name != CORE)]
        return wanted(choices.preferences())

    def job(self) -> jobs.Job:
        from ...installer.packages import manager

        _require_source()
        groups, anew = self.groups(), self.anew

        def work(report: jobs.Report) -> Any:
            return manager.install(sys.executable, groups, _watch(report), anew=anew)

        return setup_job("Install Packages", work, lambda folders: _finished("Installed the packages"))


class MAQUETTE_OT_repair_packages(SetupOperator):
    """Check every file of the packages, test them, and reinstall what is damaged"""

    bl_idname = "maquette.repair_packages"
    bl_label = "Repair Packages"

    def job(self) -> jobs.Job:
        from ...installer.packages import manager

        _require_source()

        def finish(repaired: Any) -> str:
            return _finished("Repaired the packages" if repaired else "The packages are intact")

        return setup_job("Repair Packages", lambda report: manager.repair(sys.executable, _watch(report)), finish)


class MAQUETTE_OT_verify_packages(SetupOperator):
    """Check every file of the packages, and test them in a separate process"""

    bl_idname = "maquette.verify_packages"
    bl_label = "Verify Packages"

    def job(self) -> jobs.Job:
        from ...installer.packages import manager

        def work(report: jobs.Report) -> Any:
            return manager.verify(sys.executable, None, _watch(report))

        return setup_job("Verify Packages", work, _verified)


class MAQUETTE_OT_remove_packages(SetupOperator):
    """Remove packages and free their disk space"""

    bl_idname = "maquette.remove_packages"
    bl_label = "Remove Packages"

    features: StringProperty(
        name="Groups", description="Groups to remove, separated by spaces; empty for all", options={"SKIP_SAVE"}
    )

    def ask(self, context: Any, event: Any) -> set[Any]:
        return context.window_manager.invoke_confirm(self, event)

    def job(self) -> jobs.Job:
        from ...installer.packages import manager
        from ...installer.packages.features import this_python

        groups = self.features.split() or None
        return setup_job("Remove Packages", lambda report: manager.remove(this_python(), groups), _removed)


def _require_source() -> None:
    """Raise MaquetteError where there is neither the network nor an offline folder."""
    from ...installer.packages.sources import chosen_sources

    if chosen_sources().folder is None:
        require_online(WHEELS_INSTEAD)


def _watch(report: jobs.Report) -> Any:
    """Passes the progress of an installation on to a job. `report` raises Cancelled, which stops it wherever it is."""
    from ...installer.packages import manager

    at = [0.0, "Looking at this machine"]

    def tell(fraction: float, message: str) -> None:
        at[:] = [max(at[0], fraction), message]
        report(*at)

    def line(text: str) -> None:
        tell(0.9 if text.startswith("Trying") else at[0], text)

    def loading(now: Any) -> None:
        tell(0.02 + 0.8 * now.done / max(1, now.total), str(now))

    def should_cancel() -> bool:
        report(*at)
        return False

    return manager.InstallCallbacks(line, loading, should_cancel)


def _finished(line: str) -> str:
    """The closing line of an installation, on the main thread."""
    from ...inference.errors import MaquetteError
    from ...installer.packages import status as states

    look_again()
    usable = ready()
    if status().state == states.RESTART:
        return f"{line}; restart Blender to use them"
    if not usable:
        group = status().groups[0]
        raise MaquetteError("The packages are installed, but cannot be used.", group.detail or "Restart Blender.")
    jobs.prepare(again=True)
    return line


def _verified(found: dict[str, str]) -> str:
    from ...inference.errors import MaquetteError

    look_again()
    wrong = [
        f"{feature}{' is ' if what.startswith('damaged') else ': '}{what}" for feature, what in found.items() if what
    ]
    if wrong:
        raise MaquetteError(f"{'; '.join(wrong)}.", "Press Repair.", "maquette.repair_packages")
    return "The packages are intact and working" if found else "No packages are installed"


def _removed(gone: Any) -> str:
    look_again()
    later = f"; {gone.later:,} MB more when Blender is closed" if gone.later else ""
    return f"Removed the packages: {gone.megabytes:,} MB freed{later}"


CLASSES = (
    MAQUETTE_OT_install_packages,
    MAQUETTE_OT_repair_packages,
    MAQUETTE_OT_verify_packages,
    MAQUETTE_OT_remove_packages,
)
