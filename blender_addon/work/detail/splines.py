# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of Blender's Mask editor, drawn as it draws them: filled splines with a feather, layer upon layer.

The worker's part: plain arrays, no bpy. Places count in the longer side of the frame, from the middle of the picture at
(0.5, 0.5), y up, as the Mask editor keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....inference.camera import Camera
from ....inference.geometry.rasteriser import rasterise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ...core.exchange import MaskLayer, MaskSpline
    from .masks import DrawTarget

    Values = NDArray[np.float32]

#: Most points of a curve between two of its control points, and pixels between two of them.
_MOST, _PIXELS = 128, 1.0

#: Falloff of a layer -> what becomes of 0..1 across the feather.
_FALLOFFS: dict[str, Callable[[NDArray], NDArray]] = {
    "SMOOTH": lambda v: v * v * (3 - 2 * v),
    "SPHERE": lambda v: np.sqrt(np.maximum(v * (2 - v), 0)),
    "ROOT": np.sqrt,
    "INVERSE_SQUARE": lambda v: v * (2 - v),
    "SHARP": np.square,
    "LINEAR": lambda v: v,
}
#: How a layer (with its opacity in it) joins what lies below.
_BLENDS: dict[str, Callable[[NDArray, NDArray], NDArray]] = {
    "MERGE_ADD": lambda below, layer: below + layer * (1 - below),
    "MERGE_SUBTRACT": lambda below, layer: below - layer * below,
    "ADD": lambda below, layer: below + layer,
    "SUBTRACT": lambda below, layer: below - layer,
    "LIGHTEN": np.maximum,
    "DARKEN": np.minimum,
    "MUL": lambda below, layer: below * layer,
    "DIFFERENCE": lambda below, layer: np.abs(below - layer),
}


@dataclass(frozen=True)
class SplineMask:
    """A mask, its lowest layer first."""

    layers: tuple[MaskLayer, ...]

    def drawn(self, target: DrawTarget) -> Values:
        """See `masks.MaskSource`."""
        return draw(self.layers, *target.size)


def draw(layers: tuple[MaskLayer, ...], width: int, height: int) -> Values:
    """(H, W) float32 0..1."""
    result = np.zeros((height, width))
    for layer in layers:
        value = _FALLOFFS[layer.falloff](_coverage(layer, width, height))
        if layer.blend != "REPLACE":
            value = value * layer.opacity
        if layer.invert:
            value = 1 - value
        if layer.blend == "REPLACE":
            result = result * (1 - layer.opacity) + value * layer.opacity
        else:
            result = _BLENDS[layer.blend](result, value)
        result = np.clip(result, 0, 1)
    return result.astype(np.float32)


def _coverage(layer: MaskLayer, width: int, height: int) -> NDArray[np.float64]:
    """(H, W) 1 within the splines of a layer, down to 0 at the end of their feather."""
    count, strips = np.zeros((height, width), np.int64), []
    for spline in layer.splines:
        if len(spline.points) < 2:
            continue
        line, feather = _curve(spline, width, height)
        if spline.fill:
            inside = _within(line, width, height)
            count = count + inside if layer.holes else np.maximum(count, inside)
            strips.append(_strip(line, feather, closed=True))
        else:
            strips.append(_strip(line, feather, closed=spline.cyclic))
            strips.append(_strip(line, 2 * line - feather, closed=spline.cyclic))
            if not spline.cyclic:
                strips += [_cap(line[0], feather[0]), _cap(line[-1], feather[-1])]
    covered = (count % 2).astype(np.float64)
    return np.maximum(covered, _drawn(strips, width, height)) if strips else covered


def _curve(spline: MaskSpline, width: int, height: int) -> tuple[NDArray, NDArray]:
    """The spline as points (N, 2) in pixels of the picture, and where its feather ends beside each: where there is
    none, about a pixel away, which makes the edge smooth."""
    size, count = max(width, height), len(spline.points)
    segments = count if spline.cyclic else count - 1
    following = (np.arange(segments) + 1) % count
    a, b = spline.points[:segments], spline.right[:segments]
    c, d = spline.left[following], spline.points[following]
    length = sum(np.linalg.norm(q - p, axis=1) for p, q in ((a, b), (b, c), (c, d))) * size
    steps = int(np.clip(np.max(length) / _PIXELS, 2, _MOST))
    u = np.arange(steps) / steps
    t, s = u[None, :, None], 1 - u[None, :, None]
    a, b, c, d = (one[:, None] for one in (a, b, c, d))
    places = s**3 * a + 3 * s * s * t * b + 3 * s * t * t * c + t**3 * d
    along = s * s * (b - a) + 2 * s * t * (c - b) + t * t * (d - c)
    along = np.where(np.linalg.norm(along, axis=-1, keepdims=True) < 1e-12, d - a, along)
    weights = np.stack([_weights(spline, number, int(following[number]), u) for number in range(segments)])
    places, along, weights = places.reshape(-1, 2), along.reshape(-1, 2), weights.ravel()
    if not spline.cyclic:
        places = np.concatenate([places, spline.points[-1:]])
        along = np.concatenate([along, d[-1] - c[-1]])
        weights = np.append(weights, spline.weights[-1])
    line, along = _pixels(places, width, height), along * [1, -1]
    # Blender measures that pixel, one of the shorter side, in a frame that is stretched to a square.
    frame = np.array([width, height], np.float64)
    edge = _across(along / frame) * frame / min(width, height)
    feather = _across(along) * weights[:, None] * size
    wide = np.linalg.norm(feather, axis=1) > np.linalg.norm(edge, axis=1)
    return line, line + np.where(wide[:, None], feather, edge)


