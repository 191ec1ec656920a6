# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals on the worker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ... import inference
from ...inference.results import NormalMap
from ..core.axes import normal_colours
from .clip_maps import ClipMaps, recorded
from .item import JobResult, WorkItem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.camera import Camera
    from ..core.jobs import Report

#: The colour of a normal towards the viewer.
_FLAT = np.array([0.5, 0.5, 1], np.float32)


class NormalsWork(WorkItem["NormalMap | ClipMaps[NormalMap]"]):
    """The normals of a photo, or of all frames of a clip, as colours."""

    def of_photo(self, report: Report) -> JobResult[NormalMap]:
        photo = self.source.photo()
        normals = inference.estimate_normals(photo, self.model, **self.options, **self.where(report))
        written = self.written(normal=self._colours(normals))
        return JobResult(normals, photo, camera=self._seen_from(normals), model=normals.model, **written)

    def of_clip(self, report: Report) -> JobResult[ClipMaps[NormalMap]]:
        found = recorded(self, report, "normal", self._colours, _FLAT)
        return replace(found, camera=self._seen_from(found.result.first))

    def _colours(self, normals: NormalMap) -> NDArray[np.float32]:
        """(H, W, 3) 0..1, in Blender's convention; an image alone may have DirectX's."""
        return normal_colours(normals, green_down=self.build.green_down and self.build.output == "IMAGE")

    def _seen_from(self, normals: NormalMap) -> Camera | None:
        """The photo's camera, where a material sees the normals from it."""
        return normals.camera if self.build.output == "MATERIAL" and self.build.space == "CAMERA" else None
