# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera that the reference draws a hand with, the picture it draws, and where that hand stands before the photo's
own camera.

The network tells a scale and a shift. The reference makes a pinhole camera of them whose focal length depends on
nothing but the size of the square, 1000 pixels for 224, and so every hand is about as far away as the next. The hand's
mesh has its true size, though: how large it lies in the photo, together with the photo's own focal length, says how far
away it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...camera import Camera
from ...geometry.rasteriser import rasterise
from .backbone import SIDE
from .crop import LARGEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .crop import Crop

_FOCAL = 1000.0
#: Pixels worked on at once.
_AT_ONCE = 1 << 20
#: No part of a hand is nearer to the photo's camera than this, metres.
_NEAREST = 0.02


@dataclass(frozen=True)
class Lens:
    """The reference's camera of one square, turned to the photo: a left hand is a left one again.

    focal, centre (2,) : pixels of the photo.  translation : (3,) metres, of the camera in the mesh's axes.
    """

    focal: float
    centre: NDArray[np.float64]
    translation: NDArray[np.float64]

    @classmethod
    def of(cls, crop: Crop, camera: NDArray) -> Lens:
        """camera : (3,) scale and shift, as the network tells them."""
        scale, x, y = (float(value) for value in camera)
        focal = _FOCAL * crop.size / SIDE
        mirror = -1.0 if crop.side == "left" else 1.0
        centre = np.array([crop.left, crop.top]) + crop.size / 2
        return cls(focal, centre, np.array([-x * mirror, -y, -2 * focal / (crop.size * scale + 1e-9)]))

    def project(self, points: NDArray) -> NDArray[np.float64]:
        """Points (N, 3) of the mesh -> pixels (N, 2) of the photo."""
        seen = points.astype(np.float64) - self.translation
        return self.focal * seen[:, :2] / seen[:, 2:] + self.centre


@dataclass(frozen=True)
class DepthWindow:
    """z : (h, w) float64 metres from the reference's camera, 0 where nothing is drawn.

    left, top : where this window lies in the photo, which it may reach out of.
    """

    z: NDArray[np.float64]
    left: int
    top: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) pixels of the photo around what is drawn, ends inclusive."""
        columns, rows = np.flatnonzero(self.z.any(0)) + self.left, np.flatnonzero(self.z.any(1)) + self.top
        return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])

    def paste(self, values: NDArray, picture: NDArray) -> None:
        """Write values (h, w) into a picture (H, W) where something is drawn."""
        height, width = self.z.shape
        rows = slice(max(self.top, 0), max(min(self.top + height, picture.shape[0]), 0))
        columns = slice(max(self.left, 0), max(min(self.left + width, picture.shape[1]), 0))
        here = (
            slice(rows.start - self.top, rows.stop - self.top),
            slice(columns.start - self.left, columns.stop - self.left),
        )
        np.copyto(picture[rows, columns], values[here], where=self.z[here] > 0, casting="unsafe")


def draw(vertices: NDArray, faces: NDArray, lens: Lens, crop: Crop, shape: tuple[int, int]) -> DepthWindow:
    """Draw a hand as the reference does: the nearest surface through each pixel's centre, where its outside is seen.

    Where the nearest surface shows its inside, nothing is drawn, not even what lies behind. Only of a very large square
    is what lies outside of the photo (H, W) left out.
    """
    if crop.size <= LARGEST:
        left, top, height, width = crop.left, crop.top, crop.size, crop.size
    else:
        rows, columns = crop.window(*shape)
        left, top, height, width = columns.start, rows.start, rows.stop - rows.start, columns.stop - columns.start
    centre = lens.centre - (left, top)
    camera = Camera(lens.focal, lens.focal, float(centre[0]), float(centre[1]), width, height)
    points = vertices.astype(np.float64) - lens.translation
    _, face = rasterise(points, faces, camera)
    return DepthWindow(_depth(face, points[faces], camera), left, top)


def _depth(face: NDArray[np.int32], corners: NDArray, camera: Camera) -> NDArray[np.float64]:
    """z (H, W) where the face (H, W) that each pixel's centre sees shows its outside, else 0.

    corners : (F, 3, 3). As the line of sight meets the plane of the face, in double precision: the preview cuts z to
    whole grey levels.
    """
    a, b, c = corners.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    offset = (normal * a).sum(1)
    u = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    v = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    z = np.zeros(face.shape)
    rows = max(1, _AT_ONCE // camera.width)
    for start in range(0, camera.height, rows):
        part = face[start : start + rows]
        row, column = np.nonzero(part >= 0)
        seen = part[row, column]
        x, y, forward = normal[seen].T
        facing = x * u[column] + y * v[start + row] + forward
        outside = facing < 0
        z[start + row[outside], column[outside]] = offset[seen[outside]] / facing[outside]
    return z


def translation_for(vertices: NDArray, lens: Lens, camera: Camera) -> NDArray[np.float64] | None:
    """Where the mesh's origin lies in the photo's camera (3,), metres; None where no place fits.

    The size of the mesh is kept; of all places, it is the one whose projection is nearest to the reference's, in
    least squares over the vertices.
    """
    points, pixels = vertices.astype(np.float64), lens.project(vertices)
    x, y, z = points.T
    u, v = (pixels - (camera.cx, camera.cy)).T
    zero, one = np.zeros(len(points)), np.ones(len(points))
    rows = np.concatenate([np.column_stack([camera.fx * one, zero, -u]), np.column_stack([zero, camera.fy * one, -v])])
    aims = np.concatenate([u * z - camera.fx * x, v * z - camera.fy * y])
    if not (np.isfinite(rows).all() and np.isfinite(aims).all()):
        return None
    weight, origin = np.ones(len(rows)), np.zeros(3)
    for _ in range(3):  # the rows are pixels times distance
        # Without the matrix library, whose threads spin for each other where other work runs.
        normal = np.einsum("ni,nj,n->ij", rows, rows, weight)
        origin = np.linalg.solve(normal, np.einsum("ni,n,n->i", rows, aims, weight))
        distance = z + origin[2]
        if not distance.min() >= _NEAREST:
            return None
        weight = np.tile(1 / distance**2, 2)
    return origin
