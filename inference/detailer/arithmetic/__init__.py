# SPDX-License-Identifier: GPL-3.0-or-later
"""How segments are made, fitted, softened, pasted and seeded: Maquette's own way (`default`), and that of the ComfyUI
node MaskDetailer of the Impact Pack, its defects included (`impact`, for `compatibility=True`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..loop import Layout
    from ..segments import Segment

    Mask = NDArray[np.float32]


class Arithmetic(Protocol):
    """size : width and height of the photo.  Masks are (h, w) float32 0..1, pictures (h, w, C) float32."""

    def split_mask(
        self, mask: Mask, size: tuple[int, int], layout: Layout
    ) -> tuple[list[Segment], list[tuple[Segment, str]]]:
        """The segments of a mask that are worked on, and those left out with the reason."""
        ...

    def fit_crop(self, segment: Segment, size: tuple[int, int], layout: Layout) -> tuple[Segment, tuple[int, int]]:
        """The segment with its final crop, and the size (width, height) at which the model sees the crop."""
        ...

    def soften(self, mask: Mask, amount: int) -> Mask:
        """The mask blurred over so many pixels."""
        ...

    def grow(self, segment: Segment, feather: int) -> tuple[Segment, int]:
        """The segment and the feather for an engine that blends into the surroundings by itself."""
        ...

    def paste_mask(self, segment: Segment, size: tuple[int, int], feather: int) -> Mask:
        """How strongly the repainted crop is pasted over the photo."""
        ...

    def resize(self, pixels: Mask, width: int, height: int) -> Mask:
        """A picture resized by Lanczos."""
        ...

    def seed_for(self, seed: int, batch: int, number: int, segment: Segment, cycle: int) -> int:
        """The seed of a cycle. number : of the segment.  batch : number of the picture."""
        ...
