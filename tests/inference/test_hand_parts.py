# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a photo one by one: names, shares of the mask, numbers of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from maquette.inference import Camera
from maquette.inference.errors import BadInput
from maquette.inference.hands import MASK_TYPES, masks, parts, preview
from maquette.inference.results import Hand, HandMaps

SHAPE = (120, 200)


def hand(side: str, left: int, top: int, size: int, z: float) -> Hand:
    """A sphere-like bump of `size` pixels at distance z."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    away = np.hypot(columns - left - size / 2, rows - top - size / 2) / (size / 2)
    depth = np.where(away < 1, z + 0.05 * away, 0).astype(np.float32)
    corners = np.array([[left + 2, top + 3], [left + size - 2, top + size - 3]], np.float32)
    points = np.repeat(corners, [10, 11], axis=0)
    box = (left, top, left + size, top + size)
    empty = np.zeros((1, 3), np.float32)
    return Hand(side, 0.9, box, empty, empty.astype(np.int32), np.zeros((21, 3), np.float32), points, depth,
                (depth > 0).astype(np.float32))  # fmt: skip


def maps_of(hands, mask_type="based_on_depth", padding=30, expand=5, resolution=120) -> HandMaps:
    depth = np.zeros(SHAPE, np.float32)
    for one in hands:
        nearer = (one.depth > 0) & ((depth == 0) | (one.depth < depth))
        depth[nearer] = one.depth[nearer]
    picture = preview.resize(preview.paint([one.depth for one in hands], SHAPE), resolution)
    extents = [masks.extent(one.keypoints_2d, one.depth > 0) for one in hands]
    mask = masks.expand(masks.hand_mask(mask_type, picture, extents, padding, SHAPE), expand)
    return HandMaps(depth, mask.astype(np.float32), picture, tuple(hands), Camera.default(200, 120))


@pytest.fixture(scope="module")
def three() -> list[Hand]:
    """Far to near; the two on the right overlap."""
    return [hand("right", 120, 40, 50, 3.0), hand("left", 10, 20, 40, 2.0), hand("right", 95, 50, 40, 1.0)]


def test_names_count_from_left_to_right_on_each_side(three):
    named = parts.parts(three)
    assert [(part.name, part.number, part.index) for part in named] == [("L.1", 1, 1), ("R.1", 2, 2), ("R.2", 3, 0)]
    assert parts.parts([]) == []


@pytest.mark.parametrize("mask_type", MASK_TYPES)
@pytest.mark.parametrize("expand", [-6, 0, 9])
@pytest.mark.parametrize("resolution", [0, 64, 300])
def test_shares_make_up_the_whole_mask(three, mask_type, expand, resolution):
    maps = maps_of(three, mask_type, 10, expand, resolution)
    shares = parts.part_masks(
        maps, mask_type=mask_type, mask_bbox_padding=10, mask_expand=expand, resolution=resolution
    )
    np.testing.assert_array_equal(np.max(shares, axis=0), maps.mask)
    lonely = shares[1] > 0  # nothing else is near the left hand, so its share is what it would have alone
    alone = maps_of([three[1]], mask_type, 10, expand, resolution).mask > 0
    assert (lonely != alone)[:, :70].mean() < 0.01
    if mask_type == "based_on_depth" and expand >= 0:
        assert all(share[one.depth > 0].mean() > 0.99 for share, one in zip(shares, three, strict=True))


def test_a_gap_that_closes_when_hands_grow_goes_to_the_nearest():
    """Eroded together a touching pair keeps more than each hand alone; every pixel still has an owner."""
    pair = [hand("left", 20, 30, 50, 2.0), hand("right", 66, 30, 50, 1.0)]
    maps = maps_of(pair, expand=-3)
    shares = parts.part_masks(maps, mask_type="based_on_depth", mask_bbox_padding=0, mask_expand=-3, resolution=120)
    np.testing.assert_array_equal(np.max(shares, axis=0), maps.mask)
    columns = [np.flatnonzero(share.any(0)) for share in shares]
    assert columns[0].max() < 80 and columns[1].min() > 55


def test_groups(three):
    maps = maps_of(three)
    parameters = {"mask_type": "based_on_depth", "mask_bbox_padding": 30, "mask_expand": 5, "resolution": 120}
    merged = parts.grouped(maps, "MERGED", **parameters)
    assert list(merged) == ["hands.mask"] and merged["hands.mask"].mask is maps.mask
    sides = parts.grouped(maps, "PER_SIDE", **parameters)
    assert list(sides) == ["hands.L.mask", "hands.R.mask"]
    each = parts.grouped(maps, "PER_HAND", **parameters)
    assert list(each) == ["hand.L.1.mask", "hand.R.1.mask", "hand.R.2.mask"]
    assert [round(group.distance) for group in each.values()] == [2, 1, 3]
    both = np.maximum(each["hand.R.1.mask"].mask, each["hand.R.2.mask"].mask)
    np.testing.assert_array_equal(sides["hands.R.mask"].mask, both)
    assert sides["hands.R.mask"].distance == pytest.approx(1, abs=0.06), "the nearest of them"
    with pytest.raises(BadInput):
        parts.grouped(maps, "PER_FINGER", **parameters)


def test_identity_shows_the_nearest_hand(three):
    ids = parts.identity(maps_of(three))
    assert set(np.unique(ids)) == {0, 1, 2, 3}
    overlap = (three[0].depth > 0) & (three[2].depth > 0)
    assert overlap.any() and (ids[overlap] == 2).all(), "the near right hand"
    for number, one in ((1, three[1]), (2, three[2])):
        np.testing.assert_array_equal(ids == number, one.depth > 0)


def test_heights_are_metres_from_each_hand_s_back(three):
    maps = maps_of(three)
    height = parts.heights(maps)
    assert not height[maps.depth == 0].any() and height.min() >= 0
    left = three[1].depth > 0
    np.testing.assert_allclose(height[left], three[1].depth[left].max() - three[1].depth[left], atol=1e-6)
    assert height.max() == pytest.approx(0.05, abs=0.005)
