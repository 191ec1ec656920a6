# SPDX-License-Identifier: GPL-3.0-or-later
"""A depth map as a mesh: one vertex a pixel (or fewer), unprojected by the camera and torn at depth edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import DepthMap

#: Height of a relief where nothing else is asked for, as a part of its width.
RELIEF_HEIGHT = 0.05


@dataclass(frozen=True)
class Samples:
    """Pixels of a photo taken as a grid of R x C vertices.

    rows (R,), columns (C,) : pixel indices.  corners : (R - 1, C - 1, 4) vertex indices of each cell, counter-clockwise
    seen by the viewer, from the upper left corner.  uvs : (R, C, 2), v up.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def of(cls, height: int, width: int, resolution: int | None) -> Samples:
        """`resolution` vertices along the long side, at most one a pixel."""
        share = min(1.0, (resolution or max(height, width)) / max(height, width))
        counts = [max(2, math.floor(side * share + 0.5)) for side in (height, width)]
        rows, columns = (
            ((np.arange(count) + 0.5) * side / count).astype(np.int64)
            for count, side in zip(counts, (height, width), strict=True)
        )
        return cls(rows, columns)

    def take(self, array: NDArray) -> NDArray:
        """The samples (R, C, ...) of an array (H, W, ...): single pixels, never mixed across an edge."""
        if len(self.rows) == len(array) and len(self.columns) == array.shape[1]:
            return array
        return array[self.rows[:, None], self.columns]

    def corners(self) -> NDArray[np.int32]:
        count = len(self.columns)
        first = np.arange(len(self.rows) - 1, dtype=np.int32)[:, None] * count + np.arange(count - 1, dtype=np.int32)
        return np.stack([first, first + count, first + count + 1, first + 1], axis=-1)

    def uvs(self, height: int, width: int) -> NDArray[np.float32]:
        uvs = np.empty((len(self.rows), len(self.columns), 2), np.float32)
        uvs[..., 0] = (self.columns + 0.5) / width
        uvs[..., 1] = (1 - (self.rows + 0.5) / height)[:, None]
        return uvs


@dataclass(frozen=True)
class Edges:
    """The edges of a quad mesh: vertices (E, 2) int32; of_corners (F, 4) int32, the edge from each face corner to the
    next."""

    vertices: NDArray[np.int32]
    of_corners: NDArray[np.int32]


@dataclass(frozen=True)
class Surface:
    """A quad mesh of a grid of pixels.

    vertices : (V, 3) float32.  quads : (F, 4) int32, counter-clockwise seen by the viewer.
    uvs : (V, 2) float32 on the photo, v up.  pixels : (V,) index of each vertex's pixel in the flattened photo.
    cells : (R - 1, C - 1) bool, which cells of the grid have a face, in the order of the faces.
    """

    vertices: NDArray[np.float32]
    quads: NDArray[np.int32]
    uvs: NDArray[np.float32]
    pixels: NDArray[np.int64]
    cells: NDArray[np.bool_]

    def edges(self) -> Edges:
        """What a mesh needs beside the faces; a grid's edges are known without looking for them."""
        rows, columns = self.cells.shape
        used = np.zeros((rows + 1, columns + 1), bool)
        across, down = np.zeros((rows + 1, columns), bool), np.zeros((rows, columns + 1), bool)
        for half in (slice(None, -1), slice(1, None)):
            across[half] |= self.cells
            down[:, half] |= self.cells
        used[:, :-1] |= across
        used[:, 1:] |= across
        number = _numbered(used)
        first = [number[:, :-1][across], number[:-1][down]]
        second = [number[:, 1:][across], number[1:][down]]
        across_number, down_number = _numbered(across), _numbered(down) + np.int32(len(first[0]))
        sides = (down_number[:, :-1], across_number[1:], down_number[:, 1:], across_number[:-1])
        of_corners = np.stack([side[self.cells] for side in sides], axis=-1)
        return Edges(np.stack([np.concatenate(first), np.concatenate(second)], axis=-1), of_corners)


