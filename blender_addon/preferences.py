# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences: device, memory and the folders of models and packages.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty

from .library import settings as library_settings
from .packages import settings as package_settings

#: The package that Blender knows the preferences by: `bl_ext.<repository>.maquette`, or `maquette`.
PACKAGE = __name__.rsplit(".", 2)[0]


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
        from .library import page as library_page
        from .packages import page as packages_page

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


def preferences() -> MAQUETTE_AP_preferences | None:
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


def register() -> None:
    bpy.utils.register_class(MAQUETTE_AP_preferences)
    chosen = preferences()
    if chosen is not None:
        library_settings.apply(chosen)
        package_settings.apply(chosen)
    package_settings.start()


def unregister() -> None:
    bpy.utils.unregister_class(MAQUETTE_AP_preferences)
