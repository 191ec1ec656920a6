# SPDX-License-Identifier: GPL-3.0-or-later
"""The run-time packages."""

import bpy

from . import operators

register, unregister = bpy.utils.register_classes_factory(operators.CLASSES)  # type: ignore[misc]
