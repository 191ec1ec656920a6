# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing: calmer, without lag, with the motion left in."""

from dataclasses import replace

import numpy as np
import pytest
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.people.clip.smooth import (
    CUTOFF,
    penalty,
    smooth_motion,
    smooth_rotations,
    smooth_translation,
    smooth_values,
    whittaker,
)

FPS = 25.0


def _wave(frequency: float, frames: int = 200) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(frames) / FPS)[:, None]


def _noisy(rotations: np.ndarray, spread: float, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(0, spread, (*rotations.shape[:-1], 3))
    return quaternion.multiply(quaternion.from_rotation_vector(vectors), rotations)


def _acceleration(path: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(path, 2, axis=0), axis=-1).mean()) * FPS**2


@pytest.mark.parametrize(("frequency", "kept"), [(1.0, 0.99), (CUTOFF, 0.5), (9.0, 0.02)])
def test_strength_one_halves_the_amplitude_at_the_stated_frequency(frequency, kept):
    wave = _wave(frequency)
    smooth = whittaker(wave, np.ones(len(wave)), penalty(CUTOFF, FPS))
    middle = slice(50, 150)
    assert (smooth[middle] * wave[middle]).sum() / (wave[middle] ** 2).sum() == pytest.approx(kept, abs=0.02)


def test_there_is_no_lag():
    noise = np.random.default_rng(0).normal(0, 0.1, (200, 1))
    wave = _wave(1.0)
    smooth = smooth_values(wave + noise, np.ones(200), FPS)
    errors = [np.abs(np.roll(smooth, -shift)[20:-20] - wave[20:-20]).mean() for shift in range(-3, 4)]
    assert int(np.argmin(errors)) == 3


def test_a_frame_of_weight_zero_is_bridged_by_its_neighbours():
    time = np.arange(60) / FPS
    path = np.stack([time, 0.5 * time**2, np.zeros(60)], 1)
    broken, weights = path.copy(), np.ones(60)
    broken[20:35], weights[20:35] = 9.0, 0.0
    assert np.abs(smooth_values(broken, weights, FPS) - path).max() < 1e-3


def test_a_single_outlier_is_thrown_out():
    path = np.concatenate([_wave(0.5), np.zeros((200, 2))], 1)
    noise = np.random.default_rng(1).normal(0, 0.005, path.shape)
    spiked = path + noise
    spiked[100] += 1.0
    assert np.linalg.norm(smooth_values(spiked, np.ones(200), FPS)[100] - path[100]) < 0.03


def test_rotations_come_out_as_unit_quaternions_of_one_hemisphere(walk):
    flipped = walk.motion.rotations.copy()
    flipped[::2] *= -1
    smooth = smooth_rotations(flipped, walk.motion.confidence, FPS)
    assert np.allclose(np.linalg.norm(smooth, axis=-1), 1)
    assert ((smooth[1:] * smooth[:-1]).sum(-1) > 0).all()
    assert quaternion.angle_between(smooth, walk.motion.rotations).mean() < np.radians(0.5)


def test_noise_goes_and_the_walk_stays(walk):
    noisy = _noisy(walk.motion.rotations, np.radians(4))
    smooth = smooth_rotations(noisy, walk.motion.confidence, FPS)
    before = quaternion.angle_between(noisy, walk.motion.rotations).mean()
    after = quaternion.angle_between(smooth, walk.motion.rotations).mean()
    assert after < 0.6 * before
    knee = slice(4, 5)
    span = quaternion.angle_between(walk.motion.rotations[:, knee], walk.motion.rotations[:1, knee]).max()
    kept = quaternion.angle_between(smooth[:, knee], smooth[:1, knee]).max()
    assert kept > 0.85 * span


def test_a_turn_right_round_is_not_cut_short():
    angles = np.linspace(0, 4 * np.pi, 100)
    turns = quaternion.from_rotation_vector(np.stack([0 * angles, angles, 0 * angles], 1))[:, None]
    smooth = smooth_rotations(np.where(np.arange(100)[:, None, None] % 3 == 0, -turns, turns), np.ones((100, 1)), FPS)
    assert quaternion.angle_between(smooth, turns).max() < np.radians(1)


def test_distance_is_smoothed_more_than_the_place_in_the_picture():
    rng = np.random.default_rng(2)
    path = np.stack([0.5 * _wave(1.0)[:, 0], np.zeros(200), np.full(200, 4.0)], 1)
    noisy = path + rng.normal(0, [0.01, 0.01, 0.2], path.shape)
    smooth = smooth_translation(noisy, np.ones(200), FPS)
    assert np.abs(smooth[:, 2] - 4).mean() < 0.06
    assert np.abs(smooth[:, 0] - path[:, 0]).mean() < 0.03


def test_strength_zero_changes_nothing_and_more_strength_is_calmer(walk):
    noisy = replace(
        walk.motion,
        rotations=_noisy(walk.motion.rotations, 0.05),
        translation=walk.motion.translation + np.random.default_rng(3).normal(0, 0.03, (len(walk.motion), 3)),
    )
    assert smooth_motion(noisy, 0) is noisy
    calm = [_acceleration(smooth_motion(noisy, strength).translation) for strength in (0.3, 1.0, 3.0)]
    assert _acceleration(noisy.translation) > calm[0] > calm[1] > calm[2]


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_very_short_motions_pass(walk, frames):
    short = replace(
        walk.motion,
        rotations=walk.motion.rotations[:frames],
        translation=walk.motion.translation[:frames],
        confidence=walk.motion.confidence[:frames],
    )
    smooth = smooth_motion(short)
    assert np.isfinite(smooth.rotations).all()
    assert np.allclose(smooth.translation, short.translation, atol=0.05)


def test_a_camera_that_goes_along_sees_its_own_distances_worst():
    """Noise along its rays, which turn as it goes past somebody who stands, is taken out; its shaking moves nobody."""
    time = np.arange(200) / FPS
    eyes = np.stack([0.6 * time + 3, 0.03 * np.sin(30 * time), 0.03 * np.cos(37 * time)], 1)
    place = np.array([5.4, 0.8, 3.5])
    rays = (place - eyes) / np.linalg.norm(place - eyes, axis=1, keepdims=True)
    noisy = place + np.random.default_rng(0).normal(0, 0.05, (200, 1)) * rays
    known, unknown = (
        np.linalg.norm(smooth_translation(noisy, np.ones(200), FPS, eyes=one) - place, axis=1).mean()
        for one in (eyes, 0.0)
    )
    assert known < 0.9 * unknown
    still = smooth_translation(np.tile(place, (200, 1)), np.ones(200), FPS, eyes=eyes)
    assert np.abs(still - place).max() < 2e-3
