# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion made easy to edit: fewer keys, ends that meet, smoothed ranges, tracks joined. Arrays of values a frame.

Values are (T, C): the C elements of one property (a place, a rotation in its own mode, a scale) at T whole frames.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..geometry.rotations import align_hemisphere, normalise


def continuous(values: NDArray, kind: str) -> NDArray[np.float64]:
    """The same values without jumps that mean nothing: quaternions in one hemisphere, Euler angles without whole
    circles. kind : "location", "scale", "rotation_quaternion", "rotation_euler" or "rotation_axis_angle"."""
    values = np.asarray(values, np.float64)
    if kind == "rotation_quaternion":
        return align_hemisphere(normalise(values))
    return np.unwrap(values, axis=0) if kind == "rotation_euler" else values


def slopes_of(values: NDArray) -> NDArray[np.float64]:
    """(T, C) change a frame, from both neighbours."""
    return np.gradient(values, axis=0) if len(values) > 1 else np.zeros_like(values)


def between_keys(values: NDArray, slopes: NDArray, keys: NDArray) -> NDArray[np.float64]:
    """(T, C) what a curve shows that has only these keys (K,), frame indices from first to last: cubic from key to key
    with the values' own slopes, as Blender's Bezier curves whose handles reach a third of the way."""
    frames = np.arange(len(values))
    after = np.clip(np.searchsorted(keys, frames, side="right"), 1, len(keys) - 1)
    start, end = keys[after - 1], keys[after]
    step = (end - start)[:, None].astype(np.float64)
    t = ((frames - start) / (end - start))[:, None]
    rise = t * t * (3 - 2 * t)
    shown = (1 - rise) * values[start] + rise * values[end]
    return shown + step * t * (1 - t) * ((1 - t) * slopes[start] - t * slopes[end])


def kept_keys(values: NDArray, error: Callable[[NDArray, NDArray], NDArray], tolerance: float) -> NDArray[np.int64]:
    """The frame indices (K,) at which keys suffice, so that the error stays within the tolerance in every frame.

    error : (shown (N, C), true (N, C)) -> (N,).  Each span is split where it errs most (Ramer, Douglas and Peucker).
    """
    last, slopes = len(values) - 1, slopes_of(values)
    if last < 1 or error(np.broadcast_to(values[0], values.shape), values).max() <= 1e-3 * tolerance:
        return np.zeros(1, np.int64)
    keys, spans = {0, last}, [(0, last)]
    while spans:
        start, end = spans.pop()
        if end - start < 2:
            continue
        span = slice(start, end + 1)
        # The ends' slopes are those of all values, not of the span alone.
        shown = between_keys(values[span], slopes[span], np.array([0, end - start]))
        off = error(shown[1:-1], values[span][1:-1])
        if off.max() > tolerance:
            worst = start + 1 + int(off.argmax())
            keys.add(worst)
            spans += [(start, worst), (worst, end)]
    return np.array(sorted(keys))


def joined_ends(values: NDArray, blend: int, kind: str, step: NDArray | None = None) -> NDArray[np.float64]:
    """A loop: over the last `blend` frames the values come to where they began, and go on as fast as they began.

    step : (C,) how far the end stays from the beginning, for a place that moves on from one round to the next.
    """
    values = continuous(values, kind)
    blend = min(max(blend, 1), len(values) - 1)
    goal, slopes = values[0], slopes_of(values)
    if kind == "rotation_quaternion" and goal @ values[-1] < 0:
        goal, slopes = -goal, np.concatenate([-slopes[:1], slopes[1:]])
    off = goal + (0 if step is None else step) - values[-1]
    if kind == "rotation_euler":
        off = (off + np.pi) % (2 * np.pi) - np.pi
    t = np.linspace(0, 1, blend + 1)[:, None]
    rise, bend = t * t * (3 - 2 * t), t * t * (t - 1)
    done = values.copy()
    done[-blend - 1 :] += rise * off + bend * blend * (slopes[0] - slopes[-1])
    return normalise(done) if kind == "rotation_quaternion" else done


def matching_ends(points: NDArray, shortest: int) -> tuple[int, int]:
    """First and last frame index of the part whose ends look and move most alike; the longer of equally good ones.

    points : (T, J, 3) without the way that the figure goes.  shortest : frames from end to end.
    """
    count, flat = len(points), points.reshape(len(points), -1)
    moved = np.gradient(flat, axis=0) if count > 1 else np.zeros_like(flat)
    alike = np.concatenate([flat, 2 * moved], axis=1)
    square = (alike**2).sum(1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * alike @ alike.T, 0) / points.shape[1])
    first, last = np.triu_indices(count, min(shortest, count - 1))
    typical = float(np.median(apart[first, last]))
    best = int((apart[first, last] - 0.05 * typical * (last - first) / count).argmin())
    return int(first[best]), int(last[best])


def smoothed(values: NDArray, width: float, kind: str) -> NDArray[np.float64]:
    """The values under a Gaussian of this standard deviation in frames; the first and the last stay."""
    values = continuous(values, kind)
    reach = max(1, round(3 * width))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(width, 1e-6)) ** 2)
    # Turned about the ends, so that what goes on steadily there is left as it is.
    turned = np.pad(values, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    soft = np.stack([np.convolve(column, weights / weights.sum(), "valid") for column in turned.T], axis=1)
    return normalise(soft) if kind == "rotation_quaternion" else soft


def eased(count: int, length: int) -> NDArray[np.float64]:
    """(count, 1) weights that rise from 0 to 1 over the first `length` frames, and fall to 0 over the last."""
    place = np.arange(count)
    t = np.clip(np.minimum(place, place[::-1]) / max(length, 1), 0, 1)
    return (t * t * (3 - 2 * t))[:, None]


def joined(
    first: tuple[int, NDArray], second: tuple[int, NDArray], kind: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Two ranges, (first frame, values), as one, with the values of every frame: what overlaps is faded from the
    earlier to the later, a gap is crossed in a straight line."""
    (start, early), (later, late) = sorted((first, second), key=lambda one: one[0])
    early, late = continuous(early, kind), continuous(late, kind)
    end = start + len(early) - 1
    place = min(max(later - start, 0), len(early) - 1)
    if kind == "rotation_quaternion" and early[place] @ late[0] < 0:
        late = -late
    if kind == "rotation_euler":
        late = late - 2 * np.pi * np.round((late[0] - early[place]) / (2 * np.pi))
    frames = np.arange(start, max(end, later + len(late) - 1) + 1)
    known = [np.arange(start, end + 1), np.arange(later, later + len(late))]
    held = [
        np.stack([np.interp(frames, times, column) for column in values.T], axis=1)
        for times, values in zip(known, (early, late), strict=True)
    ]
    low, high = min(end, later), max(end, later)
    t = np.clip((frames - low) / max(high - low, 1), 0, 1)[:, None]
    share = t if end < later else t * t * (3 - 2 * t)
    done = (1 - share) * held[0] + share * held[1]
    return frames, normalise(done) if kind == "rotation_quaternion" else done
