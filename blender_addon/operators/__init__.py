# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators, one file a task. Their properties hold the whole request, so a script can do what a button does."""

import bpy

from ..library.operators import CLASSES as MODEL_CLASSES
from ..packages.operators import CLASSES as PACKAGE_CLASSES
from ..tasks.calibrate.operator import MAQUETTE_OT_calibrate_distance
from ..tasks.calibrate.pick import MAQUETTE_OT_pick_point
from ..tasks.depth.operator import MAQUETTE_OT_estimate_depth
from ..tasks.detail.operators import CLASSES as DETAIL
from ..tasks.hands.operator import MAQUETTE_OT_refine_hands
from ..tasks.maps.operator import MAQUETTE_OT_make_map
from ..tasks.normals.operator import MAQUETTE_OT_estimate_normals
from ..tasks.people.operator import MAQUETTE_OT_recover_people
from ..tasks.rigs.operators import (
    MAQUETTE_OT_add_bone,
    MAQUETTE_OT_export_person,
    MAQUETTE_OT_find_bones,
    MAQUETTE_OT_retarget,
    MAQUETTE_OT_save_pose,
)
from ..tasks.shared.job_operators import MAQUETTE_OT_cancel_job, MAQUETTE_OT_free_memory, MAQUETTE_OT_open_preferences

CLASSES = (
    MAQUETTE_OT_calibrate_distance,
    MAQUETTE_OT_pick_point,
    MAQUETTE_OT_estimate_depth,
    MAQUETTE_OT_estimate_normals,
    MAQUETTE_OT_refine_hands,
    MAQUETTE_OT_recover_people,
    MAQUETTE_OT_make_map,
    *DETAIL,
    MAQUETTE_OT_find_bones,
    MAQUETTE_OT_add_bone,
    MAQUETTE_OT_retarget,
    MAQUETTE_OT_save_pose,
    MAQUETTE_OT_export_person,
    MAQUETTE_OT_cancel_job,
    MAQUETTE_OT_free_memory,
    MAQUETTE_OT_open_preferences,
    *PACKAGE_CLASSES,
    *MODEL_CLASSES,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
