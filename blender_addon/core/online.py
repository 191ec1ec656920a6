# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the user lets Blender use the network."""

import bpy


def is_online() -> bool:
    """Asked before every use of the network."""
    return bpy.app.online_access


def how_to_allow() -> str:
    """What the user can do about it."""
    if bpy.app.online_access_override:  # decided on the command line; the preference has no say
        return "Start Blender without --offline-mode, or with --online-mode"
    return "Allow Online Access in Blender's preferences, under System"


def offline_line(instead: str) -> str:
    """What a page says where Blender may not use the network, and what can be done instead; "" where it may."""
    return "" if is_online() else f"Blender is offline. {how_to_allow()}, or {instead}"


def require_online(instead: str = "") -> None:
    """Raise MaquetteError where the user has not allowed it. instead : what can be done without a network."""
    from ...inference.errors import MaquetteError

    if not is_online():
        remedy = f"{how_to_allow()}{', or ' + instead if instead else ''}."
        button = None if bpy.app.online_access_override else "maquette.allow_online"
        raise MaquetteError("Blender is not allowed to use the network.", remedy, button)
