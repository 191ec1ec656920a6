# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals, as a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ... import inference
from .common import Inferred, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.results import NormalMap
    from ..core.jobs import Report


@dataclass(frozen=True, kw_only=True)
class NormalsRequest(Request):
    """space : "TANGENT" or "CAMERA", for the material.  green_down : colours in DirectX's convention, not OpenGL's."""

    of_lens: ClassVar[bool] = False
    a: float
    bg_threshold: float
    resolution: int
    output: str
    strength: float
    space: str = "TANGENT"
    green_down: bool = False
    keep_preview: bool = False

    def infer(self, report: Report) -> Inferred:
        photo = self.source.photo()
        result = inference.estimate_normals(photo, self.model, **self.parameters(), **self._where(report))
        return Inferred(result, photo, **self._written(normal=self.colours(result)))

    def parameters(self) -> dict[str, Any]:
        """The keywords of `estimate_normals`."""
        return {"a": self.a, "bg_threshold": self.bg_threshold, "resolution": self.resolution}

    def colours(self, result: NormalMap) -> NDArray[np.float32]:
        """(H, W, 3) 0..1, see `axes.normal_colours`."""
        from ..core.axes import normal_colours

        return normal_colours(result, green_down=self.green_down)
