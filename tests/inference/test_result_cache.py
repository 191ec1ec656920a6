# SPDX-License-Identifier: GPL-3.0-or-later
"""What one task found in a photo serves the next one."""

import numpy as np
import pytest
from maquette.inference import free_memory
from maquette.inference.runtime import result_cache


@pytest.fixture(autouse=True)
def forget():
    result_cache.clear()


def counted():
    calls = []

    def compute():
        calls.append(1)
        return np.zeros(3)

    return calls, compute


def test_same_photo_and_request_is_computed_once_and_handed_out_as_copies():
    calls, compute = counted()
    photo = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    first = result_cache.cached_result(photo, ("people", 0.25), compute)
    first[:] = 7
    second = result_cache.cached_result(photo.copy(), ("people", 0.25), compute)
    assert len(calls) == 1
    assert not second.any()


def test_other_pixels_shape_or_request_is_computed_anew():
    calls, compute = counted()
    photo = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    result_cache.cached_result(photo, "a", compute)
    result_cache.cached_result(photo + 1, "a", compute)
    result_cache.cached_result(photo.reshape(1, 4, 3), "a", compute)
    result_cache.cached_result(photo, "b", compute)
    assert len(calls) == 4


def test_forgets_the_oldest_and_on_request():
    calls, compute = counted()
    photo = np.zeros((1, 1, 3), np.uint8)
    for request in range(result_cache.LIMIT + 1):
        result_cache.cached_result(photo, request, compute)
    result_cache.cached_result(photo, result_cache.LIMIT, compute)
    assert len(calls) == result_cache.LIMIT + 1
    result_cache.cached_result(photo, 0, compute)
    assert len(calls) == result_cache.LIMIT + 2
    free_memory()
    result_cache.cached_result(photo, 0, compute)
    assert len(calls) == result_cache.LIMIT + 3


def test_several_pictures_are_computed_together_but_for_those_in_the_cache_or_twice_the_same():
    asked = []

    def compute(unknown):
        values = [int(pixels.max()) for pixels in unknown]
        asked.append(values)
        return [np.full(2, value) for value in values]

    pictures = [np.full((1, 2, 3), value, np.uint8) for value in (5, 6, 5, 7)]
    result_cache.cached_result(pictures[1], "a", lambda: np.full(2, 60))
    results = result_cache.cached_results(pictures, "a", compute)
    assert [int(result[0]) for result in results] == [5, 60, 5, 7] and asked == [[5, 7]]
    results[0][:] = 9
    assert result_cache.cached_results(pictures, "a", compute)[2].tolist() == [5, 5] and len(asked) == 1
