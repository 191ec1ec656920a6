# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances between recovered and true people. Joints are (K, 3) metres in camera axes, in the order of
`record.BODY_JOINTS` where hips and trunk are looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .record import BODY_JOINTS

if TYPE_CHECKING:
    from maquette.inference.camera import Camera
    from numpy.typing import NDArray

LEFT_HIP, RIGHT_HIP = BODY_JOINTS.index("upperleg01.L"), BODY_JOINTS.index("upperleg01.R")
LEFT_SHOULDER, RIGHT_SHOULDER = BODY_JOINTS.index("upperarm01.L"), BODY_JOINTS.index("upperarm01.R")
NECK = BODY_JOINTS.index("neck01")

#: Two boxes are of the same person where they overlap by more than this (intersection over union).
SAME_PERSON = 0.3


def root_aligned_errors(mine: NDArray, true: NDArray) -> NDArray[np.float64]:
    """(K,) metres after the middle of the hips was moved onto the true one."""
    middle = [LEFT_HIP, RIGHT_HIP]
    return np.linalg.norm((mine - mine[middle].mean(0)) - (true - true[middle].mean(0)), axis=1)


def similarity_errors(mine: NDArray, true: NDArray) -> NDArray[np.float64]:
    """(K,) metres after the turn, move and scale that bring `mine` nearest to `true` (Umeyama 1991)."""
    centre_mine, centre_true = mine.mean(0), true.mean(0)
    a, b = mine - centre_mine, true - centre_true
    u, singular, vt = np.linalg.svd(b.T @ a)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * mirror) @ vt
    scale = (singular * mirror).sum() / max((a**2).sum(), 1e-12)
    return np.linalg.norm(scale * a @ turn.T - b, axis=1)


def facing_error(mine: NDArray, true: NDArray) -> float:
    """Degrees between the directions that two trunks face."""
    a, b = _facing(mine), _facing(true)
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def _facing(joints: NDArray) -> NDArray[np.float64]:
    left = (joints[LEFT_HIP] - joints[RIGHT_HIP]) + (joints[LEFT_SHOULDER] - joints[RIGHT_SHOULDER])
    up = joints[NECK] - 0.5 * (joints[LEFT_HIP] + joints[RIGHT_HIP])
    forward = np.cross(left, up)
    return forward / np.linalg.norm(forward)


def joint_box(pixels: NDArray, camera: Camera) -> NDArray[np.float64]:
    """(x0, y0, x1, y1) around points (K, 2), cut at the picture's edges."""
    low = np.clip(pixels.min(0), 0, [camera.width, camera.height])
    high = np.clip(pixels.max(0), 0, [camera.width, camera.height])
    return np.concatenate([low, high])


def overlap(a: NDArray, b: NDArray) -> float:
    """Intersection over union of two boxes."""
    size = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = float(size.prod())
    total = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared
    return shared / total if total > 0 else 0.0


def best_pairs(mine: NDArray, true: NDArray) -> list[tuple[int, int]]:
    """Boxes (N, 4) and (M, 4) -> the pairs of indices with the greatest total overlap, each above `SAME_PERSON`."""
    from scipy.optimize import linear_sum_assignment

    if len(mine) == 0:
        return []
    shared = np.array([[overlap(a, b) for b in true] for a in mine])
    rows, columns = linear_sum_assignment(-shared)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if shared[r, c] > SAME_PERSON]


def speed_of_planted_feet(ankles: NDArray, flat: NDArray, fps: float, *, along_ray: bool) -> float:
    """Mean m/s of ankles (P, T, 2, 3) from one frame to the next while the foot stands flat (P, T, 2) in both.

    along_ray=False leaves out the motion along the line of sight, which one camera hardly sees.
    """
    step = np.diff(ankles, axis=1)
    if not along_ray:
        ray = ankles[:, :-1] / np.linalg.norm(ankles[:, :-1], axis=-1, keepdims=True)
        step = step - (step * ray).sum(-1, keepdims=True) * ray
    speed = np.linalg.norm(step, axis=-1) * fps
    return float(np.nanmean(speed[flat[:, :-1] & flat[:, 1:]]))
