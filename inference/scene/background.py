# SPDX-License-Identifier: GPL-3.0-or-later
"""What is behind the people of a photo: its depth and its colours, carried on from around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry.rasteriser import rasterise
from ..geometry.resample import resize, spread
from ..photo import Photo
from ..results import DepthMap, People
from ..runtime import Run

#: Pixels of a person's outline that are no background either, as a share of the long side.
_MARGIN = 0.012
#: Long side at which holes are filled, and rounds of smoothing.
_SIDE, _ROUNDS = 256, 1500


def person_masks(people: People) -> tuple[NDArray[np.bool_], ...]:
    """Where each person is seen: the detector's mask together with the fitted body."""
    masks = []
    for person in people.frames[0]:
        body = rasterise(person.vertices, people.body.faces, people.camera)[0] > 0
        masks.append(body if person.mask is None else body | (person.mask > 0.5))
    return tuple(masks)


def hidden_by(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Where (H, W) people are in the way, their outlines included."""
    margin = max(1, round(_MARGIN * max(masks[0].shape)))
    return cv2.dilate(np.any(masks, axis=0).astype(np.uint8), np.ones((2 * margin + 1,) * 2, np.uint8)) > 0


def without(depth: DepthMap, masks: Sequence[NDArray[np.bool_]]) -> tuple[DepthMap, NDArray[np.bool_]]:
    """The depth without people, and where (H, W) they were.

    A plane's inverse depth is linear in the picture, and so is a membrane that is stretched over a hole of it: floors
    and walls go on straight behind a person. Where nothing is known around, as in the sky, nothing is filled in.
    """
    hidden = hidden_by(masks)
    known = depth.valid & ~hidden
    if not known.any():
        return replace(depth, depth=np.where(known, depth.depth, np.float32(0)), valid=known), hidden
    inverse = np.divide(1, depth.depth, out=np.zeros_like(depth.depth), where=known)
    filled = _membrane(inverse, known, hidden)
    near = spread(depth.valid.astype(np.float32) * ~hidden, (~hidden).astype(np.float32)) > 0.5
    hole = hidden & near & (filled > 0)
    values = np.where(known, depth.depth, np.float32(0))
    values[hole] = 1 / filled[hole]
    confidence = None if depth.confidence is None else np.where(hidden, np.float32(0), depth.confidence)
    return replace(depth, depth=values, valid=known | hole, normals=None, confidence=confidence), hidden


def _membrane(values: NDArray[np.float32], known: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The values (H, W) with the hidden ones as smooth as the known ones around them let them be."""
    height, width = values.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    weight = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(values * known, size, interpolation=cv2.INTER_AREA)
    hole = (cv2.resize(hidden.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5) | (weight < 1e-3)
    small = np.where(hole, 0, small / np.maximum(weight, 1e-6)).astype(np.float32)
    small = spread(small, (~hole).astype(np.float32))
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    fixed = small.copy()
    for _ in range(_ROUNDS):
        small = np.where(hole, cv2.filter2D(small, -1, kernel, borderType=cv2.BORDER_REPLICATE), fixed)
    return resize(small, height, width) if scale < 1 else small


def painted_out(photo: Photo, hidden: NDArray[np.bool_], run: Run) -> NDArray[np.uint8]:
    """The photo (H, W, 3) with what is hidden filled from its surroundings."""
    scale = min(1.0, 1024 / max(photo.size))
    size = max(1, round(photo.size[0] * scale)), max(1, round(photo.size[1] * scale))
    small = cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(hidden.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    run.report(0.6, "Painting out the people")
    filled = cv2.inpaint(small, mask, 5, cv2.INPAINT_TELEA)
    whole = cv2.resize(filled, photo.size, interpolation=cv2.INTER_CUBIC)
    return np.where(hidden[..., None], whole, photo.pixels)
