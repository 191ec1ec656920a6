# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays in, Blender data out: tasks, their panels, and the builders of what they make."""


def register() -> None:
    """Register every class and handler; imports no torch."""
    from . import cli, operators, panels, preferences, properties
    from .core import choices, handlers, jobs
    from .library.operators import button_text
    from .ui import job_display

    preferences.register()
    properties.register()
    operators.register()
    panels.register()
    job_display.register(button_text)
    jobs.register(jobs.Hooks(choices.idle_minutes, _prepare, job_display.announce, job_display.redraw))
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


def _prepare() -> None:
    from .tasks.people import build as people  # noqa: F401
