# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist sees in the sidebar."""

import bpy

from .sidebar import panel_classes

CLASSES = (*panel_classes("VIEW_3D", "MAQUETTE_PT_view3d"), *panel_classes("IMAGE_EDITOR", "MAQUETTE_PT_image"))


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
