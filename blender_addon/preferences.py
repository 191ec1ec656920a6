# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences: device, memory and the folders of models and packages.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty

from .core.choices import PACKAGE, preferences
from .library import page as library_page
from .library import settings as library_settings
from .packages import page as packages_page
from .packages import settings as package_settings
from .packages import state as package_state


class MAQUETTE_AP_preferences(
    package_settings.PackageSettings, library_settings.LibrarySettings, bpy.types.AddonPreferences
):
    bl_idname = PACKAGE

    device: EnumProperty(
        name="Device",
        description="Where to compute",
        items=[
            ("AUTO", "Automatic", "The fastest device there is"),
            ("cuda", "CUDA or ROCm", "An NVIDIA or AMD graphics card"),
            ("mps", "Metal", "Apple's graphics processor"),
            ("xpu", "XPU", "An Intel graphics card"),
            ("cpu", "CPU", "The processor"),
        ],
    )
    half_precision: BoolProperty(
        name="Half Precision", description="Compute with 16 bits on a graphics card: faster, half the memory"
    )
    idle_minutes: FloatProperty(
        name="Keep Models",
        description="Minutes without a job after which the models leave the memory; 0 keeps them",
        default=10.0,
        min=0.0,
        soft_max=60.0,
    )
    free_before_render: BoolProperty(
        name="Free Memory Before Rendering",
        description="Drop the models when a render starts, so that it has the graphics card for itself",
        default=True,
    )

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        packages_page.draw(layout, context)
        layout.separator()
        column = layout.column()
        column.prop(self, "device")
        column.prop(self, "half_precision")
        column = layout.column()
        column.prop(self, "idle_minutes")
        column.prop(self, "free_before_render")
        layout.separator()
        library_page.draw(layout, context)


def register() -> None:
    bpy.utils.register_class(MAQUETTE_AP_preferences)
    chosen = preferences()
    if chosen is not None:
        library_settings.apply(chosen)
        package_settings.apply(chosen)
    package_state.start()


def unregister() -> None:
    bpy.utils.unregister_class(MAQUETTE_AP_preferences)
