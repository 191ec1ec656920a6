# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation matrices and vectors in torch, for the solvers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

# ---------------------------------------------------------------- rotations


def exponential(vectors: Tensor) -> Tensor:
    """Rotation vectors (..., 3) -> matrices (..., 3, 3) (Rodrigues)."""
    angle = vectors.norm(dim=-1)[..., None, None]
    cross = skew(vectors)
    small = angle < 1e-4
    safe = torch.where(small, torch.ones_like(angle), angle)
    first = torch.where(small, 1 - angle**2 / 6, safe.sin() / safe)
    second = torch.where(small, 0.5 - angle**2 / 24, (1 - safe.cos()) / safe**2)
    return torch.eye(3, dtype=vectors.dtype) + first * cross + second * (cross @ cross)


def logarithm(matrices: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) -> rotation vectors (..., 3) of angle 0..pi, by way of the unit quaternion."""
    m = matrices
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    axis = torch.stack([m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1)
    products = torch.cat(
        [
            torch.cat([(1 + trace)[..., None, None], axis[..., None, :]], -1),
            torch.cat(
                [
                    axis[..., :, None],
                    m + m.transpose(-1, -2) + (1 - trace)[..., None, None] * torch.eye(3, dtype=m.dtype),
                ],
                -1,
            ),
        ],
        -2,
    )
    best = torch.diagonal(products, dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    quaternion = products.gather(-2, best.expand(*best.shape[:-1], 4))[..., 0, :]
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    half = quaternion[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(half, quaternion[..., :1])
    return torch.where(half < 1e-8, 2 * quaternion[..., 1:], quaternion[..., 1:] * (angle / half.clamp(min=1e-12)))


def skew(vectors: Tensor) -> Tensor:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3)."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape, 3)


def inverse_right_jacobian(vectors: Tensor) -> Tensor:
    """d log(exp(v) exp(e)) / d e at e = 0, (..., 3, 3) for rotation vectors (..., 3) (Sola et al. 2018, eq. 144)."""
    angle = vectors.norm(dim=-1)[..., None, None]
    cross = skew(vectors)
    safe = angle.clamp(min=1e-4)
    factor = torch.where(
        angle < 1e-3, torch.full_like(angle, 1 / 12), 1 / safe**2 - (1 + safe.cos()) / (2 * safe * safe.sin())
    )
    return torch.eye(3, dtype=vectors.dtype) + 0.5 * cross + factor * (cross @ cross)


def orthonormal(turns: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) float32 from six numbers (..., 6), their first two columns one after the other.

    Gram and Schmidt (Zhou et al., "On the Continuity of Rotation Representations", 2019, section 4).
    """
    first, second = turns.float().unflatten(-1, (2, 3)).unbind(-2)
    x = normalize(first, dim=-1)
    y = normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)
