# SPDX-License-Identifier: GPL-3.0-or-later
"""The relief: a depth map unprojected into a mesh that coincides with the photo when seen from its camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy
import numpy as np

from ...inference.errors import BadInput, NothingFound
from . import axes, camera, materials, meshes

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Object
    from numpy.typing import NDArray

    from ...inference.results import DepthMap


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
        counts = [max(2, round(side * share)) for side in (height, width)]
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


def relief_mesh(
    depth_map: DepthMap,
    *,
    name: str,
    camera_object: Object | None = None,
    photo_image: Image | None = None,
    resolution: int | None = 1024,
    tear: float = 0.04,
    grazing: float = 87.0,
    confidence: NDArray | None = None,
    parent: Collection | None = None,
) -> Object:
    """A mesh with one vertex a pixel (or fewer), a child of `camera_object`, with UVs on the photo and its colours.

    resolution : vertices along the long side; None for one a pixel.
    tear : a face is left out where neighbouring depths differ by more than this part and neither continues the surface
        on its side; a floor that runs away from the viewer is not torn.
    grazing : a face is left out where it is seen at more than this many degrees from its normal.
    confidence : (H, W), kept as point attribute `confidence`; `depth` (metres along the view) is always kept.
    parent : collection of the object, by default the scene's own.

    Raises BadInput for a depth map that is not metric, NothingFound for one without a valid face.
    """
    if not depth_map.metric:
        raise BadInput("A relief of a surface has no distances to unproject.", "Build a displaced grid instead.")
    height, width = depth_map.depth.shape
    samples = Samples.of(height, width, resolution)
    depth = np.where(samples.take(depth_map.valid), samples.take(depth_map.depth), 0).astype(np.float32)
    u = ((samples.columns + 0.5 - depth_map.camera.cx) / depth_map.camera.fx).astype(np.float32)
    v = ((samples.rows + 0.5 - depth_map.camera.cy) / depth_map.camera.fy).astype(np.float32)
    kept = _faces_kept(depth, tear) & ~_grazing_faces(depth, u, v, grazing)
    if not kept.any():
        raise NothingFound("The depth map holds no surface.", "Choose another photo, or a larger tear limit.")
    used, faces = compact(samples.corners()[kept], depth.size)

    points = np.stack(np.broadcast_arrays(u, v[:, None], np.float32(1)), axis=-1) * depth[..., None]
    mesh = meshes.new_mesh(
        name, axes.to_camera_space(points.reshape(-1, 3)[used]), faces, samples.uvs(height, width).reshape(-1, 2)[used]
    )
    meshes.set_point_attribute(mesh, "depth", depth.ravel()[used])
    if confidence is not None:
        meshes.set_point_attribute(mesh, "confidence", samples.take(confidence).ravel()[used])
    if photo_image is not None:
        mesh.materials.append(materials.photo_material(name, photo_image))
    obj = bpy.data.objects.new(name, mesh)
    camera.adopt(obj, camera_object)
    (parent or bpy.context.scene.collection).objects.link(obj)
    return obj


def compact(faces: NDArray[np.int32], count: int) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which of `count` vertices the faces use (count,), and the faces numbered by those alone."""
    used = np.zeros(count, bool)
    used[faces.ravel()] = True
    renumbered = np.cumsum(used, dtype=np.int32) - 1
    return used, renumbered[faces]


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
    depth: NDArray[np.float32], u: NDArray[np.float32], v: NDArray[np.float32], grazing: float
) -> NDArray[np.bool_]:
    """(R - 1, C - 1): whether a cell is seen from nearly the side. u (C,), v (R,): rays at z = 1."""
    x, y = depth * u, depth * v[:, None]
    first = [axis[1:, 1:] - axis[:-1, :-1] for axis in (x, y, depth)]  # the two diagonals of a cell
    second = [axis[1:, :-1] - axis[:-1, 1:] for axis in (x, y, depth)]
    normal = (
        first[1] * second[2] - first[2] * second[1],
        first[2] * second[0] - first[0] * second[2],
        first[0] * second[1] - first[1] * second[0],
    )
    ray = (u[:-1] + u[1:]) / 2, ((v[:-1] + v[1:]) / 2)[:, None]
    along = normal[0] * ray[0] + normal[1] * ray[1] + normal[2]
    lengths = (normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) * (ray[0] ** 2 + ray[1] ** 2 + 1)
    return along**2 < lengths * math.cos(math.radians(grazing)) ** 2
