# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks as an artist wants them: grown or shrunk, with a soft edge, and traced as outlines.

Distances are Euclidean, in pixels, and measured from the line where the mask passes 0.5. What lies outside of the
picture neither grows in nor eats away.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

#: Where a soft edge lies: half of it on either side of the outline, or all of it on one side.
EDGES = ("CENTRE", "OUTSIDE", "INSIDE")
#: How far an outline may lie off its simplified line, in pixels.
_TOLERANCE = 0.35
#: Weights along an outline that smooth the steps of its pixels: a Gaussian with a deviation of 1.5 pixels.
_STEPS = np.exp(-0.5 * (np.arange(-8, 9) / 3.0) ** 2)
_STEPS /= _STEPS.sum()
#: Specks with less area than this, in pixels, get no outline.
_SPECK = 6.0


class Outline(NamedTuple):
    """points : (N, 2) float32 pixels of the photo, closed, outer ones and holes running in opposite directions."""

    points: NDArray[np.float32]
    hole: bool


def shaped(mask: NDArray, grow: float = 0.0, feather: float = 0.0, edge: str = "CENTRE") -> NDArray[np.float32]:
    """The mask (H, W) 0..1, grown by `grow` pixels (shrunk where negative) and with an edge `feather` pixels wide.

    The edge rises smoothly (cubic, flat at both ends) and is 0.5 on the outline for "CENTRE"; with "OUTSIDE" the mask
    stays whole and the edge is added around it, with "INSIDE" it ends where it ended. Without both the mask is
    returned as it is, its own soft values kept. Raises `BadInput`.
    """
    if edge not in EDGES:
        raise BadInput(f"Unknown edge {edge!r}.", f"Choose one of: {', '.join(EDGES)}.")
    if not (np.isfinite(grow) and np.isfinite(feather)) or feather < 0:
        raise BadInput(f"Cannot grow by {grow!r} and feather by {feather!r} pixels.", "feather must be 0 or more.")
    mask = np.asarray(mask, np.float32)
    if grow == 0 and feather == 0:
        return mask.copy()
    inside = mask >= 0.5
    if not inside.any() or (inside.all() and grow >= 0):
        return inside.astype(np.float32)
    reach = int(np.ceil(max(grow, 0.0) + feather)) + 2
    window = _around(inside, reach)
    outward = signed_distance(inside[window]) - grow
    if feather == 0:
        values = (outward <= 0).astype(np.float32)
    else:
        start = {"CENTRE": feather / 2, "OUTSIDE": feather, "INSIDE": 0.0}[edge]
        share = np.clip((start - outward) / feather, 0.0, 1.0)
        values = (share * share * (3.0 - 2.0 * share)).astype(np.float32)
    result = np.zeros(mask.shape, np.float32)
    result[window] = values
    return result


def signed_distance(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance (H, W) of each pixel's centre from the outline, negative inside; both kinds of pixel must be there.

    The outline runs between two pixels, so the nearest centres lie half a pixel off it.
    """
    outside = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    within = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(inside, 0.5 - within, outside - 0.5)


def outlines(mask: NDArray, tolerance: float = _TOLERANCE) -> list[Outline]:
    """The closed outlines of what is at least 0.5: each outer one followed by its holes, the largest first, so that an
    island comes after the hole in which it lies.

    They follow the borders between pixels, whose steps and corners they round, within about a pixel, and have few
    points where these are straight. Specks are left out.

    tolerance : how far, in pixels, what is left out may have lain off the line.
    """
    inside = (np.asarray(mask) >= 0.5).astype(np.uint8)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(rows) == 0:
        return []
    top, left = int(rows[0]), int(columns[0])
    part = inside[top : rows[-1] + 1, left : columns[-1] + 1]
    # Traced on pixels of a quarter of the area, with a margin: their centres lie a quarter of a pixel off the border.
    fine = np.repeat(np.repeat(np.pad(part, 1), 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return []
    found: list[tuple[float, list[Outline]]] = []
    for index, (_, _, first_child, parent) in enumerate(tree[0]):
        outer = _simplified(contours[index], left, top, tolerance) if parent < 0 else None
        if outer is None:
            continue
        group, child = [Outline(outer, False)], first_child
        while child >= 0:
            hole = _simplified(contours[child], left, top, tolerance)
            if hole is not None:
                group.append(Outline(hole, True))
            child = tree[0][child][0]
        found.append((cv2.contourArea(outer), group))
    found.sort(key=lambda item: -item[0])
    return [outline for _, group in found for outline in group]


def _simplified(contour: NDArray, left: int, top: int, tolerance: float) -> NDArray[np.float32] | None:
    """A contour of the doubled picture as pixels of the photo, its steps smoothed and points left out that lie on a
    line (Douglas and Peucker, 1973); None for a speck."""
    points = (contour[:, 0].astype(np.float32) + 0.5) / 2 - 1 + np.array([left, top], np.float32)
    if len(points) < 3 or cv2.contourArea(points) < _SPECK:
        return None
    reach = len(_STEPS) // 2
    around = np.pad(points, ((reach, reach), (0, 0)), mode="wrap")
    smooth = np.stack([np.convolve(axis, _STEPS, mode="valid") for axis in around.T], axis=1).astype(np.float32)
    kept = np.asarray(cv2.approxPolyDP(smooth[:, None], tolerance, closed=True), np.float32)[:, 0]
    return kept if len(kept) >= 3 else smooth


def _around(inside: NDArray[np.bool_], reach: int) -> tuple[slice, slice]:
    """The part of the picture within `reach` of the mask: what is farther away stays 0."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return (
        slice(max(int(rows[0]) - reach, 0), int(rows[-1]) + reach + 1),
        slice(max(int(columns[0]) - reach, 0), int(columns[-1]) + reach + 1),
    )
