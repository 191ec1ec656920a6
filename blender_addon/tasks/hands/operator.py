# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands of a photo: depth image, mask and meshes."""

from ...properties import HandsSettings, PhotoInput
from ..shared.operator import TaskOperator


class MAQUETTE_OT_refine_hands(PhotoInput, HandsSettings, TaskOperator):
    """Find the hands in the photo: depth, mask, and a mesh of each"""

    bl_idname = "maquette.refine_hands"
    bl_label = "Refine Hands"
    task = "hands"
