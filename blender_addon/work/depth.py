# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth on the worker: maps, their files, and the arrays of meshes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import inference
from ...inference.errors import BadInput, NothingFound
from ...inference.geometry import relief_grid
from .clip_maps import ClipMaps, ScaleStabilizer, recorded
from .item import JobResult, WorkItem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ...inference.camera import Camera
    from ...inference.geometry.relief_grid import Edges, Surface
    from ...inference.results import DepthMap
    from ..core.jobs import Report

#: What stands before the photo's camera, where the depth is metric.
_STANDING = ("RELIEF", "GRID", "LIVE")


@dataclass(frozen=True)
class EstimatedDepth:
    """surface : the mesh to be built, with the UVs of each face corner, and its edges; None where none is wanted."""

    map: DepthMap
    surface: tuple[Surface, Edges] | None


class DepthWork(WorkItem["EstimatedDepth | ClipMaps[DepthMap]"]):
    """The depth of a photo, or of all frames of a clip."""

    def of_photo(self, report: Report) -> JobResult[EstimatedDepth]:
        photo = self.source.photo()
        depth = inference.estimate_depth(photo, self.model, **self.options, **self.where(report))
        report(0.95, "Making the surface")
        metre = self.metre(photo)
        limit = self.build.max_distance / metre  # the model's metres are unscaled
        surface = self.surface(depth, limit)
        name, values = self.picture(depth, limit)
        if isinstance(values, np.ndarray) and depth.metric:
            values = values * np.float32(metre)
        cameras = {"camera": self._seen_from(depth), "lens": depth.camera if depth.metric else None}
        return JobResult(
            EstimatedDepth(depth, surface), photo, model=depth.model, **cameras, **self.written(**{name: values})
        )

    def of_clip(self, report: Report) -> JobResult[ClipMaps[DepthMap]]:
        """Metres stay metres; heights without unit are brought to one scale (see `ScaleStabilizer`). A frame in which a
        model finds nothing is left empty."""
        stabilized, metre = ScaleStabilizer(), np.float32(self.metre())
        heights = Heights(self.build.max_distance / self.metre())

        def values(depth: DepthMap) -> NDArray[np.float32]:
            if depth.metric and self.build.output == "MATERIAL":
                return heights(depth) * metre
            if depth.metric:
                return np.where(depth.valid, depth.depth * metre, np.float32(0))
            return stabilized(depth.depth, depth.valid)

        found = recorded(self, report, "depth", values, 0.0)
        first = found.result.first
        return replace(found, camera=self._seen_from(first), lens=first.camera if first.metric else None)

    def output(self, metric: bool) -> str:
        """What to build, with the best fit for "AUTO". Raises BadInput for a relief mesh of what has no distances."""
        output = self.build.output
        if output == "AUTO":
            return "RELIEF" if metric else "GRID"
        if output == "RELIEF" and not metric:
            raise BadInput(
                "A relief mesh needs distances, which this depth has none of.", "Build a displaced grid instead."
            )
        return output

    def _seen_from(self, depth: DepthMap) -> Camera | None:
        return depth.camera if depth.metric and self.output(depth.metric) in _STANDING else None

    def surface(self, depth: DepthMap, max_distance: float) -> tuple[Surface, Edges] | None:
        """The arrays of the mesh, or None where none is to be made. Raises NothingFound where it would have no face.

        max_distance : in the model's metres.
        """
        output, build = self.output(depth.metric), self.build
        if output == "RELIEF":
            surface = relief_grid.unprojected(
                depth, resolution=build.mesh_resolution, tear=build.tear, grazing=math.degrees(build.grazing),
                specks=build.specks, max_distance=max_distance,
            )  # fmt: skip
        elif output == "GRID" and not (depth.metric and build.grid_method == "NODES"):
            surface = relief_grid.at_rest(
                depth, resolution=build.mesh_resolution, width=build.grid_width, max_distance=max_distance
            )
        elif output in {"GRID", "LIVE"} and not depth.valid.any():
            raise NothingFound("The depth map holds no surface.", "Choose another photo.")
        else:
            return None
        if not len(surface.quads):
            raise NothingFound(
                "The depth map holds no surface within these limits.",
                "Choose another photo, or a larger tear, grazing angle or distance.",
            )
        return replace(surface, uvs=surface.uvs[surface.quads]), surface.edges()

    def picture(
        self, depth: DepthMap, max_distance: float
    ) -> tuple[str, NDArray[np.float32] | Mapping[str, NDArray[np.float32]]]:
        """Name after the photo's, and values or channels, of the image that the output needs."""
        output = self.output(depth.metric)
        if output == "MATERIAL" and depth.metric:
            return "height", Heights(max_distance)(depth)
        if output == "LIVE" and not depth.metric and not depth.valid.all():
            grey: dict[str, Any] = dict.fromkeys("RGB", depth.depth)  # a height of 0 is a height: alpha marks the holes
            return "depth", {**grey, "A": depth.valid.astype(np.float32)}
        return "depth", depth.depth


class Heights:
    """Metres by which things stand out before the farthest point in sight (of the first photo); 0 where there is none.

    A displacement pushes along the normal, towards the viewer of a picture on a wall: what is near stands out.
    max_distance : metres; what lies beyond belongs to the wall. 0 for no limit.
    """

    def __init__(self, max_distance: float = 0.0) -> None:
        self.limit = max_distance or np.inf
        self.farthest = 0.0

    def __call__(self, depth: DepthMap) -> NDArray[np.float32]:
        seen = depth.depth[depth.valid]
        if not seen.size:
            return np.zeros_like(depth.depth)
        if not self.farthest:
            self.farthest = min(float(seen.max()), self.limit)
        heights = np.maximum(np.float32(self.farthest) - depth.depth, np.float32(0))
        return np.where(depth.valid, heights, np.float32(0))
