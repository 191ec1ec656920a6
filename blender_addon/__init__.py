# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays in, Blender data out: operators, panels and builders."""


def register() -> None:
    """Register every class and handler; imports no torch."""
    from . import cli, operators, panels, preferences, properties
    from .core import handlers, jobs

    preferences.register()
    properties.register()
    operators.register()
    panels.register()
    jobs.register(preferences.idle_minutes)
    handlers.register()
    cli.register()


def unregister() -> None:
    """Undo register(): running jobs are cancelled, models dropped, and nothing of ours is left in Blender."""
    from . import cli, operators, panels, preferences, properties
    from .core import handlers, jobs

    cli.unregister()
    handlers.unregister()
    jobs.unregister()
    panels.unregister()
    operators.unregister()
    properties.unregister()
    preferences.unregister()
