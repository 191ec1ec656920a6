# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays in, Blender data out: operators, panels and builders."""


def register() -> None:
    """Register every class; imports no torch."""


def unregister() -> None:
    """Undo register()."""
