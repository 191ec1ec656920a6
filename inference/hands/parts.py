# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a photo one by one: their names and numbers, each one's share of the mask, and which pixel is whose.

Blender's side names its objects by this file before the packages are there, so OpenCV is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..registry import check_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import Hand, HandMaps


#: Masks of all hands in one, of all hands of a side, or of each hand.
SPLITS = ("MERGED", "PER_SIDE", "PER_HAND")


@dataclass(frozen=True)
class Part:
    """One hand of a photo by name.

    index : of the hand in `HandMaps.hands`.  number : from 1 on, over both sides; the value in an ID map.
    name : side and number on that side, "L.1", "R.2"; both count from the left of the picture to the right.
    """

    index: int
    number: int
    name: str


def parts(hands: Sequence[Hand]) -> list[Part]:
    """The hands in the order of their numbers: as they lie in the picture from left to right."""
    order = sorted(range(len(hands)), key=lambda index: (hands[index].box[0] + hands[index].box[2], hands[index].box))
    count = {"left": 0, "right": 0}
    named = []
    for number, index in enumerate(order, 1):
        side = hands[index].side
        count[side] += 1
        named.append(Part(index, number, f"{side[0].upper()}.{count[side]}"))
    return named


def part_masks(
    maps: HandMaps, *, mask_type: str, mask_bbox_padding: int, mask_expand: int, resolution: int
) -> list[NDArray[np.float32]]:
    """Each hand's share (H, W) 0 or 1 of `maps.mask`, in the order of `maps.hands`; the parameters are those that the
    maps were made with.

    Each is drawn as the whole mask is, from that hand alone, so shares overlap where hands do; pixels that only the
    hands together have (a gap that closes when both grow) go to the nearest one. Together they are the whole mask.
    """
    from . import masks, preview

    whole, shape = maps.mask > 0.5, maps.mask.shape
    drawn = []
    for hand in maps.hands:
        picture = preview.resize(preview.depth_levels(hand.depth), resolution)
        alone = masks.hand_mask(mask_type, picture, [masks.extent_of(hand)], mask_bbox_padding, shape)
        drawn.append(masks.expand(alone, mask_expand) & whole)
    left_over = whole & ~np.any(drawn, axis=0) if drawn else whole
    if drawn and left_over.any():
        nearest = _nearest(maps.hands, drawn)
        for index, share in enumerate(drawn):
            share |= left_over & (nearest == index)
    return [share.astype(np.float32) for share in drawn]


@dataclass(frozen=True)
class Group:
    """mask : (H, W) float32 of one hand or several.  distance : median depth of what it shows, metres."""

    mask: NDArray[np.float32]
    distance: float


def grouped(maps: HandMaps, split: str, named: Sequence[Part] | None = None, **parameters: Any) -> dict[str, Group]:
    """Name -> mask for `split`: "MERGED" ("hands.mask"), "PER_SIDE" ("hands.L.mask", "hands.R.mask") or "PER_HAND"
    ("hand.L.1.mask", ...), in the order of the numbers.

    named : the hands by other names than those of `parts`.  parameters : those of `part_masks`. Raises `BadInput`.
    """
    check_choice(split, SPLITS, "split")
    if split == "MERGED":
        return {"hands.mask": Group(maps.mask, _distance(maps.depth))}
    shares = part_masks(maps, **parameters)
    members: dict[str, list[int]] = {}
    for part in parts(maps.hands) if named is None else named:
        side = maps.hands[part.index].side[0].upper()
        name = f"hand.{part.name}.mask" if split == "PER_HAND" else f"hands.{side}.mask"
        members.setdefault(name, []).append(part.index)
    return {
        name: Group(
            np.max([shares[index] for index in indices], axis=0),
            min(_distance(maps.hands[index].depth) for index in indices),
        )
        for name, indices in members.items()
    }


def identity(maps: HandMaps, named: Sequence[Part] | None = None) -> NDArray[np.int32]:
    """(H, W) the number of the hand that each pixel shows, 0 where there is none: the nearest one.

    named : the hands with other numbers than those of `parts`.
    """
    number_of = np.zeros(len(maps.hands) + 1, np.int32)
    for part in parts(maps.hands) if named is None else named:
        number_of[part.index + 1] = part.number
    return number_of[nearest(maps.hands, maps.mask.shape)[1] if maps.identity is None else maps.identity]


def nearest(hands: Sequence[Hand], shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Metres (H, W) of the nearest hand, 0 where there is none, and its index + 1."""
    depth, identity = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    for number, hand in enumerate(hands, 1):
        nearer = (hand.depth > 0) & ((depth == 0) | (hand.depth < depth))
        np.copyto(depth, hand.depth, where=nearer)
        np.copyto(identity, number, where=nearer)
    return depth, identity


def heights(maps: HandMaps) -> NDArray[np.float32]:
    """(H, W) metres by which each pixel of a hand lies in front of that hand's farthest point in view; 0 elsewhere."""
    height = np.zeros(maps.mask.shape, np.float32)
    for hand in maps.hands:
        seen = (hand.depth > 0) & (hand.depth == maps.depth)
        if seen.any():
            height[seen] = hand.depth[seen].max() - hand.depth[seen]
    return height


def _distance(depth: NDArray) -> float:
    """Median of the depths (H, W) that are there, in metres; 1 where there is none."""
    inside = depth[depth > 0]
    return float(np.median(inside)) if inside.size else 1.0


def _nearest(hands: Sequence[Hand], drawn: Sequence[NDArray[np.bool_]]) -> NDArray[np.intp]:
    """(H, W) index of the hand whose share, or else whose middle, is nearest."""
    import cv2

    rows, columns = np.ogrid[: drawn[0].shape[0], : drawn[0].shape[1]]
    distances = []
    for hand, share in zip(hands, drawn, strict=True):
        if share.any():
            distances.append(cv2.distanceTransform((~share).astype(np.uint8), cv2.DIST_L2, 3))
        else:
            x, y = hand.keypoints_2d.mean(0)
            distances.append(np.hypot(columns - x, rows - y).astype(np.float32))
    return np.argmin(distances, axis=0)
