# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the packages and of this machine, remembered between redraws."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import bpy

#: Seconds for which the state of the folders is remembered while the page is redrawn.
_REMEMBERED = 1.0


@dataclass
class Machine:
    """What a look at the machine found: its device, the build of torch for it, and damaged groups."""

    device: Any = None
    backend: str = ""
    damaged: tuple[str, ...] = ()
    looking: bool = False


machine = Machine()
_known: tuple[float, Any] = (0.0, None)
_ready = (-_REMEMBERED, False)


def ready() -> bool:
    """Whether torch can be imported; asked by every redraw, so the answer is remembered: a no for a moment only, as
    another Blender may be installing it."""
    from ...installer.packages import manager
    from ...installer.packages import status as package_status

    global _ready
    now = time.monotonic()
    if not _ready[1] and now - _ready[0] > _REMEMBERED:
        _ready = (now, manager.activate() and package_status.of_process().state in package_status.USABLE)
    return _ready[1]


def status() -> Any:
    """The state of every group, looked up at most once a second."""
    from ...installer.packages import status as package_status

    global _known
    now = time.monotonic()
    if _known[1] is None or now - _known[0] > _REMEMBERED:
        _known = (now, package_status.of_process())
    return _known[1]


def look_again() -> None:
    """Forget what was known: something has been installed, removed or chosen."""
    global _known, _ready
    _ready, _known = (-_REMEMBERED, False), (0.0, None)
    machine.device, machine.damaged = None, ()


def look() -> None:
    """Ask the drivers and count the files, once, on a thread of its own: both may take seconds."""
    if machine.device is None and not machine.looking:
        machine.looking = True
        threading.Thread(target=_look, name="maquette-look", daemon=True).start()


def _look() -> None:
    from ...installer.environment import accelerator, torch_build
    from ...installer.packages import status as package_status
    from ...installer.packages.sources import chosen_sources

    try:
        deep = package_status.of_process(deep=True)
        machine.damaged = tuple(group.feature for group in deep.groups if group.state == package_status.BROKEN)
        device = accelerator.detect()
        chosen = chosen_sources().accelerator
        machine.backend = chosen or torch_build.candidates(device)[0]
        machine.device = device
    finally:
        machine.looking = False


def start() -> None:
    """Make importable what is installed, and remove what earlier sessions have left for it."""
    from ...installer.packages import folders, manager

    manager.activate()
    if not bpy.app.background:
        threading.Thread(target=folders.tidy, name="maquette-tidy", daemon=True).start()
