# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth, as a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import inference
from ...inference.errors import BadInput, NothingFound
from ...inference.geometry import relief_grid as surface
from .common import Inferred, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.geometry.relief_grid import Edges, Surface
    from ...inference.results import DepthMap
    from ..core.jobs import Report


@dataclass(frozen=True)
class DepthBuild:
    """What to make of a depth map; see the properties of the same name.

    output : "AUTO", "IMAGE", "GRID", "MATERIAL", "RELIEF" or "LIVE".
    """

    output: str
    mesh_resolution: int
    tear: float
    grazing: float
    grid_method: str
    grid_width: float
    strength: float
    max_distance: float = 0.0
    specks: int = 0
    adaptive: bool = False
    dicing: float = 1.0

    def chosen(self, metric: bool) -> str:
        """The output, with the best fit for "AUTO". Raises BadInput for a relief mesh of what has no distances."""
        if self.output == "AUTO":
            return "RELIEF" if metric else "GRID"
        if self.output == "RELIEF" and not metric:
            raise BadInput("A relief of a surface has no distances to unproject.", "Build a displaced grid instead.")
        return self.output

    def surface(self, depth_map: DepthMap) -> tuple[Surface, Edges] | None:
        """The arrays of the mesh, with the UVs of each face corner, or None where none is to be made.

        Raises NothingFound where the mesh would have no face.
        """
        output, limits = self.chosen(depth_map.metric), {"max_distance": self.max_distance}
        if output == "RELIEF":
            found = surface.unprojected(
                depth_map, resolution=self.mesh_resolution, tear=self.tear, grazing=self.grazing, specks=self.specks,
                **limits,
            )  # fmt: skip
        elif output == "GRID" and not (depth_map.metric and self.grid_method == "NODES"):
            found = surface.at_rest(depth_map, resolution=self.mesh_resolution, width=self.grid_width, **limits)
        elif output in {"GRID", "LIVE"} and not depth_map.valid.any():
            raise NothingFound("The depth map holds no surface.", "Choose another photo.")
        else:
            return None
        if not len(found.quads):
            raise NothingFound(
                "The depth map holds no surface within these limits.",
                "Choose another photo, or a larger tear, grazing angle or distance.",
            )
        return replace(found, uvs=found.uvs[found.quads]), found.edges()

    def picture(self, depth_map: DepthMap) -> tuple[str, Any]:
        """Name after the photo's, and values or channels, of the image that the output needs."""
        output = self.chosen(depth_map.metric)
        if output == "MATERIAL" and depth_map.metric:
            return "height", Heights(self.max_distance)(depth_map)
        if output == "LIVE" and not depth_map.metric and not depth_map.valid.all():
            grey = dict.fromkeys("RGB", depth_map.depth)  # a height of 0 is a height: alpha tells what is none
            return "depth", {**grey, "A": depth_map.valid.astype(np.float32)}
        return "depth", depth_map.depth


class Heights:
    """Metres by which things stand out before the farthest point in sight (of the first photo); 0 where there is none.

    A displacement pushes along the normal, towards the viewer of a picture on a wall: what is near stands out.
    max_distance : metres; what lies beyond belongs to the wall. 0 for no limit.
    """

    def __init__(self, max_distance: float = 0.0) -> None:
        self.limit = max_distance or np.inf
        self.farthest = 0.0

    def __call__(self, depth_map: DepthMap) -> NDArray[np.float32]:
        seen = depth_map.depth[depth_map.valid]
        if not seen.size:
            return np.zeros_like(depth_map.depth)
        if not self.farthest:
            self.farthest = min(float(seen.max()), self.limit)
        heights = np.maximum(np.float32(self.farthest) - depth_map.depth, np.float32(0))
        return np.where(depth_map.valid, heights, np.float32(0))


@dataclass(frozen=True)
class InferredDepth(Inferred):
    """surface : the mesh to be built, as `DepthBuild.surface` makes it; None where none is wanted."""

    surface: tuple[Surface, Edges] | None = None


@dataclass(frozen=True, kw_only=True)
class DepthRequest(Request):
    resolution: int
    build: DepthBuild

    def infer(self, report: Report) -> Inferred:
        photo = self.source.photo()
        result = inference.estimate_depth(photo, self.model, resolution=self.resolution, **self._where(report))
        report(0.95, "Making the surface")
        metre = self.metre(photo)
        limited = replace(self.build, max_distance=self.build.max_distance / metre)  # the model's metres are unscaled
        found = limited.surface(result)
        name, values = limited.picture(result)
        if result.metric:
            values = values * np.float32(metre)
        return InferredDepth(result, photo, surface=found, **self._written(**{name: values}))
