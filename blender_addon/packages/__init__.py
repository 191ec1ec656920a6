# SPDX-License-Identifier: GPL-3.0-or-later
"""The run-time packages."""

import bpy

from . import operators


def register() -> None:
    for cls in operators.CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(operators.CLASSES):
        bpy.utils.unregister_class(cls)
