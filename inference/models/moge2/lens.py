# SPDX-License-Identifier: GPL-3.0-or-later
"""The lens, and how far the points of MoGe-2 lie in front of it: its points lack a shift along the view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

#: Rows and columns of points that are looked at.
_SAMPLES = 64
#: Of the least-squares solver, relative: what the published results were made with.
_TOLERANCE = 1e-3
#: Least part of the nearest depth that stays in front of the camera.
_FRONT = 1e-2


def places(height: int, width: int) -> NDArray[np.float32]:
    """(H, W, 2): of each pixel's centre, to the right and down from the middle, in half diagonals of the photo."""
    half = 0.5 * float(np.hypot(height, width))
    x, y = np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2
    return np.stack(np.meshgrid(x / half, y / half), -1).astype(np.float32)


def solve(points: NDArray[np.float32], valid: NDArray[np.bool_], focal: float | None = None) -> tuple[float, float]:
    """Focal length in half diagonals, and the shift of z in the points' unit, that make points project to their pixels.

    points : (H, W, 3).  valid : (H, W).  focal : where the lens is known; only the shift is sought then.
    Fewer than two valid samples: (focal or 1, 0).
    """
    rows = np.arange(_SAMPLES) * points.shape[0] // _SAMPLES
    columns = np.arange(_SAMPLES) * points.shape[1] // _SAMPLES
    sample = np.ix_(rows, columns)
    seen = valid[sample]
    xyz, wanted = points[sample][seen].astype(np.float64), places(*valid.shape)[sample][seen].astype(np.float64)
    if len(xyz) < 2:
        return focal or 1.0, 0.0

    def projected(shift: float) -> NDArray[np.float64]:
        return xyz[:, :2] / (xyz[:, 2:] + shift)

    def lens(flat: NDArray[np.float64]) -> float:
        return focal or float((flat * wanted).sum() / (flat * flat).sum())

    def errors(shift: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = projected(float(shift[0]))
        return (lens(flat) * flat - wanted).ravel()

    nearest = float(xyz[:, 2].min())
    shift = float(least_squares(errors, [0.0], method="lm", ftol=_TOLERANCE).x[0])
    if nearest + shift <= 0:  # the solver stepped over the nearest point, beyond which there is another minimum
        least = _FRONT * abs(nearest) - nearest
        start = max(0.0, least + _FRONT)
        shift = float(least_squares(errors, [start], bounds=(least, np.inf), ftol=_TOLERANCE).x[0])
    return lens(projected(shift)), shift
