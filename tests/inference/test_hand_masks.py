# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand masks and the preview, to the level as the reference node draws them."""

import numpy as np
import pytest
from maquette.inference import BadInput
from maquette.inference.geometry.previews import preview_size
from maquette.inference.hands import masks, preview
from maquette.inference.options.hands import OPTIONS
from scipy import ndimage

PLUS = ndimage.generate_binary_structure(2, 1)
SHAPE = (60, 90)


def _extent(landmarks, rendered=None) -> masks.Extent:
    return masks.Extent(landmarks, rendered)


def _blobs(seed: int, share: float) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).random(SHAPE), 2) > share


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("amount", [1, 2, 5, 13, -1, -2, -5])
def test_expanding_is_that_many_steps_of_dilation_or_erosion(seed, amount):
    mask = _blobs(seed, 0.5)
    grey = mask.astype(np.uint8) * 255
    step = ndimage.grey_dilation if amount > 0 else ndimage.grey_erosion
    for _ in range(abs(amount)):
        grey = step(grey, footprint=PLUS, mode="reflect")
    assert np.array_equal(masks.expand(mask, amount), grey > 0)


def test_expanding_by_nothing_changes_nothing():
    mask = _blobs(0, 0.5)
    assert np.array_equal(masks.expand(mask, 0), mask)


@pytest.mark.parametrize("amount", [16384, -16384, 7, -7])
def test_empty_and_full_masks_stay_as_they_are(amount):
    for value in (False, True):
        mask = np.full(SHAPE, value)
        assert np.array_equal(masks.expand(mask, amount), mask)


def test_the_largest_amounts_fill_or_clear_the_picture():
    mask = np.zeros(SHAPE, bool)
    mask[10, 20] = True
    assert masks.expand(mask, 16384).all()
    assert not masks.expand(~mask, -16384).any()


def test_distances_longer_than_a_16_bit_number_are_right():
    mask = np.zeros((2, 40_000), bool)
    mask[0, 0] = True
    grown = masks.expand(mask, 16384)
    assert grown[0].sum() == 16385 and grown[1].sum() == 16384


def test_original_boxes_are_padded_by_pixels_or_by_their_size():
    extent = _extent((40, 20, 60, 40), (36, 25, 58, 45))  # union 36..60 x 20..45: 15 % are 3 columns and 3 rows
    for padding, margin in ((0, 3), (10, 10)):
        mask = masks.hand_mask("original", np.zeros(SHAPE, np.uint8), [extent], padding, SHAPE)
        rows, columns = np.nonzero(mask)
        assert (columns.min(), columns.max()) == (36 - margin, 60 + margin)
        assert (rows.min(), rows.max()) == (20 - margin, 45 + margin)
        assert mask.sum() == (25 + 2 * margin) * (26 + 2 * margin)


def test_the_share_of_an_original_box_is_of_all_its_pixels():
    """20 columns by 27 rows, both ends counted: 15 % are 3 columns and 4 rows, where 19 by 26 would give 2 and 3."""
    mask = masks.hand_mask("original", np.zeros(SHAPE, np.uint8), [_extent((40, 20, 59, 46))], 0, SHAPE)
    rows, columns = np.nonzero(mask)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (37, 62, 16, 50)
    assert mask.sum() == 26 * 35


def test_a_hand_of_which_nothing_is_drawn_has_its_landmarks_box():
    mask = masks.hand_mask("original", np.zeros(SHAPE, np.uint8), [_extent((40, 20, 60, 40))], 0, SHAPE)
    assert mask.sum() == 27 * 27


def test_tight_boxes_take_no_padding_and_are_cut_to_the_photo():
    boxes = [_extent((-5, -3, 4, 6)), _extent((80, 50, 200, 300)), _extent((-20, -20, -10, -10))]
    mask = masks.hand_mask("tight_bboxes", np.zeros(SHAPE, np.uint8), boxes, 100, SHAPE)
    expected = np.zeros(SHAPE, bool)
    expected[:7, :5] = True
    expected[50:, 80:] = True
    assert np.array_equal(mask, expected)


def test_the_silhouette_depends_on_the_previews_resolution():
    depth = np.zeros((64, 64))
    depth[20:41, 20:41] = np.linspace(1.0, 1.2, 21)
    fine = preview.resize(preview.paint([depth], depth.shape), 0)
    coarse = preview.resize(preview.paint([depth], depth.shape), 16)
    silhouettes = [masks.hand_mask("based_on_depth", picture, [], 30, depth.shape) for picture in (fine, coarse)]
    assert np.array_equal(silhouettes[0], depth > 0)
    assert silhouettes[1].sum() > silhouettes[0].sum()


def test_levels_run_from_white_to_a_fifth():
    depth = np.zeros((4, 5))
    depth[1, 1:4] = 0.5, 0.6, 0.7
    levels = preview.depth_levels(depth)
    assert levels[1, 1] == 255 and levels[1, 2] == 153 and levels[1, 3] in (50, 51)
    assert (levels > 0).sum() == 3


def test_a_flat_hand_is_white_and_no_hand_is_black():
    flat = np.zeros((4, 5))
    flat[2, 2:4] = 0.8
    assert preview.depth_levels(flat)[2].tolist() == [0, 0, 255, 255, 0]
    assert not preview.depth_levels(np.zeros((4, 5))).any()
    assert not preview.paint([], (4, 5)).any()


def test_later_hands_are_painted_over_earlier_ones():
    far, near = np.zeros((3, 6)), np.zeros((3, 6))
    far[1, :4] = 2.0, 2.1, 2.2, 2.3
    near[1, 2:] = 1.3, 1.2, 1.1, 1.0
    painted = preview.paint([far, near], (3, 6))
    assert np.array_equal(painted[1, 2:], preview.depth_levels(near)[1, 2:])
    assert np.array_equal(painted[1, :2], preview.depth_levels(far)[1, :2])


@pytest.mark.parametrize(
    ("height", "width", "resolution", "size"),
    [(720, 1280, 512, (512, 910)), (480, 640, 0, (480, 640)), (100, 250, 201, (201, 502)), (9, 3, 1, (3, 1))],
)
def test_the_previews_short_side_is_the_resolution(height, width, resolution, size):
    assert preview_size(height, width, resolution) == size
    assert preview.resize(np.zeros((height, width), np.uint8), resolution).shape == (*size, 3)


def test_a_preview_that_no_memory_holds_is_refused():
    with pytest.raises(BadInput, match="too large"):
        preview_size(4, 100_000, 16384)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_type": "silhouette"}, "based_on_depth, tight_bboxes, original"),
        ({"mask_bbox_padding": -1}, "from 0 to 100"),
        ({"mask_bbox_padding": 101}, "from 0 to 100"),
        ({"mask_bbox_padding": 1.5}, "whole number"),
        ({"mask_expand": 16385}, "from -16384 to 16384"),
        ({"mask_expand": -16385}, "from -16384 to 16384"),
        ({"resolution": -1}, "from 0 to 16384"),
        ({"resolution": 20000}, "from 0 to 16384"),
    ],
)
def test_parameters_out_of_range_are_refused_with_the_range(change, message):
    fine = {"mask_type": "original", "mask_bbox_padding": 30, "mask_expand": 5, "resolution": 512}
    OPTIONS.checked(fine)
    with pytest.raises(BadInput, match=message):
        OPTIONS.checked({**fine, **change})
