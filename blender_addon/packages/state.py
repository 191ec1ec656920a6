# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the packages and of this machine, and which packages are wanted."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import bpy

from ...installer.environment.lock_files import CORE, FEATURES
from ...installer.shared.errors import SetupError
from ..core.remembered import forget, remembered
from ..library.state import needed_groups

#: What can be done about packages where Blender may not use the network.
WHEELS_INSTEAD = "choose an offline folder of wheels under Sources"


@dataclass
class Machine:
    """What a look at the machine found: its device, the build of torch for it, and damaged groups."""

    device: Any = None
    backend: str = ""
    damaged: tuple[str, ...] = ()
    looking: bool = False


machine = Machine()
_is_ready = False


def ready() -> bool:
    """Whether torch can be imported. A no holds for a moment only, as another Blender may be installing it."""
    global _is_ready
    _is_ready = _is_ready or remembered("packages ready", _activated)
    return _is_ready


def _activated() -> bool:
    from ...installer.packages import manager
    from ...installer.packages import status as states

    return manager.activate() and states.of_process().state in states.USABLE


def status() -> Any:
    """The state of every group."""
    from ...installer.packages import status as states

    return remembered("packages", states.of_process)


def unsupported() -> str:
    """Why nothing can be run in this Blender, in one sentence without its full stop; "" where it can, or could."""
    from ...installer.packages import status as states

    state = status()
    return state.groups[0].detail.rstrip(".") if not ready() and state.state == states.UNSUPPORTED else ""


def awaited() -> str:
    """Why nothing can be run yet, or at all, in one sentence without its full stop; "" where it can."""
    from ...installer.packages import status as states

    if not ready() and status().state == states.INSTALLING:
        return "The packages are being installed"
    return unsupported()


def wanted(preferences: Any) -> list[str]:
    """The groups to install: the core, those that the installed models need, and those switched on in the
    preferences."""
    needed = {CORE, *needed_groups()}
    return [group for group in FEATURES if group in needed or getattr(preferences, property_of(group), False)]


def property_of(group: str) -> str:
    """The preference that has a group installed although no installed model needs it."""
    return f"want_{group.replace('-', '_')}"


def look_again() -> None:
    """Forget what was known: something has been installed, removed or chosen."""
    global _is_ready
    forget()
    _is_ready, machine.device, machine.damaged = False, None, ()


def look() -> None:
    """Ask the drivers and count the files, once, on a thread of its own: both may take seconds."""
    if machine.device is None and not machine.looking:
        machine.looking = True
        threading.Thread(target=_look, name="maquette-look", daemon=True).start()


def _look() -> None:
    from ...installer.environment import accelerator, torch_build
    from ...installer.packages import status as states
    from ...installer.packages.sources import chosen_sources

    try:
        deep = states.of_process(deep=True)
        machine.damaged = tuple(group.feature for group in deep.groups if group.state == states.BROKEN)
        device = accelerator.detect()
        machine.backend = chosen_sources().accelerator or torch_build.candidates(device)[0]
        machine.device = device
    finally:
        machine.looking = False


def start() -> None:
    """Make importable what is installed, and remove what earlier sessions have left for it."""
    from ...installer.packages import folders

    with suppress(SetupError):  # there are no packages for this Python
        folders.activate()
    if not bpy.app.background:
        threading.Thread(target=folders.tidy, name="maquette-tidy", daemon=True).start()
