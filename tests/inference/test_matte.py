# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks grown, feathered and traced."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from maquette.inference.errors import BadInput
from maquette.inference.geometry import mask_shape


@pytest.fixture(scope="module")
def half() -> np.ndarray:
    """White from column 50 on."""
    mask = np.zeros((40, 100), np.float32)
    mask[:, 50:] = 1
    return mask


@pytest.fixture(scope="module")
def disc() -> np.ndarray:
    rows, columns = np.mgrid[:200, :240] + 0.5
    return (np.hypot(columns - 120, rows - 100) < 60).astype(np.float32)


def test_nothing_asked_leaves_soft_values_as_they_are():
    soft = np.random.default_rng(0).uniform(0, 1, (20, 30)).astype(np.float32)
    result = mask_shape.shaped(soft)
    np.testing.assert_array_equal(result, soft)
    assert result is not soft


@pytest.mark.parametrize("grow", [-20.0, -3.0, 2.5, 15.0])
def test_a_disc_grows_to_a_disc(disc, grow):
    """Round, as a painter expects, not the diamond of the reference's steps."""
    grown = mask_shape.shaped(disc, grow)
    rows, columns = np.mgrid[:200, :240] + 0.5
    away = np.hypot(columns - 120, rows - 100)
    assert set(np.unique(grown)) == {0, 1}
    assert grown[away < 60 + grow - 1.2].all() and not grown[away > 60 + grow + 1.2].any()


@pytest.mark.parametrize(("edge", "low", "high"), [("CENTRE", 45, 55), ("OUTSIDE", 40, 50), ("INSIDE", 50, 60)])
def test_a_feather_rises_over_its_width_where_it_is_to_lie(half, edge, low, high):
    row = mask_shape.shaped(half, feather=10, edge=edge)[20]
    centres = np.arange(100) + 0.5
    assert not row[centres < low].any() and (row[centres > high] == 1).all()
    rise = row[(centres > low) & (centres < high)]
    assert (np.diff(rise) > 0).all() and len(rise) == 10
    np.testing.assert_allclose(rise, 1 - rise[::-1], atol=1e-6)
    share = (centres[(centres > low) & (centres < high)] - low) / 10
    np.testing.assert_allclose(rise, share**2 * (3 - 2 * share), atol=1e-6)


def test_grow_moves_the_feather(half):
    np.testing.assert_array_equal(
        mask_shape.shaped(half, 7, 10)[:, :80], np.roll(mask_shape.shaped(half, 0, 10), -7, 1)[:, :80]
    )


def test_what_lies_outside_of_the_picture_has_no_part():
    whole = np.ones((30, 40), np.float32)
    for grow in (-5, 0, 5):
        assert mask_shape.shaped(whole, grow, 6).all()
    assert not mask_shape.shaped(np.zeros((30, 40)), 5, 6).any()
    corner = np.zeros((30, 40), np.float32)
    corner[:10, :10] = 1
    assert mask_shape.shaped(corner, -4)[0, 0] == 1 and mask_shape.shaped(corner, -4)[8, 8] == 0
    assert not mask_shape.shaped(corner, -11).any(), "shrunk away"


def test_only_the_part_around_the_mask_is_worked_on_and_the_rest_is_right(disc):
    large = np.zeros((900, 1200), np.float32)
    large[300:500, 400:640] = disc
    np.testing.assert_array_equal(mask_shape.shaped(large, 4, 9)[300:500, 400:640], mask_shape.shaped(disc, 4, 9))


@pytest.mark.parametrize("arguments", [{"feather": -1.0}, {"feather": np.nan}, {"grow": np.inf}, {"edge": "MIDDLE"}])
def test_what_cannot_be_is_refused(half, arguments):
    with pytest.raises(BadInput) as caught:
        mask_shape.shaped(half, **arguments)
    assert caught.value.remedy


def drawn(outlines, shape) -> np.ndarray:
    """The outlines filled: pixels whose centres lie inside."""
    picture = np.zeros(shape, np.uint8)
    for outline in outlines:
        polygon = np.rint((outline.points - 0.5) * 16).astype(np.int32)
        inside = cv2.fillPoly(np.zeros(shape, np.uint8), [polygon], 1, shift=4) > 0
        picture[inside] = not outline.hole
    return picture


def test_an_outline_follows_the_mask_and_is_smooth(disc):
    (outline,) = mask_shape.outlines(disc)
    away = np.hypot(*(outline.points - (120, 100)).T)
    assert not outline.hole and len(outline.points) < 100
    np.testing.assert_allclose(away, 60, atol=0.8)
    assert cv2.contourArea(outline.points) == pytest.approx(np.pi * 60**2, rel=0.02)


def test_holes_and_islands_are_in_an_order_that_can_be_drawn():
    rows, columns = np.mgrid[:200, :300]
    away = np.hypot(columns - 120, rows - 100)
    mask = ((away < 90) & (away > 60)) | ((away < 40) & (away > 20)) | (columns > 260)
    found = mask_shape.outlines(mask)
    assert [outline.hole for outline in found] == [False, True, False, False, True]
    assert (drawn(found, mask.shape) != mask).mean() < 0.01


def test_outlines_at_the_border_and_specks():
    mask = np.zeros((60, 80), np.float32)
    mask[:20, 60:] = 1
    mask[40, 10] = mask[50, 30] = 1
    (outline,) = mask_shape.outlines(mask)
    assert outline.points[:, 0].max() > 79 and outline.points[:, 1].min() < 1
    assert mask_shape.outlines(np.zeros((9, 9))) == [] and len(mask_shape.outlines(np.ones((9, 9)))) == 1
