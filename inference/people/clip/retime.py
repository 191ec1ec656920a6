# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip at another frame rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from ...geometry.rotations import slerp
from ...results import People, Person
from ...runtime.run import Run
from .measured import Measured


def filmed(measured: Measured, options: Mapping[str, Any]) -> Measured:
    """What was measured of a clip, at the rate it was filmed at."""
    return replace(measured, fps=options["capture_fps"] or measured.fps)


def as_filmed(solve: Callable[..., People]) -> Callable[..., People]:
    """A function (measured, run, ..., options) that solves a clip, at the rate it was filmed at: slow motion is no calm
    motion. What it gives plays at the clip's own rate."""

    @wraps(solve)
    def solved(measured: Measured, run: Run, *more: Any) -> People:
        people = solve(filmed(measured, more[-1]), run, *more)
        return replace(people, fps=measured.fps, measured=measured)

    return solved


def at_rate(people: People, fps: float) -> People:
    """The same motion in the same time, `fps` frames a second: poses between two frames are interpolated (rotations
    along the shortest arc, places and surfaces in straight lines). Cameras and masks are those of the nearest frame."""
    assert people.fps is not None
    step = people.fps / fps
    times = np.arange(int((len(people.frames) - 1) / step + 1e-6) + 1) * step
    by_track = [{person.track_id: person for person in frame} for frame in people.frames]
    frames, nearest = [], np.rint(times).astype(int)
    for time in times:
        before, after = int(time + 1e-9), min(int(np.ceil(time - 1e-9)), len(people.frames) - 1)
        both = [(one, by_track[after][track]) for track, one in by_track[before].items() if track in by_track[after]]
        frames.append(tuple(_between(one, other, time - before) for one, other in both))
    return replace(people, frames=tuple(frames), cameras=tuple(people.cameras[index] for index in nearest), fps=fps)


def _between(one: Person, other: Person, share: float) -> Person:
    """A person (1 - share) of the way from `other` back to `one`."""
    blended = {
        name: (getattr(one, name) * (1 - share) + getattr(other, name) * share).astype(np.float32)
        for name in ("vertices", "joints", "keypoints_2d", "shape", "translation", "confidence")
    }
    for name in ("offsets", "correctives"):
        first, second = getattr(one, name), getattr(other, name)
        if first is not None or second is not None:
            first, second = (np.zeros(1, np.float32) if part is None else part for part in (first, second))
            blended[name] = (first * (1 - share) + second * share).astype(np.float32)
    rotations = slerp(one.rotations.astype(np.float64), other.rotations.astype(np.float64), np.full(1, share))
    return replace(one if share < 0.5 else other, rotations=rotations.astype(np.float32), **blended)
