# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a photo, as every model takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..geometry.previews import to_resolution
from ..photo import Photo, load_photo

_REMEDY = "Click on what is wanted, draw a box around it, or give a rough mask."


@dataclass(frozen=True)
class Prompt:
    """points : (N, 2) float64 pixels.  wanted : (N,) bool, of each.  box : (4,) pixels, or None.
    mask : (H, W) bool, or None."""

    points: NDArray[np.float64]
    wanted: NDArray[np.bool_]
    box: NDArray[np.float64] | None
    mask: NDArray[np.bool_] | None

    @classmethod
    def of(cls, photo: Photo, options: Mapping[str, Any], *, needed: bool = True) -> Prompt:
        """The options, checked against the photo. needed : something has to be wanted. Raises `BadInput`."""
        width, height = photo.size
        points, wanted = _points(options["points"], width, height)
        box, mask = _box(options["box"], width, height), _mask(options["mask"], width, height)
        if needed and not wanted.any() and box is None and mask is None:
            raise BadInput("Nothing says what is to be cut out.", _REMEDY)
        return cls(points, wanted, box, mask)


def _points(given: Any, width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    try:
        rows = [[float(value) for value in row] for row in (() if given is None else given)]
        points = np.array([row[:2] for row in rows], np.float64).reshape(-1, 2)
        wanted = np.array([len(row) < 3 or row[2] > 0.5 for row in rows], bool)
        wrong = any(len(row) not in (2, 3) for row in rows)
    except (TypeError, ValueError):
        raise BadInput("The points are no list of [u, v] or [u, v, 0].", _REMEDY) from None
    if wrong or not np.isfinite(points).all():
        raise BadInput("The points are no list of [u, v] or [u, v, 0].", _REMEDY)
    outside = (points < 0).any(1) | (points > (width, height)).any(1)
    if outside.any():
        u, v = points[outside][0]
        raise BadInput(f"The point {u:g}, {v:g} lies outside the photo ({width} x {height}).", "Choose another point.")
    return points, wanted


def _box(given: Any, width: int, height: int) -> NDArray[np.float64] | None:
    if given is None:
        return None
    try:
        box = np.asarray(given, np.float64).reshape(4)
    except (TypeError, ValueError):
        raise BadInput("The box is not [u0, v0, u1, v1].", _REMEDY) from None
    box = np.concatenate([np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])])
    box = np.clip(box, 0, (width, height, width, height))
    if not np.isfinite(box).all() or (box[2:] - box[:2] < 2).any():
        raise BadInput("The box shows nothing of the photo.", "Draw it around what is wanted.")
    return box


def _mask(given: Any, width: int, height: int) -> NDArray[np.bool_] | None:
    if given is None:
        return None
    if isinstance(given, (str, PathLike)):
        given = load_photo(given).pixels
    mask = np.asarray(given)
    mask = mask.max(-1) if mask.ndim == 3 else mask
    if mask.shape != (height, width):
        raise BadInput(
            f"The mask has {mask.shape[::-1]} pixels, the photo {width} x {height}.", "Give one of its size."
        )
    found = mask > (127 if mask.dtype == np.uint8 else 0.5)
    if not found.any():
        raise BadInput("The mask is empty.", _REMEDY)
    return found


def preview(mask: NDArray[np.float32], resolution: int) -> NDArray[np.uint8]:
    """A mask as a picture (h, w, 3)."""
    grey = np.rint(mask * 255).astype(np.uint8)
    return to_resolution(np.repeat(grey[..., None], 3, 2), resolution)


def innermost(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The pixel (u, v) of a mask that is farthest from its outline."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column) + 0.5, float(row) + 0.5


def extent(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The box (4,) around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
