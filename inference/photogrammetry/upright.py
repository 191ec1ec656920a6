# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way is up in a place that photos were taken of, and where its floor is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera, level_world
from ..errors import NothingFound
from ..geometry.vanishing import found as lines_of
from ..photo import load_photo

#: Photos whose straight edges are looked at, and cosine up to which what they say of the way up is one answer.
_LOOKED, _AGREE = 6, math.cos(math.radians(5.0))
#: Weight of "photos are upright" against "photos are level", which a single direction of view leaves open.
_UPRIGHT = 0.005
#: Radians by which a floor may lean from the first guess of up, how thick it is as a share of the cameras' distance
#: from the points, least share of the points on it, and most of them below it.
_LEAN, _THICK, _LEAST, _BELOW = math.radians(20.0), 0.01, 0.08, 0.05
_DRAWS = 2000


def way_up(poses: NDArray[np.float64], files: Sequence[Path], cameras: Sequence[Camera]) -> NDArray[np.float64]:
    """The way up (3,) in the axes of `poses` (N, 4, 4): by straight edges where several photos agree, else as people
    hold cameras, level and upright."""
    across, down = poses[:, :3, 0], poses[:, :3, 1]
    held = np.linalg.eigh(across.T @ across - _UPRIGHT * down.T @ down)[1][:, 0]
    held = held if held @ -down.sum(0) > 0 else -held
    told = []
    for number in np.unique(np.linspace(0, len(poses) - 1, _LOOKED).round().astype(int)):
        try:
            up = lines_of(load_photo(files[number]).pixels).camera.up
        except NothingFound:
            continue
        if up is not None:
            told.append(poses[number, :3, :3] @ up)
    if len(told) < 2:
        return held
    middle = np.sum(told, axis=0)
    middle /= np.linalg.norm(middle)
    return middle if np.median(np.array(told) @ middle) > _AGREE else held


def floor_under(
    points: NDArray[np.float64], centres: NDArray[np.float64], up: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float] | None:
    """The plane under the cameras (normal, height along it) that most points lie on, and next to none below; None
    where there is none."""
    if len(points) < 50:
        return None
    thick = _THICK * float(np.median(np.linalg.norm(points - centres.mean(0), axis=1)))
    random = np.random.default_rng(0)
    some = points[random.choice(len(points), min(len(points), 3000), replace=False)]
    corners = some[random.integers(0, len(some), (_DRAWS, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(normals, axis=1)
    normals = np.divide(normals, size[:, None], out=np.zeros_like(normals), where=size[:, None] > 0)
    normals *= np.sign(normals @ up)[:, None]
    heights = np.einsum("ij,ij->i", normals, corners[:, 0])
    fits = (normals @ up > math.cos(_LEAN)) & ((normals @ centres.T).min(1) > heights + thick)
    normals, heights = normals[fits], heights[fits]
    if not len(normals):
        return None
    above = some @ normals.T - heights
    count = (np.abs(above) < thick).sum(0)
    count[(above < -3 * thick).sum(0) > _BELOW * len(some)] = 0
    best = int(count.argmax())
    if count[best] < _LEAST * len(some):
        return None
    normal, height = normals[best], heights[best]
    for _ in range(4):
        on = np.abs(points @ normal - height) < thick
        middle = points[on].mean(0)
        sharper = np.linalg.svd(points[on] - middle, full_matrices=False)[2][-1]
        normal = sharper if sharper @ normal > 0 else -sharper
        height = float(normal @ middle)
    return normal, height


def world(
    first: NDArray[np.float64], up: NDArray[np.float64], below: float | None, metres: float, held: float
) -> NDArray[np.float64]:
    """The similarity (4, 4) to metres with z up, the first camera above the origin.

    first : (4, 4) its pose.  below : height of the floor along `up`; None stands the camera `held` metres high.
    """
    height = held if below is None else metres * float(first[:3, 3] @ up - below)
    level = level_world(first[:3, :3].T @ up, height)
    level[:3, :3] = metres * level[:3, :3] @ first[:3, :3].T
    level[:3, 3] -= level[:3, :3] @ first[:3, 3]
    return level
