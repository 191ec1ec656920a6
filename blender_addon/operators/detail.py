# SPDX-License-Identifier: GPL-3.0-or-later
"""Repainting what is under a mask."""

from ..properties import DetailSettings, PhotoInput
from .task import TaskOperator


class MAQUETTE_OT_detail_mask(PhotoInput, DetailSettings, TaskOperator):
    """Repaint what is under the mask in more detail, as a new image or paint layer above the old one"""

    bl_idname = "maquette.detail_mask"
    bl_label = "Detail Mask"
    task = "detail"
