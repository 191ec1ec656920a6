# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes of a photo."""

from ...properties import MapsSettings, PhotoInput
from ..shared.operator import TaskOperator


class MAQUETTE_OT_make_map(PhotoInput, MapsSettings, TaskOperator):
    """Make an image of the photo's edges or lines, or of its content shuffled"""

    bl_idname = "maquette.make_map"
    bl_label = "Make Image Pass"
    task = "maps"
