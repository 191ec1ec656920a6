# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator that rescales a photo."""

from __future__ import annotations

from typing import Any

from ...core import jobs
from ...core.bpy_settings import properties_of
from ..shared.operator import JobOperator
from .settings import PHOTO, SETTINGS


class MAQUETTE_OT_calibrate_distance(JobOperator):
    """Rescale everything that was built from the photo so that a known length is right; it still matches the photo"""

    bl_idname = "maquette.calibrate_distance"
    bl_label = "Set Scale"
    __annotations__ = properties_of((*SETTINGS, *PHOTO))

    def job(self, context: Any) -> jobs.Job:
        from . import build

        return build.job(self.bl_label, self, context)
