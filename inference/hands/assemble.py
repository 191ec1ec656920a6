# SPDX-License-Identifier: GPL-3.0-or-later
"""From the hands of a photo to its maps, whatever the model that found them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..geometry.previews import preview_size
from ..results import HandMaps
from ..shipped.crops import clip_box
from . import masks, preview

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..camera import Camera
    from ..photo import Photo
    from ..results import DepthMap, Hand
    from .masks import Extent

SIDES = ("left", "right")
#: The scene may say that a hand is so many times nearer or farther than its own size says: hands differ by a third,
#: guessed focal lengths by more. Beyond it the scene shows something else.
MOST_MOVED = 2.0


def check_boxes(boxes: Sequence[tuple[float, float, float, float, str]], height: int, width: int) -> list[str]:
    """The sides of the given boxes. Raises `BadInput` for what is no box or no side."""
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


def check_photo(photo: Photo, options: Mapping[str, Any]) -> None:
    """Raise `BadInput` for a preview too large to make, and for a depth that the hands cannot be placed against."""
    width, height = photo.size
    preview_size(height, width, options["resolution"])
    scene = options["scene_depth"]
    if scene is None:
        return
    if not scene.metric:
        raise BadInput("Hands cannot be placed against a depth without metres.", "Give the depth of a metric model.")
    if scene.depth.shape != photo.pixels.shape[:2]:
        raise BadInput(
            f"The scene's depth of {scene.depth.shape[1]} x {scene.depth.shape[0]} pixels is not of this photo of "
            f"{width} x {height}.",
            "Give the depth of the same photo.",
        )


def camera_of(photo: Photo, scene: DepthMap | None) -> Camera:
    """The camera that the hands are placed with: the scene's, where there is one."""
    return scene.camera if scene is not None else photo.camera_or_default()


def against_scene(hand: Hand, scene: DepthMap) -> Hand:
    """The hand moved along its line of sight to where the scene shows it, scaled so that it looks the same.

    Its median depth becomes the scene's over the same pixels; left as it is where the scene shows none of it, or
    something else.
    """
    there = (hand.depth > 0) & scene.valid & (scene.depth > 0)
    if not there.any():
        return hand
    factor = float(np.median(scene.depth[there]) / np.median(hand.depth[there]))
    if not 1 / MOST_MOVED <= factor <= MOST_MOVED:
        return hand
    scale = np.float32(factor)
    return replace(hand, vertices=hand.vertices * scale, joints=hand.joints * scale, depth=hand.depth * scale)


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
    depth, identity = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    for number, hand in enumerate(hands, 1):
        nearer = (hand.depth > 0) & ((depth == 0) | (hand.depth < depth))
        np.copyto(depth, hand.depth, where=nearer)
        np.copyto(identity, number, where=nearer)
    picture = preview.resize(levels, options["resolution"])
    mask = masks.hand_mask(options["mask_type"], picture, extents, options["mask_bbox_padding"], shape)
    mask = masks.expand(mask, options["mask_expand"]).astype(np.float32)
    return HandMaps(depth, mask, picture, tuple(hands), camera, identity)
