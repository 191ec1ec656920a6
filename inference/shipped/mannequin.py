# SPDX-License-Identifier: GPL-3.0-or-later
"""The body that ships as a mannequin: a smooth figure without anatomical detail.

Joints, weights, topology and shape coefficients are the body's own. Chest, belly, hips and ears are replaced by the
smoothest surface that continues what is around them (least bending: squares of the Laplacian, with the cotangent
weights of Pinkall and Polthier 1993), the more freely the longer the features that are to go; the face's relief
is pressed towards a mask. Both are linear in the vertices, so shapes are treated like the surface.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..results import Body
from .body import load_body

#: Features of about so many metres go: where, and everywhere else none.
_CHEST, _BELLY, _HIPS, _EARS, _NONE = 0.11, 0.06, 0.035, 0.05, 0.004
#: How much of the face's relief goes.
_FACE = 0.72
_TRUNK = ("spine", "root", "pelvis", "clavicle", "shoulder01")
_ARMS = ("wrist", "finger", "lowerarm", "meta")


def body_named(name: str) -> Body:
    """The body that people are given: "mannequin" or "anatomical", with the joints and shapes of the fitted one."""
    return load_mannequin() if name == "mannequin" else load_body()


@cache
def load_mannequin() -> Body:
    """`load_body` as a mannequin; about half a second at the first call."""
    body = load_body()
    vertices = body.vertices.astype(np.float64)
    smooth = _Smoothing(vertices, body.faces, _lengths(body))
    # The surface and all its shapes at once: (V, 1 + S, 3).
    every = np.concatenate([body.vertices[None], body.shape_blend_shapes]).transpose(1, 0, 2).astype(np.float64)
    smoothed = smooth(every.reshape(len(vertices), -1)).reshape(every.shape)
    smoothed[..., 2] += _towards_mask(body, every[..., 2])
    surface, *shapes = smoothed.transpose(1, 0, 2).astype(np.float32)
    return replace(body, vertices=surface.copy(), shape_blend_shapes=np.stack(shapes))


def _bump(values: NDArray, low: float, high: float, soft: float) -> NDArray[np.float64]:
    """1 between low and high, 0 outside, over a ramp of `soft`."""
    return np.clip((values - low) / soft + 0.5, 0, 1) * np.clip((high - values) / soft + 0.5, 0, 1)


def _carried(body: Body, *names: str) -> NDArray[np.float64]:
    """(V,) share of the skin that joints with these beginnings carry."""
    return body.skin_weights[:, [name.startswith(names) for name in body.joint_names]].sum(1).astype(np.float64)


def _lengths(body: Body) -> NDArray[np.float64]:
    """(V,) metres: how long features are that go."""
    x, y, z = body.vertices.astype(np.float64).T
    trunk = np.clip(1.5 * _carried(body, *_TRUNK) - 0.3, 0, 1)
    front = trunk * _bump(z, -1, 0.02, 0.06)
    regions = (
        (_CHEST, front * _bump(y, -0.5, -0.2, 0.08)),
        (_BELLY, front * _bump(y, -0.26, 0.02, 0.06)),
        (_HIPS, _bump(y, -0.06, 0.14, 0.06) * _bump(abs(x), -1, 0.13, 0.05) * (_carried(body, *_ARMS) < 0.5)),
        (_EARS, _bump(y, -0.86, -0.66, 0.03) * _bump(abs(x), 0.064, 1, 0.014) * _carried(body, "head")),
    )
    logarithm = np.full(len(x), np.log(_NONE))
    for length, share in regions:
        logarithm = logarithm * (1 - share) + np.log(length) * share
    return np.exp(logarithm)


class _Smoothing:
    """Values (V, C) of a surface -> the same with least bending where features go, by one factorised matrix."""

    def __init__(self, vertices: NDArray, faces: NDArray, lengths: NDArray) -> None:
        from scipy.sparse import diags
        from scipy.sparse.linalg import splu

        laplacian, area = _laplacian(vertices, faces)
        free = lengths > 1.1 * _NONE
        self.free, self.fixed = np.flatnonzero(free), np.flatnonzero(~free)
        touched = np.flatnonzero(abs(laplacian[:, self.free]).sum(1))
        rows = diags(1 / area[touched]) @ laplacian[touched]
        own = rows[:, self.free]
        self.keep = area[self.free] / lengths[self.free] ** 4
        bending = own.T @ diags(area[touched])
        self.from_fixed = bending @ rows[:, self.fixed]
        self.solve = splu((bending @ own + diags(self.keep)).tocsc()).solve

    def __call__(self, values: NDArray) -> NDArray[np.float64]:
        smoothed = values.copy()
        right = self.keep[:, None] * values[self.free] - self.from_fixed @ values[self.fixed]
        smoothed[self.free] = self.solve(right)
        return smoothed


def _laplacian(vertices: NDArray, faces: NDArray):
    """Stiffness matrix (V, V) of cotangents, and the areas (V,) of the vertices."""
    from scipy.sparse import coo_matrix, diags

    count, area = len(vertices), np.zeros(len(vertices))
    first, second, weights = [], [], []
    for corner in range(3):
        i, j, apex = (faces[:, (corner + turn) % 3] for turn in range(3))
        a, b = vertices[i] - vertices[apex], vertices[j] - vertices[apex]
        doubled = np.linalg.norm(np.cross(a, b), axis=1)
        cotangent = np.clip((a * b).sum(1) / np.maximum(doubled, 1e-12), 0.02, 20) / 2
        first += [i, j]
        second += [j, i]
        weights += [cotangent, cotangent]
        np.add.at(area, i, doubled / 6)
    places = np.concatenate(first), np.concatenate(second)
    links = coo_matrix((np.concatenate(weights), places), shape=(count, count)).tocsr()
    return (diags(np.asarray(links.sum(1)).ravel()) - links).tocsr(), area


def _towards_mask(body: Body, depths: NDArray) -> NDArray[np.float64]:
    """(V, N) what presses the face's depths (V, N), with what lies in mouth and eyes, towards a mask."""
    vertices = body.vertices.astype(np.float64)
    x, y, z = vertices.T
    head = _carried(body, "head", "eye")
    corners = vertices[body.faces]
    across, normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, body.faces[:, corner], across)
    facing = normals[:, 2] < -0.25 * np.linalg.norm(normals, axis=1)
    skin = (_bump(y, -0.83, -0.63, 0.01) > 0) & (abs(x) < 0.066) & (z < -0.03) & facing & (head > 0.5)
    u, v = x / 0.06, (y + 0.73) / 0.08
    terms = np.stack([u**i * v**j for i in (0, 2, 4) for j in range(6 - i)], 1)
    near, mask = skin, z
    for _ in range(12):  # lids, nostrils and lips lie behind the mask and do not count
        mask = terms @ np.linalg.lstsq(terms[near], z[near], rcond=None)[0]
        near = skin & (z - mask < 0.004)
    share = _bump(y, -0.815, -0.675, 0.05) * _bump(abs(x), -1, 0.052, 0.04) * _bump(z, -1, -0.03, 0.06)
    share *= np.clip(2 * head - 0.5, 0, 1)
    masks = terms @ np.linalg.lstsq(terms[near], depths[near], rcond=None)[0]
    return (_FACE * share**2 * (3 - 2 * share))[:, None] * (masks - depths)
