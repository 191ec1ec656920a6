# SPDX-License-Identifier: GPL-3.0-or-later
"""The z-buffer: which face of a mesh a pixel sees, and how far away it is.

A pixel is covered where its centre (column + 0.5, row + 0.5) lies in the projected triangle, edges included. The
triangles are cut into row spans and the spans into pixels, each step for many triangles at once.

Depth is exact for planes: 1/z, not z, is linear over the picture (Blinn, "Hyperbolic Interpolation", 1992).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..camera import Camera

#: Row spans, and pixels, that are worked on at once: bounds the memory however large the triangles are.
_BATCH = 1 << 19

#: Depth bits in the upper half, face index in the lower: the smallest key is the nearest face, ties to the first.
_EMPTY = np.iinfo(np.int64).max


def rasterise(
    vertices: NDArray, faces: NDArray, camera: Camera, *, cull: bool = False, near: float = 0.01
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Draw a triangle mesh into the camera's picture.

    Parameters
    ----------
    vertices : (V, 3) metres, camera axes.  faces : (F, 3) vertex indices.
    cull : leave out the faces seen from behind (those that run clockwise as seen from the camera).
    near : metres; what lies nearer than this plane is cut away.

    Returns depth (H, W) float32, metres along z, 0 where empty, and face_index (H, W) int32, -1 where empty.
    Where two faces are equally near, the first one is kept. Faces with a vertex that is not finite are left out.
    """
    depth = np.zeros((camera.height, camera.width), np.float32)
    face_index = np.full((camera.height, camera.width), -1, np.int32)
    corners = np.ascontiguousarray(np.asarray(faces).reshape(-1, 3).T)
    points, corners, face = _clip_near(np.asarray(vertices, np.float64), corners, near)
    triangles = _project(points, corners, face, camera, cull)
    if len(triangles.face) == 0:
        return depth, face_index
    window = _window(triangles, camera)
    keys = np.full((window.bottom - window.top, window.right - window.left), _EMPTY, np.int64)
    for first, last in _batches(triangles.bottom - triangles.top):
        _draw(triangles.part(slice(first, last)), window, keys)
    drawn = keys != _EMPTY
    inside = (slice(window.top, window.bottom), slice(window.left, window.right))
    depth[inside][drawn] = (keys[drawn] >> 32).astype(np.int32).view(np.float32)
    face_index[inside][drawn] = (keys[drawn] & 0xFFFFFFFF).astype(np.int32)
    return depth, face_index


