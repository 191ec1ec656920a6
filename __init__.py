# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's door: the extension system calls register() and unregister() here.

bpy is imported only inside the two calls, so that `maquette.inference` stays usable without Blender.
"""


def register() -> None:
    from . import blender_addon

    blender_addon.register()


def unregister() -> None:
    from . import blender_addon

    blender_addon.unregister()