def unprojected(
    depth_map: DepthMap,
    *,
    resolution: int | None = 1024,
    tear: float = 0.04,
    grazing: float = 87.0,
    max_distance: float = 0.0,
    specks: int = 0,
) -> Surface:
    """The surface that a metric depth map sees, in metres and camera axes. It has no face where nothing is valid.

    resolution : vertices along the long side; None for one a pixel.
    tear : a face is left out where neighbouring depths differ by more than this part and neither continues the surface
        on its side; a floor that runs away from the viewer is not torn.
    grazing : a face is left out where it is seen at more than this many degrees from its normal.
    max_distance : metres along the view beyond which there is no surface; 0 for no limit.
    specks : pieces of fewer faces than this are left out.
    """
    height, width = depth_map.depth.shape
    samples = Samples.of(height, width, resolution)
    depth = np.where(samples.take(_within(depth_map, max_distance)), samples.take(depth_map.depth), 0)
    depth = depth.astype(np.float32, copy=False)
    u = ((samples.columns + 0.5 - depth_map.camera.cx) / depth_map.camera.fx).astype(np.float32)
    v = ((samples.rows + 0.5 - depth_map.camera.cy) / depth_map.camera.fy).astype(np.float32)
    points = np.stack(np.broadcast_arrays(u, v[:, None], np.float32(1)), axis=-1) * depth[..., None]
    kept = without_specks(_faces_kept(depth, tear) & ~_grazing_faces(points, u, v, grazing), specks)
    return _surface(samples, points, kept, height, width)


def lifted(depth_map: DepthMap, amplitude: float, *, resolution: int | None = 1024) -> Surface:
    """A surface relief (heights 0..1) as a plate 1 wide, camera axes, lifted to the viewer by height x amplitude."""
    height, width = depth_map.depth.shape
    samples = Samples.of(height, width, resolution)
    x = ((samples.columns + 0.5) / width - 0.5).astype(np.float32)
    y = ((samples.rows + 0.5 - height / 2) / width).astype(np.float32)[:, None]
    z = samples.take(depth_map.depth) * np.float32(-amplitude)
    points = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
    return _surface(samples, points, np.ones((len(samples.rows) - 1, len(samples.columns) - 1), bool), height, width)


def at_rest(
    depth_map: DepthMap, *, resolution: int | None = 512, width: float = 2.0, max_distance: float = 0.0
) -> Surface:
    """A flat grid of the photo's shape to displace along z, in its own axes; no face touches invalid pixels.

    Metric depth: the frame of the view at the median depth, y down.  Heights: `width` metres wide around the origin,
    the picture's top towards +y.  resolution, max_distance : as for `unprojected`.
    """
    height, across = depth_map.depth.shape
    samples = Samples.of(height, across, resolution)
    valid = samples.take(_within(depth_map, max_distance))
    points = np.zeros((*valid.shape, 3), np.float32)
    if depth_map.metric:
        intrinsics, seen = depth_map.camera, samples.take(depth_map.depth)[valid]
        median = float(np.median(seen)) if seen.size else 1.0
        points[..., 0] = (samples.columns + 0.5 - intrinsics.cx) / intrinsics.fx * median
        points[..., 1] = ((samples.rows + 0.5 - intrinsics.cy) / intrinsics.fy * median)[:, None]
    else:
        points[..., 0] = ((samples.columns + 0.5) / across - 0.5) * width
        points[..., 1] = (0.5 - (samples.rows + 0.5) / height)[:, None] * width * height / across
    kept = valid[:-1, :-1] & valid[1:, :-1] & valid[1:, 1:] & valid[:-1, 1:]
    return _surface(samples, points, kept, height, across)


