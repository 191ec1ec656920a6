# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth of a photo as an image, a displaced grid, a displacement in the material, or a relief mesh."""

from ...properties import DepthSettings, PhotoInput
from ..shared.operator import TaskOperator


class MAQUETTE_OT_estimate_depth(PhotoInput, DepthSettings, TaskOperator):
    """Estimate the depth of the photo and build it into the scene"""

    bl_idname = "maquette.estimate_depth"
    bl_label = "Estimate Depth"
    task = "depth"