@dataclass(frozen=True)
class _Window:
    """The pixel rectangle left <= column < right, top <= row < bottom."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class _Triangles:
    """N projected triangles, N being the last axis of every array.

    face : (N,) index of the mesh's face.
    slope, offset : (3, N): an edge runs through column slope * v + offset at height v; a horizontal one bounds no row,
        and its offset is infinite.  left_edge : (3, N) whether the triangle lies to the right of the edge.
    plane : (3, N): 1/z at (u0, v0), and its slopes along u and v.  origin : (2, N): u0, v0.
    limits : (2, N): least and greatest 1/z of the corners.
    top, bottom : (N,) first row with a pixel centre, and one past the last.  left, right : alike for columns.
    """

    face: NDArray[np.int64]
    slope: NDArray[np.float64]
    offset: NDArray[np.float64]
    left_edge: NDArray[np.bool_]
    plane: NDArray[np.float64]
    origin: NDArray[np.float64]
    limits: NDArray[np.float64]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    def part(self, which: slice) -> _Triangles:
        return _Triangles(**{name: value[..., which] for name, value in vars(self).items()})


def _clip_near(points: NDArray, corners: NDArray, near: float) -> tuple[NDArray, NDArray, NDArray]:
    """Cut triangles at z = near.

    points : (V, 3).  corners : (3, F) indices of points.
    Returns points and corners of what lies in front, and of each triangle the face (N,) that it is a part of.
    """
    finite = np.isfinite(points.sum(1))[corners]
    in_front = (points[:, 2] >= near)[corners]
    count = np.where(finite.all(0), in_front.sum(0), 0)
    whole = np.flatnonzero(count == 3)
    pieces, sources = [np.take(corners, whole, 1)], [whole]
    for kept in (1, 2):
        cut = np.flatnonzero(count == kept)
        if len(cut) == 0:
            continue
        # Turn each triangle so that the corner that differs from the other two comes first.
        odd = np.argmax(in_front[:, cut] == (kept == 1), 0)
        a, b, c = (corners[(odd + step) % 3, cut] for step in range(3))
        ab = np.arange(len(cut)) + len(points)
        ac = ab + len(cut)
        points = np.concatenate([points, _at_near(points[a], points[b], near), _at_near(points[a], points[c], near)])
        new = [(a, ab, ac)] if kept == 1 else [(ab, b, c), (ab, c, ac)]
        pieces += [np.stack(triangle) for triangle in new]
        sources += [cut] * len(new)
    return points, np.concatenate(pieces, 1), np.concatenate(sources)


def _at_near(a: NDArray, b: NDArray, near: float) -> NDArray:
    """Where the lines a-b (N, 3) meet z = near."""
    share = (near - a[:, 2:]) / (b[:, 2:] - a[:, 2:])
    point = a + share * (b - a)
    point[:, 2] = near
    return point


def _project(points: NDArray, corners: NDArray, face: NDArray, camera: Camera, cull: bool) -> _Triangles:
    """Set up the triangles that can cover a pixel centre of the picture."""
    with np.errstate(divide="ignore", invalid="ignore"):  # points behind the camera belong to no triangle here
        inverse = 1.0 / points[:, 2]
        u = _snap(points[:, 0] * inverse * camera.fx + camera.cx)[corners]
        v = _snap(points[:, 1] * inverse * camera.fy + camera.cy)[corners]
    area = (u[1] - u[0]) * (v[2] - v[0]) - (u[2] - u[0]) * (v[1] - v[0])
    left, right = _centres_between(u, camera.width)
    top, bottom = _centres_between(v, camera.height)
    seen = np.flatnonzero((right > left) & (bottom > top) & ((area < 0) if cull else (area != 0)))
    u, v, area, inverse = np.take(u, seen, 1), np.take(v, seen, 1), area[seen], inverse[np.take(corners, seen, 1)]
    slope, offset, left_edge = _edges(u, v, area)
    du, dv, dw = u[1:] - u[0], v[1:] - v[0], inverse[1:] - inverse[0]
    slope_u = (dw[0] * dv[1] - dw[1] * dv[0]) / area
    slope_v = (dw[1] * du[0] - dw[0] * du[1]) / area
    return _Triangles(
        face=face[seen],
        slope=slope,
        offset=offset,
        left_edge=left_edge,
        plane=np.stack([inverse[0], slope_u, slope_v]),
        origin=np.stack([u[0], v[0]]),
        limits=np.stack([inverse.min(0), inverse.max(0)]),
        top=top[seen],
        bottom=bottom[seen],
        left=left[seen],
        right=right[seen],
    )


def _edges(u: NDArray, v: NDArray, area: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Slope, offset and side of the three edges (3, N) of each triangle.

    Swapping the ends of an edge changes neither slope nor offset, to the last bit: neighbours leave no crack.
    """
    u1, v1 = np.roll(u, -1, 0), np.roll(v, -1, 0)
    rise = v1 - v
    left_edge = rise * area < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (u1 - u) / rise
        offset = (u * v1 - u1 * v) / rise
    flat = rise == 0
    slope[flat] = 0
    offset[flat] = np.inf
    return slope, offset, left_edge


def _snap(pixels: NDArray) -> NDArray:
    """Round to 2^-20 of a pixel, so that an edge meant to run through pixel centres does."""
    return np.round(pixels * 2.0**20) * 2.0**-20


