# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals of a photo as a normal map, or as a Normal Map node in the material."""

from ...properties import NormalsSettings, PhotoInput
from ..shared.operator import TaskOperator


class MAQUETTE_OT_estimate_normals(PhotoInput, NormalsSettings, TaskOperator):
    """Estimate the surface normals of the photo as a normal map"""

    bl_idname = "maquette.estimate_normals"
    bl_label = "Estimate Normals"
    task = "normals"
