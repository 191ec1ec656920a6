# SPDX-License-Identifier: GPL-3.0-or-later
"""A hole filled patch by patch where edges run into it first, so that they go on (Criminisi, Perez and Toyama 2004,
"Region Filling and Object Removal by Exemplar-Based Image Inpainting", section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]
    Hole = NDArray[np.bool_]

#: How far away in pixels a patch is looked for, unless there is none so near.
_REACH = 100
#: What a rim without any edge counts beside the edges, in slopes of a picture 0..1.
_PLAIN = 0.005


def continued(picture: Pixels, hole: Hole, sources: Hole, half: int) -> NDArray[np.intp]:
    """Fill the hole (H, W) of a picture (H, W, 3 or 4, of which the fourth channel is known) in place; returns of each
    of its pixels (H, W, 2) the row and column that it was copied from, as offsets.

    sources : (H, W) the centres of complete patches of 2 `half` + 1 pixels a side; not empty.
    """
    known, confidence = ~hole, (~hole).astype(np.float32)
    offsets = np.zeros((*hole.shape, 2), np.intp)
    priority = np.full(hole.shape, -1, np.float32)
    limit = np.array(hole.shape) - 1 - half
    _rank(picture, known, confidence, priority, np.s_[:, :], half)
    for _ in range(np.count_nonzero(hole)):  # each patch fills one pixel at least
        place = np.array(np.unravel_index(int(priority.argmax()), hole.shape))
        trust = float(confidence[_about(place, half, hole.shape)].sum()) / (2 * half + 1) ** 2
        place = np.clip(place, half, limit)
        at = _about(place, half, hole.shape)
        source = _most_similar(picture, known[at], sources, place, at)
        new = ~known[at]
        picture[at][new, :3] = picture[_about(source, half, hole.shape)][new, :3]
        offsets[at][new] = source - place
        confidence[at][new] = trust
        known[at] = True
        if known.all():
            break
        _rank(picture, known, confidence, priority, _about(place, 3 * half + 3, hole.shape), half)
    return offsets


def _about(place: NDArray[np.intp], reach: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The square about a place, as far as it lies in the picture."""
    (row, column), (height, width) = place.tolist(), shape[:2]
    return slice(max(row - reach, 0), min(row + reach + 1, height)), slice(
        max(column - reach, 0), min(column + reach + 1, width)
    )


def _most_similar(
    picture: Pixels, known: Hole, sources: Hole, place: NDArray[np.intp], at: tuple[slice, slice]
) -> NDArray[np.intp]:
    """The centre of the source whose patch is most like what is known of the patch `at` a place."""
    near = _about(place, _REACH, sources.shape)
    if not sources[near].any():
        near = np.s_[: sources.shape[0], : sources.shape[1]]
    weight = np.ones(picture[at].shape, np.float32)
    weight[..., :3] = known[..., None]
    off = cv2.matchTemplate(picture[near], picture[at], cv2.TM_SQDIFF, mask=weight)
    half = known.shape[0] // 2
    inner = sources[near][half : half + off.shape[0], half : half + off.shape[1]]
    best = np.unravel_index(int(np.where(inner, off, np.inf).argmin()), off.shape)
    return np.array([best[0] + (near[0].start or 0) + half, best[1] + (near[1].start or 0) + half])


def _rank(
    picture: Pixels, known: Hole, confidence: Pixels, priority: Pixels, where: tuple[slice, slice], half: int
) -> None:
    """Work out anew, in a part of the picture, how early each pixel of the hole's rim comes: by how much is known about
    it, and how strongly edges run into it there. Elsewhere the priority is -1."""
    here, side = known[where], (2 * half + 1,) * 2
    grey = cv2.cvtColor(np.ascontiguousarray(picture[where][..., :3]), cv2.COLOR_RGB2GRAY)
    inside = cv2.erode(here.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=(1.0,))
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *way, scale=0.25) * inside for way in ((1, 0), (0, 1)))
    soft = cv2.GaussianBlur(here.astype(np.float32), (0, 0), 1.0)
    normal = np.stack([cv2.Sobel(soft, cv2.CV_32F, *way) for way in ((1, 0), (0, 1))])
    x, y = normal / np.maximum(np.hypot(*normal), 1e-6)
    # How much of the slopes about a pixel lies along the rim, so that their edges run across it.
    squares = [cv2.boxFilter(one, -1, side) for one in (across * across, across * down, down * down)]
    edges = np.sqrt(np.maximum(squares[2] * x * x - 2 * squares[1] * x * y + squares[0] * y * y, 0))
    trust = cv2.boxFilter(confidence[where], -1, side, borderType=cv2.BORDER_CONSTANT)
    rim = (cv2.dilate(here.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~here
    priority[where] = np.where(rim, trust * (edges + _PLAIN), -1)
