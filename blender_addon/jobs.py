# SPDX-License-Identifier: GPL-3.0-or-later
"""The address at which scripts know the jobs: `from maquette.blender_addon import jobs`."""

from .core.jobs import *  # noqa: F403
