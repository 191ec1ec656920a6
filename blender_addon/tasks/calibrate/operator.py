# SPDX-License-Identifier: GPL-3.0-or-later
"""The scale of a photo by a known length."""

from bpy.props import StringProperty

from ...core import jobs
from ...properties import CalibrateSettings
from ..shared.operator import TaskOperator


class MAQUETTE_OT_calibrate_distance(CalibrateSettings, TaskOperator):
    """Rescale everything that was built of the photo so that a known length is right; it still matches the photo"""

    bl_idname = "maquette.calibrate_distance"
    bl_label = "Set Scale"

    camera: StringProperty(name="Camera", description="Name of the photo's matched camera")
    image: StringProperty(name="Image", description="Name of the photo's image, instead of the camera's name")
    filepath: StringProperty(
        name="File", description="Path of the photo, instead of the camera's name", subtype="FILE_PATH"
    )

    def _job(self, context) -> jobs.Job:
        from . import build

        return build.job(self.bl_label, self, context)
