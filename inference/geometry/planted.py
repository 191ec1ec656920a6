# SPDX-License-Identifier: GPL-3.0-or-later
"""When a point stands still on the ground, told by its speed and height. What is too short to be a step is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A sole point slower than this (m/s, under a body at rest) and lower than this over the ground (m) may be planted.
SPEED, HEIGHT = 0.35, 0.09
#: Contacts shorter than this (seconds) are none; log odds that a change between standing and moving costs at 25 fps.
SHORTEST, SWITCH = 0.12, 4.0
#: Seconds whose lowest points tell where the ground is.
AROUND = 4.0


def velocities(points: NDArray, fps: float) -> NDArray:
    """Velocity (T, 3) a second of a point (T, 3): the slope of a straight line through five frames, which jitter does
    not disturb."""
    half = min(2, (len(points) - 1) // 2)
    if not half:
        return np.zeros(points.shape)
    steps = np.arange(-half, half + 1)
    slopes = np.lib.stride_tricks.sliding_window_view(points, len(steps), axis=0) @ steps / (steps @ steps)
    # Of the first and last frames it is the line through the first and last five.
    return fps * np.pad(slopes, ((half, half), (0, 0)), mode="edge")


def odds(speed: NDArray, height: NDArray, root_speed: NDArray, fps: float) -> NDArray:
    """Log odds (T,) that a sole point of this speed (m/s) and height (m) stands still on the ground.

    root_speed : of the body that it belongs to.  fps : frames per second.
    """
    from scipy.ndimage import percentile_filter

    # A foot in the air overtakes the body: what is slow depends on how fast the body goes.
    slow = 4 * (1 - speed / (SPEED + 0.35 * np.minimum(root_speed, 2.0)))
    # The body may stand some percent too near or too far, and its feet then too high or too low: the ground under it
    # is where its lowest points are in the seconds around.
    around = round(AROUND * fps)
    lowest = percentile_filter(height, 10, around) if around < len(height) else np.percentile(height, 10)
    low = 4 * (1 - (height - lowest) / HEIGHT)
    return np.asarray(np.clip(slow, -4, 3) + np.clip(np.minimum(low, 0), -4, 0))


def intervals(odds: NDArray, fps: float) -> list[tuple[int, int]]:
    """Runs (start, stop) of the likeliest sequence of standing and moving (Viterbi) for log odds (T,) of standing."""
    change = SWITCH * np.sqrt(fps / 25)
    score, came_from = np.array([0.0, 0.0]), np.zeros((len(odds), 2), np.int8)
    for frame, value in enumerate(odds):
        stay, switch = score, score[::-1] - change
        came_from[frame] = switch > stay
        score = np.maximum(stay, switch) + np.array([0.0, value])
    state = int(score[1] > score[0])
    standing = np.zeros(len(odds) + 2, np.int8)
    for frame in range(len(odds) - 1, -1, -1):
        standing[frame + 1] = state
        state ^= int(came_from[frame, state])
    runs = np.flatnonzero(np.diff(standing)).reshape(-1, 2)
    return [(int(start), int(stop)) for start, stop in runs if stop - start >= max(2, SHORTEST * fps)]
