# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion made easy to edit: fewer keys, ends that meet, smoothed ranges, tracks joined."""

from __future__ import annotations

import numpy as np
import pytest
from maquette.inference.rigs import cleanup

TIME = np.arange(60)
WAVE = np.stack([np.sin(TIME / 7), 0.02 * TIME, np.full(60, 3.0)], axis=1)


def spinning(count: int = 60, first: float = 0.0) -> np.ndarray:
    """Quaternions (count, 4) about z, a full turn in 40 frames, with signs at random."""
    angle = first + np.pi * np.arange(count) / 40
    turns = np.stack([np.cos(angle), np.zeros(count), np.zeros(count), np.sin(angle)], axis=1)
    return turns * np.random.default_rng(1).choice([-1, 1], count)[:, None]


def distance(shown, true):
    return np.linalg.norm(shown - true, axis=1)


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 1e-4, 0.0])
def test_keys_keep_every_value_within_the_tolerance(tolerance):
    keys = cleanup.kept_keys(WAVE, distance, tolerance)
    shown = cleanup.between_keys(WAVE, cleanup.slopes_of(WAVE), keys)
    assert distance(shown, WAVE).max() <= tolerance
    assert {0, 59} <= set(keys) and len(keys) < (60 if tolerance else 61)
    if tolerance == 0.01:
        assert len(keys) < 15
    assert len(cleanup.kept_keys(np.full((60, 1), 2.0), distance, tolerance)) == 1


def test_whole_circles_and_signs_are_no_jumps():
    turned = cleanup.continuous(spinning(), "rotation_quaternion")
    assert np.abs(np.diff(turned, axis=0)).max() < 0.1
    euler = np.array([[3.1], [-3.1], [-3.0]])
    assert np.abs(np.diff(cleanup.continuous(euler, "rotation_euler"), axis=0)).max() < 0.2
    with pytest.raises(AssertionError):
        assert np.abs(np.diff(cleanup.continuous(euler, "location"), axis=0)).max() < 0.2


def test_ends_meet_in_place_and_speed():
    done = cleanup.joined_ends(WAVE, 20, "location", np.array([0, WAVE[-1, 1] - WAVE[0, 1], 0]))
    np.testing.assert_allclose(done[-1] - done[0], [0, 0.02 * 59, 0], atol=1e-9)
    np.testing.assert_allclose(done[:40], WAVE[:40], atol=1e-9)
    assert (done[-1] - done[-2])[0] == pytest.approx((done[1] - done[0])[0], abs=0.04)  # it was -0.08
    turned = cleanup.joined_ends(spinning(), 10, "rotation_quaternion")
    assert abs(turned[0] @ turned[-1]) == pytest.approx(1) and np.allclose(np.linalg.norm(turned, axis=1), 1)
    euler = cleanup.joined_ends(np.linspace(0, 2 * np.pi - 0.2, 60)[:, None], 10, "rotation_euler")
    assert euler[-1, 0] == pytest.approx(2 * np.pi)  # on by 0.2, and not back by the whole circle


def test_the_ends_that_match_are_found():
    cycle = np.stack([np.sin(2 * np.pi * TIME / 23), np.cos(2 * np.pi * TIME / 23)], axis=1)
    first, last = cleanup.matching_ends(np.repeat(cycle[:, None], 3, axis=1), 10)
    assert (last - first) % 23 == 0


def test_smoothing_takes_the_noise_and_leaves_straight_ways():
    straight = np.outer(TIME, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(cleanup.smoothed(straight, 3.0, "location"), straight, atol=1e-9)
    noise = np.random.default_rng(2).normal(0, 0.1, WAVE.shape)
    soft = cleanup.smoothed(WAVE + noise, 2.0, "location")
    assert distance(soft, WAVE)[5:-5].mean() < 0.55 * distance(WAVE + noise, WAVE)[5:-5].mean()
    share = cleanup.eased(20, 4)[:, 0]
    assert share[0] == share[-1] == 0 and (share[4:16] == 1).all()


@pytest.mark.parametrize("later", [10, 15, 30])
def test_tracks_are_joined_over_an_overlap_and_a_gap(later):
    whole = cleanup.continuous(spinning(), "rotation_quaternion")
    parts = (later, -whole[later:]), (0, whole[:15])  # of the other sign, and in the other order
    frames, joined = cleanup.joined(*parts, "rotation_quaternion")
    np.testing.assert_array_equal(frames, TIME)
    seen = np.r_[0:15, later:60]
    assert np.abs((joined[seen] * whole[seen]).sum(1)).min() > 1 - 1e-9
    assert np.abs(np.diff(joined, axis=0)).max() < 0.1
