# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a photo or clip as rigged, animated bodies."""

from ...properties import PeopleSettings, PhotoInput
from ..shared.operator import TaskOperator


class MAQUETTE_OT_recover_people(PhotoInput, PeopleSettings, TaskOperator):
    """Recover the people of the photo or clip as posed bodies"""

    bl_idname = "maquette.recover_people"
    bl_label = "Recover People"
    task = "people"
