# SPDX-License-Identifier: GPL-3.0-or-later
"""What a ControlNet follows: an image, or the photo's depth, normals or hands, found by the photo or made now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .... import inference
from ....inference.errors import NothingFound
from .masks import DrawTarget, covering

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float32]

#: Shares of the distances that are taken for the nearest and the farthest, so that single pixels decide nothing.
_NEAR, _FAR = 1, 99


@dataclass(frozen=True)
class Control:
    """kind : "IMAGE", "DEPTH", "NORMALS" or "HANDS".

    pixels : (h, w, 4) float32 of the image that was named.
    made : digest of a photo -> what the other tasks have made of it, (h, w, 4) float32.
    """

    kind: str
    pixels: Values | None = None
    made: Mapping[str, Values] | None = None

    def drawn(self, target: DrawTarget) -> NDArray[np.uint8]:
        """(H, W, 3) of the picture's size."""
        made = (self.made or {}).get(target.photo.digest)
        if self.pixels is not None:
            colours = target.of_image(self._of_image(self.pixels))
        else:
            colours = target.of_photo(self._anew(target) if made is None else self._of_image(made))
        width, height = target.size
        if colours.shape[:2] == (height, width):
            return colours
        planes = [covering(plane.astype(np.float32), target.size) for plane in np.moveaxis(colours, -1, 0)]
        return np.rint(np.clip(np.stack(planes, -1), 0, 255)).astype(np.uint8)

    def _of_image(self, pixels: Values) -> NDArray[np.uint8]:
        colours = pixels[..., :3]
        if self.kind == "DEPTH":
            colours = np.repeat(nearness(colours[..., 0])[..., None], 3, -1)
        return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)

    def _anew(self, target: DrawTarget) -> NDArray[np.uint8]:
        photo, where = target.photo, target.where
        if self.kind == "DEPTH":
            return inference.estimate_depth(photo, resolution=0, **where).preview
        if self.kind == "NORMALS":
            return inference.estimate_normals(photo, resolution=0, **where).preview
        maps = inference.refine_hands(photo, resolution=0, **where)
        if not maps.hands:
            raise NothingFound("No hand was found in the photo to follow.", "Choose another control image, or none.")
        return maps.preview


def nearness(depth: Values) -> Values:
    """Metres (h, w), 0 where there is none, as ControlNets know it: 1 nearest, 0 farthest, linear in 1/metres."""
    valid = np.isfinite(depth) & (depth > 0)
    if not valid.any():
        return np.zeros_like(depth)
    near, far = np.percentile(depth[valid], (_NEAR, _FAR))
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=valid)
    spread = max(1 / near - 1 / far, 1e-12)
    return np.where(valid, np.clip((inverse - 1 / far) / spread, 0, 1), 0).astype(np.float32)
