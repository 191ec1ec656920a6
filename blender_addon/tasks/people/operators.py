# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip solved again."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from ...core import jobs
from ...core.bpy_settings import properties_of
from ..rigs.operators import ARMATURE
from ..shared.operator import JobOperator
from .settings import LENS, SOLVED


class MAQUETTE_OT_solve_people_again(JobOperator):
    """Solve the clip of the active person with other smoothing, planting, hands, floor or lens, without the networks"""

    bl_idname = "maquette.solve_people_again"
    bl_label = "Solve Again"
    __annotations__ = properties_of((ARMATURE, *SOLVED, *LENS))

    def job(self, context: Any) -> jobs.Job:
        from ..shared.finish import finish
        from . import again

        given = cast("Any", self)
        told = [option.name for option in (*SOLVED, *LENS) if self.properties.is_property_set(option.name)]
        item = again.work(given, told, context)
        build = partial(finish, item, again.build, self.bl_label, clicked=self.clicked)
        return jobs.Job(self.bl_label, item.run, build, operator="maquette.solve_people_again")
