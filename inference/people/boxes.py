# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes and masks of people in a photo, for any model: those that callers give, and those that landmarks draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..camera import Camera
    from ..shipped.pose import PoseLandmarks


def boxes_per_photo(boxes: Sequence | None, count: int) -> Sequence[Sequence[Sequence[float]]] | None:
    """Boxes as one list a photo; for a single photo a flat list of boxes will do."""
    if boxes is None:
        return None
    try:
        listed = [list(entry) for entry in boxes]
        flat = bool(listed) and all(np.ndim(value) == 0 for entry in listed for value in entry) and bool(listed[0])
    except (TypeError, ValueError):
        raise BadInput(
            "The boxes are not a list of boxes.", "Give (x0, y0, x1, y1) per person, a list per photo."
        ) from None
    if count == 1 and (flat or not listed):
        return [listed]
    if flat or len(listed) != count:
        raise BadInput(
            f"There are {len(listed)} lists of boxes for {count} photos.", "Give one list of boxes per photo."
        )
    return listed


def separate_masks(masks: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Masks (H, W) 0..1 in which no pixel belongs to two people: it goes to the one who claims it most."""
    if len(masks) < 2:
        return masks
    stacked = np.stack(masks)
    owner = stacked.argmax(0)
    return [np.where(owner == number, mask, 0).astype(np.float32) for number, mask in enumerate(masks)]


def landmark_box(one: PoseLandmarks) -> NDArray[np.float32]:
    """(x0, y0, x1, y1) around the landmarks that are seen."""
    seen = one.visibility[:33] * one.presence[:33] > 0.3
    points = one.points[:33][seen] if seen.sum() > 1 else one.points[:33]
    return np.concatenate([points.min(0), points.max(0)])


def box_overlap(first: NDArray, second: NDArray) -> float:
    """Intersection over union of two boxes."""
    shared = np.prod(np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None))
    return float(shared / max(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared, 1e-9))


def person_box(one: PoseLandmarks, mask: NDArray[np.float32], camera: Camera) -> tuple[float, float, float, float]:
    """The box around the person's mask, or around the landmarks where the mask is empty, inside the picture."""
    rows, columns = np.flatnonzero((mask > 0.5).any(1)), np.flatnonzero((mask > 0.5).any(0))
    if len(rows):
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    box = np.clip(landmark_box(one), 0, [camera.width, camera.height] * 2)
    return tuple(float(value) for value in box)  # type: ignore[return-value]
