# SPDX-License-Identifier: GPL-3.0-or-later
"""The lens of a photo by straight lines, on the worker."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .item import JobResult, WorkItem

if TYPE_CHECKING:
    from ...inference.geometry.vanishing import Directions
    from ..core.jobs import Report


class LensWork(WorkItem["Directions"]):
    """build : `lines`, direction -> lines drawn on the photo; where there are none, its edges are looked for."""

    def of_photo(self, report: Report) -> JobResult[Directions]:
        """Raises NothingFound where the edges are not clear, BadInput where the lines tell nothing."""
        from ...inference.geometry import vanishing

        photo, lines = self.source.photo(), self.build.lines
        report(0.5, "Looking for vanishing points")
        found = vanishing.from_drawn(lines, *photo.size) if any(lines.values()) else vanishing.found(photo.pixels)
        return JobResult(found, photo, camera=found.camera, lens=found.camera)


def told(found: Directions) -> str:
    """What was found, for the closing line."""
    used = int((found.groups >= 0).sum())
    angle = math.degrees(found.camera.field_of_view)
    return f"{angle:.3g}° by {used} lines, give or take {100 * found.focal_error:.2g} %"
