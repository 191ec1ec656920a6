# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays in, Blender data out: tasks, their panels, and the builders of what they make."""

import gc


def register() -> None:
    """Register every class and handler; imports no torch."""
    collecting = gc.isenabled()
    gc.disable()  # all that is made stays: looking for garbage, through all of Blender's own too, doubles the time
    try:
        _register()
    finally:
        if collecting:
            gc.enable()


def _register() -> None:
    from . import cli, library, packages, preferences, tasks
    from .builders.files import session
    from .core import choices, handlers, jobs
    from .ui import job_display

    preferences.register()
    tasks.register()
    packages.register()
    library.register()
    job_display.register(library.operators.button_text, library.operators.in_short)
    jobs.register(jobs.Hooks(choices.idle_minutes, tasks.prepare, job_display.announce, job_display.redraw))
    handlers.register()
    session.register()
    cli.register()


def unregister() -> None:
    """Undo register(): running jobs are cancelled, models dropped, and nothing of ours is left in Blender."""
    from . import cli, library, packages, preferences, tasks
    from .builders.files import session
    from .core import handlers, jobs
    from .ui import job_display

    cli.unregister()
    session.unregister()
    handlers.unregister()
    jobs.unregister()
    job_display.unregister()
    library.unregister()
    packages.unregister()
    tasks.unregister()
    preferences.unregister()
