# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh drawn into a picture, by its UV map or as a camera sees it, and pictures read and written through it.

The worker's part: plain arrays, no bpy. T triangles; pixel centres lie at +0.5; pictures have their first row on top,
UV maps their origin at the lower left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....inference.camera import Camera
from ....inference.geometry.rasteriser import rasterise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...core.exchange import TexturedSurface

    Values = NDArray[np.float32]

#: A texel may lie this part of its distance behind the surface that its pixel shows and still be that surface.
_TOLERANCE = 5e-3
#: Pixels that are worked on at once.
_BATCH = 1 << 19
#: Pixels around what is painted in which a triangle still counts, because places are read between pixels.
_AROUND = 2
#: Texels around the UV islands that take what the nearest one in an island has, so that no seam shows.
BLEED = 3


@dataclass(frozen=True)
class Fragments:
    """What a picture (H, W) shows of a mesh.

    drawn : (H, W) bool.  face : (N,) int32 the triangle of each drawn pixel, row by row.  weights : (N, 3) of corners.
    depth : (H, W) metres, 0 where nothing is drawn.
    """

    drawn: NDArray[np.bool_]
    face: NDArray[np.int32]
    weights: Values
    depth: Values

    def at(self, corners: NDArray) -> NDArray[np.float64]:
        """Values (T, 3[, C]) of the triangles' corners, at each drawn pixel (N[, C])."""
        corners = np.asarray(corners, np.float64)
        result = np.empty((len(self.face), *corners.shape[2:]))
        for part in _batches(len(self.face)):
            result[part] = np.einsum("nk,nk...->n...", self.weights[part], corners[self.face[part]])
        return result

    def spread(self, values: NDArray, background: float = 0.0) -> Values:
        """Values (N[, C]) of the drawn pixels as a picture (H, W[, C])."""
        picture = np.full((*self.drawn.shape, *values.shape[1:]), background, np.float32)
        picture[self.drawn] = values
        return picture


def in_uv_space(uvs: NDArray, width: int, height: int) -> Fragments:
    """The triangles as they lie in a texture. uvs (T, 3, 2); those of other tiles are brought to the first."""
    tile = np.floor(uvs.mean(1, keepdims=True))
    flat = (uvs - tile) * [width, -height] + [0, height]
    points = np.concatenate([flat, np.ones((*flat.shape[:2], 1))], -1).reshape(-1, 3)
    plain = Camera(1.0, 1.0, 0.0, 0.0, width, height)

    def areas(centre: NDArray, a: NDArray, b: NDArray, c: NDArray) -> list[NDArray]:
        return [_area(centre, b, c), _area(centre, c, a), _area(centre, a, b)]

    return _fragments(points, flat, plain, areas)


