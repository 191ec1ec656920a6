# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals of a photo as a normal map, or as a Normal Map node in the material."""

import bpy

from ..properties import NormalsSettings, PhotoInput
from .task import TaskOperator


class MAQUETTE_OT_estimate_normals(TaskOperator, PhotoInput, NormalsSettings, bpy.types.Operator):
    """Estimate the surface normals of the photo as a normal map"""

    bl_idname = "maquette.estimate_normals"
    bl_label = "Estimate Normals"
    task = "normals"
