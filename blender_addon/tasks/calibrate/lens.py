# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator that finds the lens by straight lines, and what it builds: the photo's matched camera."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ...core import jobs
from ...core.bpy_settings import properties_of
from ..shared.operator import JobOperator
from ..shared.settings import COMMON
from ..shared.settings import PHOTO as NAMED
from .draw import drawn
from .settings import LINES

if TYPE_CHECKING:
    from ....inference.geometry.vanishing import Directions
    from ...work.item import JobResult
    from ...work.lens import LensWork
    from ..shared.finish import Place


class MAQUETTE_OT_calibrate_lens(JobOperator):
    """Find the photo's focal length and which way is up by the lines drawn on it, or else by its own straight edges"""

    bl_idname = "maquette.calibrate_lens"
    bl_label = "Solve Lens"
    __annotations__ = properties_of((*COMMON, *NAMED, *LINES))

    def job(self, context: Any) -> jobs.Job:
        from ...work.lens import LensWork
        from ..shared.finish import finish
        from ..shared.gather import gathered

        named = (*COMMON, *NAMED)
        asked = SimpleNamespace(**{option.name: getattr(self, option.name) for option in named}, model="")
        fields = gathered("lens", (), (), asked, context)
        item = LensWork(**{**fields, "build": SimpleNamespace(lines=drawn(self)), "clip": None})
        return jobs.Job(self.bl_label, item.run, partial(finish, item, _build, self.bl_label))


def _build(item: LensWork, found: JobResult[Directions], place: Place) -> str:
    from ...work.lens import told

    assert place.camera is not None
    return f"{place.camera.name} sees {told(found.result)}"