def from_camera(corners: NDArray, camera: Camera) -> Fragments:
    """What the camera sees. corners (T, 3, 3) in its axes."""

    def volumes(centre: NDArray, a: NDArray, b: NDArray, c: NDArray) -> list[NDArray]:
        slope = (centre - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
        ray = np.concatenate([slope, np.ones((len(slope), 1))], -1)
        return [(ray * np.cross(p, q)).sum(-1) for p, q in ((b, c), (c, a), (a, b))]

    return _fragments(corners.reshape(-1, 3), corners, camera, volumes)


def _fragments(points: NDArray, corners: NDArray, camera: Camera, shares: Callable[..., list[NDArray]]) -> Fragments:
    """Draw triangles of points (3 T, 3). shares : of a pixel's centre (N, 2) and its triangle's `corners`, to weights
    that are still to be normalised."""
    depth, face = rasterise(points, np.arange(len(points)).reshape(-1, 3), camera)
    drawn = face >= 0
    face = face[drawn]
    row, column = np.nonzero(drawn)
    weights = np.empty((len(face), 3), np.float32)
    for part in _batches(len(face)):
        centre = np.stack([column[part] + 0.5, row[part] + 0.5], -1)
        weights[part] = _normalised(np.stack(shares(centre, *np.moveaxis(corners[face[part]], 1, 0)), -1))
    return Fragments(drawn, face, weights, depth)


def sampled(picture: Values, places: NDArray, *, repeat: bool) -> Values:
    """A picture (h, w[, C]) at pixel places (N, 2), linear between centres; it repeats, or goes on as at its edge."""
    import cv2

    border = cv2.BORDER_WRAP if repeat else cv2.BORDER_REPLICATE
    height, width = picture.shape[:2]
    places = np.asarray(places, np.float64)
    if repeat:
        places = places % [width, height]
    result = np.empty((len(places), *picture.shape[2:]), np.float32)
    most = 32000  # OpenCV's limit of a map's side
    for first in range(0, len(places), most):
        part = places[first : first + most].astype(np.float32) - 0.5
        values = cv2.remap(picture, part[None, :, 0], part[None, :, 1], cv2.INTER_LINEAR, borderMode=border)
        result[first : first + most] = values.reshape(-1, *picture.shape[2:])
    return result


def of_texture(texture: Values, uvs: NDArray) -> Values:
    """A texture (h, w[, C]) at UV places (N, 2); it repeats."""
    height, width = texture.shape[:2]
    return sampled(texture, uvs * [width, -height] + [0, height], repeat=True)


def bled(values: Values, drawn: NDArray[np.bool_], reach: int = BLEED) -> Values:
    """Values (H, W[, C]) carried on over `reach` pixels beyond what is drawn, each from the nearest drawn pixel."""
    import cv2

    if drawn.all() or not drawn.any():
        return values
    distance, label = cv2.distanceTransformWithLabels(
        (~drawn).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = np.asarray(label, np.int64)
    source = np.zeros(label.max() + 1, np.int64)
    source[label[drawn]] = np.flatnonzero(drawn)
    around = (distance > 0) & (distance <= reach)
    result = values.copy()
    result[around] = values.reshape(-1, *values.shape[2:])[source[label[around]]]
    return result


def view_of(surface: TexturedSurface, texture: Values) -> Values:
    """The texture (h, w, 3 or 4) as the camera sees it on the surface, (H, W, 4): without light, alpha 0 beside it."""
    assert surface.corners is not None and surface.camera is not None
    seen = from_camera(surface.corners, surface.camera)
    colours = of_texture(texture, seen.at(surface.uvs))
    if colours.shape[1] == 3:
        colours = np.concatenate([colours, np.ones((len(colours), 1), np.float32)], 1)
    view = seen.spread(colours)
    # Beside the surface its colours go on unseen, so that nothing dark is mixed into its rim when it is read again.
    view[..., :3] = bled(view[..., :3], seen.drawn)
    return view


def baked(surface: TexturedSurface, texture: Values, picture: Values, strengths: Values) -> tuple[Values, Values]:
    """Carry a picture (H, W, C), as strong as `strengths` (H, W), from the camera into the surface's texture (h, w, C).

    Texels that the surface itself hides from the camera, and those outside of the picture, stay as they are.
    Returns the texture and how strongly each texel (h, w) was painted.
    """
    assert surface.corners is not None and surface.camera is not None
    camera = surface.camera
    height, width = texture.shape[:2]
    near = _reaching(surface.corners, camera, strengths)
    corners = surface.corners[near]
    texels = in_uv_space(surface.uvs[near], width, height)
    points = texels.at(corners)
    places, in_front = camera.project_seen(points)
    inside = in_front & ((places >= 0) & (places < [camera.width, camera.height])).all(1)
    column, row = (places[inside].astype(int)).T
    depth = _farthest_around(from_camera(corners, camera).depth)[row, column]
    inside[inside] = points[inside, 2] <= depth * (1 + _TOLERANCE)
    scale = [picture.shape[1] / camera.width, picture.shape[0] / camera.height]
    strength, colours = np.zeros(len(points), np.float32), np.zeros((len(points), picture.shape[2]), np.float32)
    strength[inside] = sampled(strengths, places[inside] * scale, repeat=False)
    colours[inside] = sampled(picture, places[inside] * scale, repeat=False)
    painted = bled(texels.spread(strength), texels.drawn)
    layer = bled(texels.spread(colours), texels.drawn)
    result = texture.copy()
    where = painted > 0
    share = painted[where][:, None]
    result[where] = texture[where] * (1 - share) + layer[where] * share
    return result, painted


def _reaching(corners: NDArray, camera: Camera, strengths: Values) -> NDArray[np.bool_]:
    """(T,) the triangles that reach into the part of the picture that is painted: most of a mesh does not."""
    rows, columns = np.nonzero(strengths.any(1))[0], np.nonzero(strengths.any(0))[0]
    if not len(rows):
        return np.zeros(len(corners), bool)
    scale = [camera.width / strengths.shape[1], camera.height / strengths.shape[0]]
    low = np.array([columns[0], rows[0]]) * scale - _AROUND
    high = np.array([columns[-1] + 1, rows[-1] + 1]) * scale + _AROUND
    places, in_front = camera.project_seen(corners)
    beyond = (places.max(1) < low) | (places.min(1) > high)
    return in_front.any(1) & ~(beyond.any(1) & in_front.all(1))


def _batches(count: int) -> Iterator[slice]:
    """Parts of so many pixels: the corners of their triangles would take gigabytes for a large texture at once."""
    return (slice(first, first + _BATCH) for first in range(0, count, _BATCH))


def _farthest_around(depth: Values) -> Values:
    """The greatest depth (H, W) of each pixel and its neighbours: a steep surface changes much within a pixel."""
    import cv2

    return np.asarray(cv2.dilate(depth, np.ones((3, 3), np.uint8)), np.float32)


def _area(a: NDArray, b: NDArray, c: NDArray) -> NDArray:
    """Twice the signed area of triangles (N, 2)."""
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])


def _normalised(weights: NDArray) -> NDArray[np.float64]:
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights, total, out=np.full_like(weights, 1 / 3), where=total != 0)
