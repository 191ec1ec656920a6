# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing of motion without lag, weighted by confidence.

A Whittaker smoother (Eilers 2003, "A perfect smoother"): the curve x that minimises

    sum_t w_t |x_t - y_t|^2  +  lambda sum_t |third difference of x at t|^2.

It looks both ways in time, so it has no lag; a frame of weight 0 is filled by the smoothest curve through the
others. With white weights it is a low-pass filter of order 6, whose half-power frequency f fixes lambda.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from ...geometry import rotations as quaternion
from .motion import Motion

#: Third differences: position, velocity and acceleration are continuous, jerk is what is kept small.
ORDER = 3
#: Half-power frequency in hertz at strength 1. Walking has its energy below 3 Hz, a fast gesture below 6.
CUTOFF = 3.5
#: A frame that lies this many robust standard deviations off the smooth curve loses its weight.
OUTLIER = 3.5
#: Weight of a frame without any confidence: it keeps the system solvable and bridges gaps.
LEAST_WEIGHT = 1e-8
#: No frame is an outlier within this distance of the curve: metres, or half radians of a rotation.
HARMLESS = 0.02


def penalty(cutoff: float, fps: float, order: int = ORDER) -> float:
    """lambda for a half-power frequency `cutoff` (Hz) at `fps` frames a second: 1 / (2 sin(pi f / fps))^(2 order).

    At or above the Nyquist frequency hardly anything is smoothed.
    """
    return (2 * np.sin(np.pi * min(cutoff / fps, 0.5))) ** (-2.0 * order)


def cutoff_for(strength: float) -> float:
    """Half-power frequency (Hz) for a strength: `CUTOFF` at 1, an octave lower at 4 (lambda grows with strength^3)."""
    return CUTOFF / np.sqrt(strength)


def whittaker(values: NDArray, weights: NDArray, penalties: NDArray | float) -> NDArray:
    """Smooth values (T, C) with weights (T,) and a penalty for all frames or one for each difference (T - 3,)."""
    length = len(values)
    order = min(ORDER, length - 1)
    if order < 1:
        return np.array(values, np.float64)
    banded = difference_bands(length, order, penalties)
    banded[order] += np.maximum(weights, LEAST_WEIGHT)
    return solveh_banded(banded, np.maximum(weights, LEAST_WEIGHT)[:, None] * values)


def difference_bands(length: int, order: int, penalties: NDArray | float) -> NDArray:
    """D^T diag(penalties) D in the upper banded form of scipy.linalg.solveh_banded, (order + 1, length)."""
    coefficients = np.array([1.0])
    for _ in range(order):
        coefficients = np.convolve(coefficients, [-1.0, 1.0])
    rows = length - order
    penalties = np.broadcast_to(np.asarray(penalties, np.float64), (rows,))
    banded = np.zeros((order + 1, length))
    for first in range(order + 1):
        for second in range(first, order + 1):
            banded[order - (second - first), second : second + rows] += (
                penalties * coefficients[first] * coefficients[second]
            )
    return banded


def smooth_values(values: NDArray, weights: NDArray, fps: float, strength: float = 1.0) -> NDArray:
    """Smooth values (T, C) with weights (T,) 0..1; frames far off the curve of their neighbours are rejected."""
    if strength <= 0 or len(values) < 3:
        return np.array(values, np.float64)
    stiffness = penalty(cutoff_for(strength), fps)
    kept = np.asarray(weights, np.float64)
    for _ in range(3):
        curve = whittaker(values, kept, stiffness)
        kept = weights * inliers(np.linalg.norm(values - curve, axis=1), weights)
    return whittaker(values, kept, stiffness)


def inliers(distances: NDArray, weights: NDArray) -> NDArray:
    """Weights (T,) 0..1 that fall off beyond `OUTLIER` robust standard deviations of the distances."""
    seen = distances[weights > 0.05]
    if len(seen) < 5:
        return np.ones(len(distances))
    limit = max(OUTLIER * 1.4826 * float(np.median(seen)), HARMLESS)
    return np.minimum(1.0, (limit / np.maximum(distances, 1e-12)) ** 2)


def smooth_rotations(rotations: NDArray, confidence: NDArray, fps: float, strength: float = 1.0) -> NDArray:
    """Smooth rotations (T, J, 4), quaternions (w, x, y, z), with confidence (T, J); any body model.

    The quaternions are brought into one hemisphere, smoothed as points of R^4 and put back on the sphere: within the
    few degrees that frames differ by, the chord is the arc. Strength 0 returns them as they are.
    """
    aligned = quaternion.align_hemisphere(np.asarray(rotations, np.float64))
    if strength <= 0 or len(aligned) < 3:
        return aligned
    smoothed = np.empty_like(aligned)
    for joint in range(aligned.shape[1]):
        smoothed[:, joint] = smooth_values(aligned[:, joint], confidence[:, joint], fps, strength)
    return quaternion.normalise(smoothed)


def smooth_translation(
    translation: NDArray, weights: NDArray, fps: float, strength: float = 1.0, along_ray: float = 4.0,
    eyes: NDArray | float = 0.0,
) -> NDArray:  # fmt: skip
    """Smooth a path (T, 3), metres in camera axes, with weights (T,); the distance more than the place in the picture.

    One camera sees where a body is across the viewing ray far better than how far along it: direction and logarithm
    of the distance are smoothed apart, the latter `along_ray` times as strongly.
    eyes : (T, 3) where a camera that moves is. How it shakes is no part of the path.
    """
    if strength <= 0 or len(translation) < 3:
        return np.array(translation, np.float64)
    # So calm that what is left of its shaking is far slower than what is taken out of the distances.
    calm = smooth_values(np.broadcast_to(eyes, translation.shape), np.ones(len(weights)), fps, strength * along_ray**2)
    rays = translation - calm
    distance = np.linalg.norm(rays, axis=1, keepdims=True)
    direction = smooth_values(rays / distance, weights, fps, strength)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * np.exp(smooth_values(np.log(distance), weights, fps, strength * along_ray)) + calm


def smooth_motion(motion: Motion, strength: float = 1.0) -> Motion:
    """The motion with its rotations and its path smoothed; strength 0 gives the motion as it came."""
    if strength <= 0:
        return motion
    seen = motion.confidence.mean(axis=1)
    offsets = motion.offsets
    if offsets is not None:
        flat = smooth_values(offsets.reshape(len(offsets), -1), seen, motion.fps, strength)
        offsets = flat.reshape(offsets.shape)
    return replace(
        motion,
        offsets=offsets,
        rotations=smooth_rotations(motion.rotations, motion.confidence, motion.fps, strength),
        translation=smooth_translation(motion.translation, seen, motion.fps, strength, eyes=motion.eyes),
    )
