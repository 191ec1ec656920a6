# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene from a photo, on the worker."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ... import inference
from ...inference.errors import NothingFound
from ...inference.geometry import relief_grid
from .item import JobResult, WorkItem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.geometry.relief_grid import Edges, Surface
    from ...inference.scene import Scene
    from ..core.jobs import Report


@dataclass(frozen=True)
class BuiltScene:
    """surface : everything but the people as a mesh, and its edges; None where nothing measures it."""

    scene: Scene
    surface: tuple[Surface, Edges] | None


@dataclass(frozen=True, kw_only=True)
class SceneWork(WorkItem[BuiltScene]):
    """scene_depth : (H, W) metres of the photo where they are known, else None."""

    scene_depth: NDArray[np.float32] | None = None

    def of_photo(self, report: Report) -> JobResult[BuiltScene]:
        photo = self.source.photo()
        given = {"scene_depth": self.scene_depth, **self.options}
        found = inference.reconstruct_scene(photo, self.model, **given, **self.where(report))
        surface, written, metre = None, {}, self.metre(photo)
        if found.depth is not None:
            build = self.build
            surface = relief_grid.unprojected(
                found.depth, resolution=build.mesh_resolution, tear=build.tear, grazing=math.degrees(build.grazing),
                specks=build.specks, max_distance=build.max_distance / metre,
            )  # fmt: skip
            if not len(surface.quads):
                raise NothingFound(
                    "The depth holds no surface within these limits.", "Choose a larger tear or distance."
                )
            surface = replace(surface, uvs=surface.uvs[surface.quads]), surface.edges()
            written = self.written(depth=found.depth.depth * np.float32(metre))
        return JobResult(
            BuiltScene(found, surface),
            photo,
            camera=found.camera,
            lens=found.camera,
            world_from_camera=found.world_from_camera,
            model=found.model,
            better="" if found.depth is not None else "depth/moge-2-small",
            **written,
        )
