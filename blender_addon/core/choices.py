# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user has chosen in the preferences, for every room; the class itself is in `preferences`."""

from __future__ import annotations

from typing import Any

import bpy

#: The package that Blender knows the preferences by: `bl_ext.<repository>.maquette`, or `maquette`.
PACKAGE = __name__.rsplit(".", 3)[0]


def preferences() -> Any:
    """The preferences; None where the classes are registered without the add-on being enabled (a script, a test)."""
    settings: Any = bpy.context.preferences
    addon = settings.addons.get(PACKAGE) if settings else None
    return addon.preferences if addon else None


def preferred_device() -> str | None:
    chosen = preferences()
    return None if chosen is None or chosen.device == "AUTO" else chosen.device


def preferred_precision() -> str | None:
    chosen = preferences()
    return "float16" if chosen is not None and chosen.half_precision else None


def idle_minutes() -> float:
    chosen = preferences()
    return 10.0 if chosen is None else chosen.idle_minutes


def free_before_render() -> bool:
    chosen = preferences()
    return chosen is None or chosen.free_before_render