def _across(along: NDArray) -> NDArray:
    """Unit vectors (N, 2) at right angles to others."""
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    return np.stack([along[:, 1], -along[:, 0]], -1) / length


def _weights(spline: MaskSpline, number: int, following: int, u: NDArray) -> NDArray:
    """The feather's width at the shares `u` of the way from one control point to the next."""
    first, last = spline.weights[number], spline.weights[following]
    between = spline.between[number]
    places = np.concatenate([[0.0], between[:, 0], [1.0]])
    widths = np.concatenate([[1.0], between[:, 1], [1.0]]) * (first + (last - first) * places)
    index = np.clip(np.searchsorted(places, u, side="right") - 1, 0, len(places) - 2)
    share = (u - places[index]) / np.maximum(places[index + 1] - places[index], 1e-12)
    if spline.ease:
        share = share * share * (3 - 2 * share)
    return widths[index] + (widths[index + 1] - widths[index]) * share


def _pixels(places: NDArray, width: int, height: int) -> NDArray:
    size = max(width, height)
    return (places - 0.5) * [size, -size] + [width / 2, height / 2]


def _within(line: NDArray, width: int, height: int) -> NDArray[np.int64]:
    """(H, W) 1 for pixels whose centre a closed line (N, 2) runs around an odd number of times."""
    ends = np.roll(line, -1, 0)
    upper, lower = np.minimum(line[:, 1], ends[:, 1]), np.maximum(line[:, 1], ends[:, 1])
    first = np.clip(np.ceil(upper - 0.5), 0, height).astype(np.int64)
    rows = np.clip(np.ceil(lower - 0.5), 0, height).astype(np.int64) - first
    edge = np.repeat(np.arange(len(line)), rows)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows, rows) + first[edge]
    share = (row + 0.5 - line[edge, 1]) / (ends[edge, 1] - line[edge, 1])
    column = line[edge, 0] + share * (ends[edge, 0] - line[edge, 0])
    crossings = np.zeros((height, width + 1), np.int64)
    np.add.at(crossings, (row, np.clip(np.ceil(column - 0.5), 0, width).astype(np.int64)), 1)
    return np.cumsum(crossings, 1)[:, :width] % 2


def _strip(line: NDArray, feather: NDArray, *, closed: bool) -> NDArray:
    """Triangles (T, 3, 3) x, y, value from a line, where the value is 1, to the end of its feather, where it is 0."""
    inner = np.concatenate([line, np.ones((len(line), 1))], 1)
    outer = np.concatenate([feather, np.zeros((len(line), 1))], 1)
    if closed:
        inner, outer = (np.concatenate([one, one[:1]]) for one in (inner, outer))
    first = np.stack([inner[:-1], outer[:-1], outer[1:]], 1)
    return np.concatenate([first, np.stack([inner[:-1], outer[1:], inner[1:]], 1)])


def _cap(end: NDArray, feather: NDArray, points: int = 32) -> NDArray:
    """A round end of a strip: triangles around the end of a line."""
    angle = np.linspace(0, 2 * np.pi, points + 1)
    across = feather - end
    turned = np.stack([across[0] * np.cos(angle) - across[1] * np.sin(angle),
                       across[0] * np.sin(angle) + across[1] * np.cos(angle)], -1)  # fmt: skip
    rim = np.concatenate([end + turned, np.zeros((points + 1, 1))], 1)
    middle = np.broadcast_to([*end, 1.0], (points, 3))
    return np.stack([middle, rim[:-1], rim[1:]], 1)


def _drawn(strips: list[NDArray], width: int, height: int) -> NDArray[np.float64]:
    """(H, W) the greatest value of the triangles at each pixel, linear within a triangle; 0 beside them.

    The z-buffer keeps what is nearest, and is linear in 1/z: with 1/z = 1 + value the greatest value is nearest.
    """
    triangles = np.concatenate(strips)
    depth = 1 / (1 + triangles[..., 2:])
    points = np.concatenate([triangles[..., :2] * depth, depth], -1).reshape(-1, 3)
    nearest, _ = rasterise(points, np.arange(len(points)).reshape(-1, 3), Camera(1.0, 1.0, 0.0, 0.0, width, height))
    nearest = nearest.astype(np.float64)
    return np.where(nearest > 0, 1 / np.where(nearest > 0, nearest, 1) - 1, 0).clip(0, 1)