def _centres_between(corners: NDArray, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel whose centre lies between the corners (3, N), and one past the last, within 0..size."""
    first = np.clip(np.ceil(corners.min(0) - 0.5), 0, size).astype(np.int64)
    stop = np.clip(np.floor(corners.max(0) - 0.5) + 1, 0, size).astype(np.int64)
    return first, stop


def _window(triangles: _Triangles, camera: Camera) -> _Window:
    """The part of the picture that the triangles can reach."""
    return _Window(
        int(triangles.left.min()),
        int(triangles.top.min()),
        int(min(triangles.right.max(), camera.width)),
        int(min(triangles.bottom.max(), camera.height)),
    )


def _draw(triangles: _Triangles, window: _Window, keys: NDArray[np.int64]) -> None:
    """Cut triangles into rows and rows into pixels, and keep the nearest key of each pixel."""
    owner, row = _expand(triangles.top, triangles.bottom - triangles.top)
    first, stop = _spans(triangles, owner, row)
    covered = stop > first
    owner, row, first, stop = owner[covered], row[covered], first[covered], stop[covered]
    value, slope_u, slope_v = (part[owner] for part in triangles.plane)
    # 1/z at the centre of the span's first pixel; along the row it grows by slope_u.
    u0, v0 = (part[owner] for part in triangles.origin)
    start = value + slope_v * (row + 0.5 - v0) + slope_u * (first + 0.5 - u0)
    low, high = (part[owner] for part in triangles.limits)
    address = (row - window.top) * keys.shape[1] + first - window.left
    face = triangles.face[owner]
    flat = keys.reshape(-1)
    for begin, end in _batches(stop - first):
        span, step = _expand(np.zeros(end - begin, np.int64), (stop - first)[begin:end])
        span += begin
        inverse = np.clip(start[span] + slope_u[span] * step, low[span], high[span])
        bits = (1.0 / inverse).astype(np.float32).view(np.int32).astype(np.int64)
        _keep_nearest(flat, address[span] + step, (bits << 32) | face[span])


def _spans(triangles: _Triangles, owner: NDArray, row: NDArray) -> tuple[NDArray, NDArray]:
    """First covered column of each triangle's row and one past its last."""
    low, high = triangles.left[owner] + 0.5, triangles.right[owner] - 0.5
    for slope, offset, left_edge in zip(triangles.slope, triangles.offset, triangles.left_edge, strict=True):
        crossing = slope[owner] * (row + 0.5) + offset[owner]
        bounds_left = left_edge[owner]
        np.maximum(low, crossing, out=low, where=bounds_left)
        np.minimum(high, crossing, out=high, where=~bounds_left)
    return np.ceil(low - 0.5).astype(np.int64), np.floor(high - 0.5).astype(np.int64) + 1


def _keep_nearest(flat: NDArray[np.int64], address: NDArray, key: NDArray) -> None:
    """flat[address] = min(flat[address], key), for addresses that may repeat.

    Each round writes all keys that would improve their pixel; of several, an arbitrary one stays, and those that
    would still improve it try again. There are about as many rounds as the logarithm of the layers.
    """
    while len(key):
        better = key < flat[address]
        address, key = address[better], key[better]
        flat[address] = key


def _expand(start: NDArray, count: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each i the numbers start[i] ... start[i] + count[i] - 1: returns (i of each, the numbers)."""
    owner = np.repeat(np.arange(len(count)), count)
    before = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - (before - start)[owner]


def _batches(count: NDArray) -> Iterator[tuple[int, int]]:
    """Cut 0..len(count) into runs whose counts add up to about `_BATCH` (one item may be more)."""
    total = np.cumsum(count)
    first = 0
    while first < len(count):
        done = total[first - 1] if first else 0
        last = max(int(np.searchsorted(total, done + _BATCH, side="right")), first + 1)
        yield first, last
        first = last
