# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be made of masks, which several tasks find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.exchange import TracedMask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class MaskBuild:
    """What to make of masks.

    output : "NONE", "IMAGE", "PAINT_SLOT", "STENCIL", "ATTRIBUTE", "VERTEX_GROUP" or "GREASE_PENCIL".
    mapping : "UV" or "CAMERA", for paint slots and the stencil.  colour : RGBA of the painted layer and of outlines.
    split : of hands: "MERGED", "PER_SIDE" or "PER_HAND".
    grow, feather, edge : see `inference.matte.shaped`.
    visible_only : attributes and vertex groups take the mask only where the photo's camera sees the object.
    """

    output: str
    mapping: str
    colour: tuple[float, float, float, float]
    split: str = "MERGED"
    grow: float = 0.0
    feather: float = 0.0
    edge: str = "CENTRE"
    visible_only: bool = True

    @property
    def needs_object(self) -> bool:
        """Whether they go onto the active object; a stencil may also be the scene's alone."""
        return self.output in {"PAINT_SLOT", "ATTRIBUTE", "VERTEX_GROUP"} or (
            self.output == "STENCIL" and self.mapping == "CAMERA"
        )

    @property
    def needs_camera(self) -> bool:
        """Whether they are projected from the photo's camera, or lie before it."""
        return self.output in {"ATTRIBUTE", "VERTEX_GROUP", "GREASE_PENCIL"} or (
            self.output in {"PAINT_SLOT", "STENCIL"} and self.mapping == "CAMERA"
        )

    def shaped(self, masks: Mapping[str, NDArray]) -> dict[str, NDArray[np.float32]]:
        """The masks grown and feathered; none where none are wanted. The worker's part."""
        from ...inference.geometry import mask_shape

        if self.output == "NONE":
            return {}
        return {name: mask_shape.shaped(mask, self.grow, self.feather, self.edge) for name, mask in masks.items()}

    def traced(self, masks: Mapping[str, NDArray], distances: Mapping[str, float]) -> dict[str, TracedMask]:
        """The outlines of shaped masks, each at its distance in metres; none where none are wanted."""
        from ...inference.geometry import mask_shape

        if self.output != "GREASE_PENCIL":
            return {}
        return {name: TracedMask(tuple(mask_shape.outlines(mask)), distances[name]) for name, mask in masks.items()}
