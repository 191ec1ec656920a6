# SPDX-License-Identifier: GPL-3.0-or-later
"""The model library."""

import bpy

from . import choice, operators

_CLASSES = (*operators.CLASSES, *choice.CLASSES)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
