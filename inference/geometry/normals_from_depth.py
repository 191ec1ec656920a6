# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals that are geometry: from metric depth and the camera, or from the height of a surface relief.

In the picture of a pinhole camera the inverse depth of a plane is linear: with rays (x, y, 1) and the plane n . p = 1,
1/z = n . ray. So n = (dw/dx, dw/dy, w - x dw/dx - y dw/dy) for w = 1/z, exact for planes at any slant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..camera import Camera

#: Neighbours farther than this part of their depth from the tangent plane lie on another surface.
_SAME_SURFACE = 0.01
_FACING = (0.0, 0.0, -1.0)


def normals_from_depth(
    depth: NDArray[np.float32], valid: NDArray[np.bool_], camera: Camera, *, smoothing: int = 2
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Unit normals (H, W, 3) float32 in camera axes, towards the viewer, and where they are known (H, W) bool.

    depth : (H, W) metres along z.  valid : (H, W).
    smoothing : passes over the 3 x 3 neighbours of the same surface; edges stay sharp.
    No difference is taken across an edge of the depth. Where nothing is known the normal faces the viewer.
    """
    normals = np.empty((*depth.shape, 3), np.float32)
    normals[:] = _FACING
    known = np.zeros(depth.shape, bool)
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    if len(rows) == 0:
        return normals, known
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = valid[window]
    nearness = np.zeros(inside.shape, np.float32)
    np.divide(1.0, depth[window], out=nearness, where=inside)
    x = ((np.arange(depth.shape[1]) + 0.5 - camera.cx) / camera.fx).astype(np.float32)[window[1]]
    y = ((np.arange(depth.shape[0]) + 0.5 - camera.cy) / camera.fy).astype(np.float32)[window[0], None]
    across, has_across = _slope(nearness, inside)
    down, has_down = _slope(nearness.T, inside.T)
    plane = np.stack([across, down.T], -1)
    known[window] = has_across & has_down.T
    for _ in range(smoothing):
        plane = _smooth(plane, nearness, known[window])
    n = plane * np.array([camera.fx, camera.fy], np.float32)
    n = np.concatenate([n, (nearness - n[..., 0] * x - n[..., 1] * y)[..., None]], -1)
    n /= -np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    normals[window][known[window]] = n[known[window]]
    return normals, known


def normals_from_height(height: NDArray[np.float32], amplitude: float) -> NDArray[np.float32]:
    """Unit normals (H, W, 3) float32 of a surface seen from straight above.

    height : (H, W), 0..1, larger is nearer the viewer.  amplitude : pixels between heights 0 and 1.
    """
    normals = np.empty((*height.shape, 3), np.float32)
    normals[..., 1], normals[..., 0] = np.gradient(height * np.float32(-amplitude))
    normals[..., 2] = -1
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals


def normalise(normals: NDArray[np.float32]) -> None:
    """Make vectors (H, W, 3) unit vectors again after interpolation, in place; opposite ones face the viewer."""
    length = np.sqrt(np.einsum("...i,...i", normals, normals))
    normals[length < 1e-6] = (0, 0, -1)
    normals /= np.where(length < 1e-6, 1, length)[..., None]


def _slope(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Change from one column to the next at each pixel, and where it is known.

    On smooth ground it is the mean of the steps to both sides. Where one step is much the larger, it crosses an edge
    and hardly counts (weights as in ENO schemes: Liu, Osher and Chan 1994).
    """
    step = np.diff(values, axis=1)
    usable = valid[:, 1:] & valid[:, :-1]
    noise = (_SAME_SURFACE * 0.1 * values) ** 2
    total = np.zeros_like(values)
    weights = np.zeros_like(values)
    for here in (np.s_[:, :-1], np.s_[:, 1:]):
        weight = np.where(usable, 1 / np.maximum(noise[here] + step**2, 1e-30), 0) ** 2
        total[here] += weight * step
        weights[here] += weight
    known = weights > 0
    return np.divide(total, weights, out=total, where=known), known


def _smooth(plane: NDArray, nearness: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Binomial mean of the slopes (H, W, 2) over the 3 x 3 neighbours that lie on the pixel's tangent plane."""
    total = 4 * plane
    weights = np.full(nearness.shape, 4, np.float32)
    height, width = nearness.shape
    for row, column in [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]:
        here = np.s_[max(0, -row) : height - max(0, row), max(0, -column) : width - max(0, column)]
        there = np.s_[max(0, row) : height + min(0, row), max(0, column) : width + min(0, column)]
        expected = nearness[here] + column * plane[here][..., 0] + row * plane[here][..., 1]
        same = np.abs(nearness[there] - expected) < _SAME_SURFACE * nearness[here]
        weight = np.where(same & known[here] & known[there], (2 - abs(row)) * (2 - abs(column)), 0).astype(np.float32)
        total[here] += weight[..., None] * plane[there]
        weights[here] += weight
    return total / weights[..., None]