def without_specks(kept: NDArray[np.bool_], smallest: int) -> NDArray[np.bool_]:
    """The cells (R, C) of a grid that belong to pieces of at least `smallest` cells; cells that share a corner belong
    together, as faces that share a vertex do."""
    if smallest < 2:
        return kept
    from scipy import ndimage

    labelled: Any = ndimage.label(kept, np.ones((3, 3), bool))
    pieces = labelled[0]
    large = np.bincount(pieces.ravel()) >= smallest
    large[0] = False
    return large[pieces]


def _within(depth_map: DepthMap, max_distance: float) -> NDArray[np.bool_]:
    """(H, W): valid, and no farther than the limit where metres have one."""
    if not (depth_map.metric and max_distance > 0):
        return depth_map.valid
    return depth_map.valid & (depth_map.depth <= max_distance)


def _surface(samples: Samples, points: NDArray, kept: NDArray[np.bool_], height: int, width: int) -> Surface:
    used, quads = compact(samples.corners()[kept], points[..., 0].size)
    pixels = (samples.rows[:, None] * width + samples.columns).ravel()[used]
    uvs = samples.uvs(height, width).reshape(-1, 2)[used]
    return Surface(points.reshape(-1, 3)[used], quads, uvs, pixels, kept)


def compact(faces: NDArray[np.int32], count: int) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which of `count` vertices the faces use (count,), and the faces numbered by those alone."""
    used = np.zeros(count, bool)
    used[faces.ravel()] = True
    return used, _numbered(used)[faces]


def _numbered(used: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The number of each that is used, counted in the array's order."""
    return (np.cumsum(used.ravel(), dtype=np.int32) - np.int32(1)).reshape(used.shape)


def _faces_kept(depth: NDArray[np.float32], tear: float) -> NDArray[np.bool_]:
    """(R - 1, C - 1): whether all four corners of a cell are valid and all four sides are one surface."""
    valid = depth > 0
    nearness = np.zeros_like(depth)
    np.divide(1.0, depth, out=nearness, where=valid)
    across = _connected(nearness, tear)  # (R, C - 1)
    down = _connected(nearness.T, tear).T  # (R - 1, C)
    corners = valid[:-1] & valid[1:]
    return corners[:, :-1] & corners[:, 1:] & across[:-1] & across[1:] & down[:, :-1] & down[:, 1:]


def _connected(nearness: NDArray[np.float32], tear: float) -> NDArray[np.bool_]:
    """(R, C - 1): whether neighbours along a row are one surface.

    They are where their distances differ by less than `tear`, or where one lies on the straight line through the other
    and the one behind it: 1/z is linear over the picture of a plane, so planes are never torn however steep.
    """
    left, right = nearness[:, :-1], nearness[:, 1:]
    connected = np.maximum(left, right) <= (1 + tear) * np.minimum(left, right)
    before, after = nearness[:, :-2], nearness[:, 2:]
    middle = nearness[:, 1:-1]
    limit = tear * middle
    # `change` at a sample: how far the line through it and one neighbour misses the neighbour on its other side.
    straight = (np.abs(before + after - 2 * middle) <= limit) & (before > 0) & (after > 0)
    connected[:, 1:] |= straight
    connected[:, :-1] |= straight
    return connected


def _grazing_faces(
    points: NDArray[np.float32], u: NDArray[np.float32], v: NDArray[np.float32], grazing: float
) -> NDArray[np.bool_]:
    """(R - 1, C - 1): whether a cell is seen from nearly the side. points (R, C, 3) on rays u (C,), v (R,) at z = 1."""
    normal = np.cross(points[1:, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, 1:])  # of the two diagonals
    x, y = (u[:-1] + u[1:]) / 2, ((v[:-1] + v[1:]) / 2)[:, None]
    along = normal[..., 0] * x + normal[..., 1] * y + normal[..., 2]
    lengths = np.einsum("rci,rci->rc", normal, normal) * (x**2 + y**2 + 1)
    return along**2 < lengths * math.cos(math.radians(grazing)) ** 2
