# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks that a task finds, shaped as they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.exchange import TracedMask
from .item import Result, WorkItem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class MaskWork(WorkItem[Result]):
    """A work item whose `build` has the settings of masks (see `tasks.shared.settings`)."""

    @property
    def needs_object(self) -> bool:
        """Whether masks go onto the active object; a stencil may also be the scene's alone."""
        output = self.build.masks
        return output in {"PAINT_SLOT", "ATTRIBUTE", "VERTEX_GROUP"} or (output == "STENCIL" and self.projected)

    @property
    def masks_need_camera(self) -> bool:
        """Whether masks are projected from the photo's camera, or lie before it."""
        output = self.build.masks
        projected = output in {"PAINT_SLOT", "STENCIL"} and self.projected
        return output in {"ATTRIBUTE", "VERTEX_GROUP", "GREASE_PENCIL"} or projected

    @property
    def projected(self) -> bool:
        """Whether paint layers and stencils lie on the object as the photo's camera sees it."""
        return self.build.mask_mapping == "CAMERA"

    def shaped(
        self, masks: Mapping[str, NDArray], distances: Mapping[str, float], grow: float = 0.0
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, TracedMask]]:
        """The masks grown by `grow` pixels and feathered, and their outlines at the distances in metres; nothing where
        nothing is wanted."""
        from ...inference.geometry import mask_shape

        build = self.build
        if build.masks == "NONE":
            return {}, {}
        shaped = {
            name: mask_shape.shaped(mask, grow, build.mask_feather, build.mask_edge) for name, mask in masks.items()
        }
        if build.masks != "GREASE_PENCIL":
            return shaped, {}
        return shaped, {
            name: TracedMask(tuple(mask_shape.outlines(mask)), distances[name]) for name, mask in shaped.items()
        }
