# SPDX-License-Identifier: GPL-3.0-or-later
"""From the hands of a photo to its maps, whatever the model that found them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import BadInput
from ..results import Hand, HandMaps
from ..shipped.crops import clip_box
from . import masks, preview
from .masks import Extent
from .parts import nearest

SIDES = ("left", "right")


def check_boxes(boxes: Sequence[tuple[float, float, float, float, str]], height: int, width: int) -> list[str]:
    """The sides of the given boxes. Raises `BadInput` for malformed boxes and unknown sides."""
    sides = []
    for box in boxes:
        if isinstance(box, str) or not hasattr(box, "__len__") or len(box) != 5 or box[4] not in SIDES:
            raise BadInput(
                f"The hand box {box!r} cannot be used.",
                'Give (x0, y0, x1, y1, "left" or "right") in pixels of the photo.',
            )
        clip_box(box[:4], height, width, "hand")
        sides.append(box[4])
    return sides


def assemble(
    hands: Sequence[Hand],
    levels: NDArray[np.uint8],
    extents: Sequence[Extent],
    camera: Camera,
    options: Mapping[str, Any],
) -> HandMaps:
    """The photo's maps from its hands, which are in the order in which they are painted.

    levels : (H, W), the preview at the photo's size.  extents : of the hands, for the masks made of boxes.
    """
    shape = levels.shape
    depth, identity = nearest(hands, shape)
    picture = preview.resize(levels, options["resolution"])
    mask = masks.hand_mask(options["mask_type"], picture, extents, options["mask_bbox_padding"], shape)
    mask = masks.expand(mask, options["mask_expand"]).astype(np.float32)
    return HandMaps(depth, mask, picture, tuple(hands), camera, identity)
