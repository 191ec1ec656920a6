# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes, as a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ... import inference
from .common import Inferred, Request

if TYPE_CHECKING:
    from ..core.jobs import Report


@dataclass(frozen=True, kw_only=True)
class MapsRequest(Request):
    """thresholds, safe, scribble, seed : as `inference.make_map` takes them."""

    of_lens: ClassVar[bool] = False
    resolution: int
    thresholds: tuple[float, float] | None = None
    safe: bool | None = None
    scribble: bool = False
    seed: int = 0

    def infer(self, report: Report) -> Inferred:
        photo = self.source.photo()
        result = inference.make_map(
            photo,
            self.model,
            resolution=self.resolution,
            thresholds=self.thresholds,
            safe=self.safe,
            scribble=self.scribble,
            seed=self.seed,
            **self._where(report),
        )
        return Inferred(result, photo)
