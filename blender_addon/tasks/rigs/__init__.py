# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs: motion onto another armature, poses as assets, and files for other programs."""

from __future__ import annotations

import bpy
from bpy.props import CollectionProperty

from ....inference.options import Options
from ..shared.task import Task
from .operators import OPERATORS
from .panel import BoneMapPanel, MAQUETTE_UL_bones, PosePanel, RigsPanel
from .settings import FILE, PANEL, RETARGET, MAQUETTE_PG_bone

TASK = Task(
    "rigs",
    60,
    Options(*RETARGET, *FILE),
    (RigsPanel, BoneMapPanel, PosePanel),
    classes=(*OPERATORS, MAQUETTE_UL_bones),
    groups=(MAQUETTE_PG_bone,),
    remembered=PANEL,
    attached={
        (bpy.types.Object, "maquette_bones"): CollectionProperty(
            type=MAQUETTE_PG_bone, name="Bone Map", description="Which bone of an armature is which part of the body"
        )
    },
)
