# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth, as a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ... import inference
from .common import Inferred, Request

if TYPE_CHECKING:
    from ..jobs import Report


@dataclass(frozen=True)
class DepthBuild:
    """What to make of a depth map; see the properties of the same name.

    output : "AUTO", "IMAGE", "GRID", "MATERIAL" or "RELIEF".
    """

    output: str
    mesh_resolution: int
    tear: float
    grazing: float
    grid_method: str
    grid_width: float
    strength: float


@dataclass(frozen=True, kw_only=True)
class DepthRequest(Request):
    resolution: int
    build: DepthBuild

    def infer(self, report: Report) -> Inferred:
        photo = self.source.photo()
        result = inference.estimate_depth(photo, self.model, resolution=self.resolution, **self._where(report))
        return Inferred(result, photo, **self._written(depth=result.depth))
