# SPDX-License-Identifier: GPL-3.0-or-later
"""The model library."""

import bpy

from . import choice, operators

register, unregister = bpy.utils.register_classes_factory((*operators.CLASSES, *choice.CLASSES))  # type: ignore[misc]
