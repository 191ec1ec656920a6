# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a photo or clip as rigged, animated bodies."""

from __future__ import annotations

from ..shared.task import Command, Task
from .operators import MAQUETTE_OT_solve_people_again
from .panel import PeoplePanel, PeopleSettingsPanel
from .settings import BUILD, SETTINGS

TASK = Task(
    "people",
    15,
    SETTINGS,
    (PeoplePanel, PeopleSettingsPanel),
    operator="recover_people",
    label="Recover People",
    tooltip="Recover the people of the photo or clip as posed bodies",
    classes=(MAQUETTE_OT_solve_people_again,),
    package=__name__,
    built=BUILD.names,
    commands=(Command("people", "people of a photo or clip as rigged, animated bodies"),),
)
