# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's maps at the photo's size, without surfaces that hang between a depth edge's two sides.

Interpolation is bilinear. Where a photo is larger than the network's picture, an edge would be a ramp several pixels
wide of depths that nothing has, too gentle to be torn in a mesh. There every pixel takes one side: the one that holds
more of its bilinear weight, and the weighted mean of that side alone, so that the outline runs straight through the
cell between four pixels of the network, and each surface goes on smoothly up to it. In a smaller photo a mixture is
one pixel wide, and stays.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: Ratio of the farthest to the nearest of four neighbouring depths from which on they are two surfaces.
EDGE = 1.25
#: Pixels at edges that are computed at once.
_AT_ONCE = 1 << 20


class Axis:
    """Bilinear interpolation along one side, by half-pixel centres: per result pixel the two source pixels it lies
    between, and the share of the second."""

    def __init__(self, source: int, result: int) -> None:
        place = np.clip((np.arange(result) + 0.5) * source / result - 0.5, 0, source - 1)
        self.first = place.astype(np.intp)
        self.second = np.minimum(self.first + 1, source - 1)
        self.share = (place - self.first).astype(np.float32)


def resize(values: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Bilinear (h, w[, C]) -> (height, width[, C]) float32 by half-pixel centres, without antialias."""
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def at_photo_size(
    depth: NDArray[np.float32], others: list[NDArray[np.float32]], height: int, width: int
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """A depth (h, w) > 0 and other maps (h, w[, C]) at (height, width), all divided along the same edges."""
    maps = [depth, *others]
    results = [resize(values, height, width) for values in maps]
    if height > depth.shape[0] or width > depth.shape[1]:
        rows, columns = Axis(depth.shape[0], height), Axis(depth.shape[1], width)
        edges = _edge_cells(depth)
        step = max(1, _AT_ONCE // width)
        for start in range(0, height, step):
            inside = edges[rows.first[start : start + step, None], columns.first]
            row, column = np.nonzero(inside)
            if len(row):
                _divide(maps, results, rows, columns, row + start, column)
    return results[0], results[1:]


def spread(values: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values (H, W[, C]), premultiplied by their weight of the same shape, spread to where that is less than 1.

    Pull-push interpolation (Gortler et al. 1996, "The Lumigraph", section 3.4.2).
    """
    height, width = weight.shape[:2]
    average = values / np.maximum(weight, 1e-6)
    if max(height, width) <= 2 or weight.min() >= 1:
        whole = values.sum((0, 1)) / np.maximum(weight.sum((0, 1)), 1e-6)
        return average + (whole - average) * (1 - np.minimum(weight, 1))
    half = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
    coarse_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values, half, interpolation=cv2.INTER_AREA)
    # A coarse pixel counts fully as soon as a quarter of what it covers is known.
    gain = np.minimum(4 * coarse_weight, 1) / np.maximum(coarse_weight, 1e-6)
    below = spread(np.asarray(coarse * gain, np.float32), np.asarray(coarse_weight * gain, np.float32))
    below = cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR)
    return average + (below - average) * (1 - np.minimum(weight, 1))


def _edge_cells(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(h, w) bool: whether the cell from this pixel to the right and downwards holds an edge."""
    around = np.pad(depth, ((0, 1), (0, 1)), mode="edge")
    corners = (around[:-1, :-1], around[:-1, 1:], around[1:, :-1], around[1:, 1:])
    return np.maximum.reduce(corners) > EDGE * np.minimum.reduce(corners)


def _divide(
    maps: list[NDArray[np.float32]],
    results: list[NDArray[np.float32]],
    rows: Axis,
    columns: Axis,
    row: NDArray[np.intp],
    column: NDArray[np.intp],
) -> None:
    """Let the pixels (row, column) of the results take one side of their edge."""
    down, right = rows.share[row], columns.share[column]
    weights = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    upper, lower, left, far_right = rows.first[row], rows.second[row], columns.first[column], columns.second[column]
    corners = ((upper, left), (upper, far_right), (lower, left), (lower, far_right))
    depths = np.stack([maps[0][corner] for corner in corners])
    near = depths**2 < depths.min(0) * depths.max(0)
    chosen = near == ((weights * near).sum(0) >= 0.5)
    weights *= chosen
    weights /= weights.sum(0)
    for values, result in zip(maps, results, strict=True):
        extra = (1,) * (values.ndim - 2)
        result[row, column] = sum(
            weight.reshape(-1, *extra) * values[corner] for weight, corner in zip(weights, corners, strict=True)
        )
