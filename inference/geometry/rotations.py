# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations in numpy: unit quaternions (..., 4) (w, x, y, z), matrices (..., 3, 3) and rotation vectors (..., 3).

scipy turns one into the other, in the type that was given. It is imported when it is first needed: Blender reads this
module before anybody asks for a rotation. The solvers' own are in `rotations_torch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.spatial.transform import Rotation

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def rotation_matrices(quaternions: NDArray) -> NDArray:
    """Quaternions (..., 4) of any length but 0 -> matrices (..., 3, 3)."""
    return _shaped(_scipy().from_quat(_flat(quaternions), scalar_first=True).as_matrix(), quaternions)


def quaternions_of(matrices: NDArray) -> NDArray:
    """Matrices (..., 3, 3) -> unit quaternions (..., 4), w >= 0; NaN where a matrix is not finite."""
    flat = np.asarray(matrices).reshape(-1, 3, 3)
    finite = np.isfinite(flat).all((1, 2))
    quaternions = np.full((len(flat), 4), np.nan)
    quaternions[finite] = _scipy().from_matrix(flat[finite]).as_quat(canonical=True, scalar_first=True)
    return _shaped(quaternions, matrices[..., 0])


def from_rotation_vector(vectors: NDArray) -> NDArray:
    """Rotation vectors (..., 3), radians along the axis -> unit quaternions (..., 4)."""
    return _shaped(_scipy().from_rotvec(_flat(vectors)).as_quat(scalar_first=True), vectors)


def to_rotation_vector(quaternions: NDArray) -> NDArray:
    """Quaternions (..., 4) -> rotation vectors (..., 3) of at most half a turn."""
    return _shaped(_scipy().from_quat(_flat(quaternions), scalar_first=True).as_rotvec(), quaternions)


def _scipy() -> type[Rotation]:
    from scipy.spatial.transform import Rotation

    return Rotation


def _flat(vectors: NDArray) -> NDArray:
    """(..., C) -> (N, C)."""
    return np.reshape(vectors, (-1, np.shape(vectors)[-1]))


def _shaped(values: NDArray, given: NDArray) -> NDArray:
    """Values (N, ...) with the leading dimensions and the type of the vectors (..., C) that they were made of."""
    given = np.asarray(given)
    return values.reshape(*given.shape[:-1], *values.shape[1:]).astype(given.dtype, copy=False)


def normalise(quaternions: NDArray) -> NDArray:
    """The same quaternions at length 1; a zero becomes the identity."""
    length = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    return np.where(length > 1e-12, quaternions / np.maximum(length, 1e-12), IDENTITY.astype(quaternions.dtype))


def conjugate(quaternions: NDArray) -> NDArray:
    """The inverse rotations."""
    return quaternions * np.array([1, -1, -1, -1], quaternions.dtype)


def multiply(first: NDArray, second: NDArray) -> NDArray:
    """The rotations `second`, then `first` (as with matrices: first @ second)."""
    w, v = first[..., :1], first[..., 1:]
    s, u = second[..., :1], second[..., 1:]
    real = w * s - (v * u).sum(-1, keepdims=True)
    return np.concatenate([real, w * u + s * v + np.cross(v, u)], axis=-1)


def rotate(quaternions: NDArray, vectors: NDArray) -> NDArray:
    """Vectors (..., 3) turned by the quaternions (..., 4)."""
    w, v = quaternions[..., :1], quaternions[..., 1:]
    twice = 2 * np.cross(v, vectors)
    return vectors + w * twice + np.cross(v, twice)


def align_hemisphere(quaternions: NDArray) -> NDArray:
    """Signs chosen along axis 0 so that neighbours lie in one hemisphere (q and -q are the same rotation).

    quaternions : (T, ..., 4).
    """
    dots = (quaternions[1:] * quaternions[:-1]).sum(-1)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0)
    aligned = quaternions.copy()
    aligned[1:] *= signs[..., None].astype(quaternions.dtype)
    return aligned


def between(start: NDArray, end: NDArray) -> NDArray:
    """The shortest rotations that turn the vectors `start` (..., 3) into the directions of `end`."""
    start = start / np.maximum(np.linalg.norm(start, axis=-1, keepdims=True), 1e-12)
    end = end / np.maximum(np.linalg.norm(end, axis=-1, keepdims=True), 1e-12)
    real = 1 + (start * end).sum(-1, keepdims=True)
    # Opposite directions leave the axis open: any perpendicular one turns by half a turn.
    other = np.where(np.abs(start[..., :1]) < 0.9, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    imaginary = np.where(real < 1e-8, np.cross(start, other), np.cross(start, end))
    return normalise(np.concatenate([np.maximum(real, 0), imaginary], axis=-1))


def angle_between(first: NDArray, second: NDArray) -> NDArray:
    """The angle (...) in radians between two rotations, 0..pi."""
    dot = np.abs((first * second).sum(-1)).clip(0, 1)
    return 2 * np.arccos(dot)


def slerp(start: NDArray, end: NDArray, amount: NDArray | float) -> NDArray:
    """The rotations `amount` (..., 0..1) of the shortest way from `start` to `end` (Shoemake 1985)."""
    step = to_rotation_vector(multiply(end, conjugate(start)))
    return multiply(from_rotation_vector(step * np.asarray(amount)[..., None]), start)


def mean(quaternions: NDArray, weights: NDArray) -> NDArray:
    """Weighted chordal mean over axis 0 of quaternions (T, 4) with weights (T,) (Markley et al. 2007)."""
    scatter = np.einsum("t,ti,tj->ij", weights, quaternions, quaternions)
    return np.linalg.eigh(scatter)[1][:, -1]
