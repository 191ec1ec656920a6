# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to jobs and models when Blender opens a file or renders."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from . import choices, jobs

#: Seconds that a render waits for the models to leave the graphics card.
_FREE_SECONDS = 5.0


@persistent
def stop_jobs(*_arguments: object) -> None:
    """Another file is being opened: what the tasks were to be built into goes away. Downloads go on."""
    jobs.cancel(jobs.TORCH, silently=True)


@persistent
def forget(*_arguments: object) -> None:
    """Another file is open: what was said belongs to the one before."""
    jobs.remember(None)


@persistent
def free_for_render(*_arguments: object) -> None:
    """A render starts: it gets the graphics card for itself, unless a task is using it."""
    if choices.free_before_render() and not any(job.thread == jobs.TORCH for job in jobs.active()):
        jobs.free_memory(_FREE_SECONDS)


def register() -> None:
    bpy.app.handlers.load_pre.append(stop_jobs)
    bpy.app.handlers.load_post.append(forget)
    bpy.app.handlers.render_init.append(free_for_render)


def unregister() -> None:
    bpy.app.handlers.load_pre.remove(stop_jobs)
    bpy.app.handlers.load_post.remove(forget)
    bpy.app.handlers.render_init.remove(free_for_render)
