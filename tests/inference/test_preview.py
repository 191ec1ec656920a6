# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of the nodes' pictures, which all tasks share."""

import numpy as np
import pytest
from maquette.inference import BadInput
from maquette.inference.geometry.previews import MAX_PIXELS, padded, preview_size, to_resolution
from maquette.inference.options.common import RESOLUTION


@pytest.mark.parametrize(
    "height, width, resolution, size",
    [(384, 512, 512, (512, 683)), (616, 821, 512, (512, 682)), (512, 384, 0, (512, 384)), (4, 10, 1, (1, 2)),
     (4, 14, 1, (1, 4)), (10000, 50, 64, (12800, 64))],
)  # fmt: skip
def test_the_short_side_is_the_resolution_and_the_other_rounded_half_to_even(height, width, resolution, size):
    assert preview_size(height, width, resolution) == size
    assert to_resolution(np.zeros((height, width, 3), np.uint8), resolution).shape == (*size, 3)


def test_shrinking_averages_and_growing_overshoots():
    fine = np.zeros((8, 8), np.uint8)
    fine[:, ::2] = 200
    assert (to_resolution(fine, 4) == 100).all()  # by area: every pixel of the photo counts
    edge = np.repeat(np.array([[60, 60, 60, 190, 190, 190]], np.uint8), 6, 0)
    grown = to_resolution(edge, 24)
    assert grown.max() > 190 and grown.min() < 60  # cubic


def test_padding_repeats_the_last_row_and_column():
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    found = padded(picture, 4)
    assert found.shape == (4, 4, 3)
    assert (found[2:] == found[1]).all() and (found[:, 3] == found[:, 2]).all()
    np.testing.assert_array_equal(found[:2, :3], picture)
    assert padded(np.zeros((64, 128), np.float32)).shape == (64, 128)
    assert padded(np.zeros((65, 1), np.float32)).shape == (128, 64)


@pytest.mark.parametrize("resolution", [-1, 16385, 20_000, 1.5, "512", None, float("nan")])
def test_what_is_no_resolution(resolution):
    with pytest.raises(BadInput, match="resolution") as raised:
        RESOLUTION.checked(resolution)
    assert raised.value.remedy


def test_a_preview_that_no_memory_holds_is_refused():
    assert RESOLUTION.checked(np.int64(16384)) == 16384 and preview_size(64, 64, 16384) == (16384, 16384)
    assert MAX_PIXELS == 16384**2
    with pytest.raises(BadInput, match="too large"):
        preview_size(64, 65, 16384)
