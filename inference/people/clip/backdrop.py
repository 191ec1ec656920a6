# SPDX-License-Identifier: GPL-3.0-or-later
"""What is behind the people of a clip, so that one in front can be taken out of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ...shipped import pose
from ...shipped.pose import PoseLandmarks


def _outline(person: PoseLandmarks, height: int, width: int) -> NDArray[np.bool_]:
    """The person's pixels and a little around them."""
    reach = max(1, round(0.015 * person.region.size))
    mask = pose.person_mask(person, height, width)
    return cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1))) > 0.3


def is_on(points: NDArray, person: PoseLandmarks) -> NDArray[np.bool_]:
    """Whether points (N, 2), in pixels, lie on a person, by the person's mask."""
    side = person.mask_logits.shape[0]
    places, within = in_crop(points, person)
    column, row = np.floor(places[within] * side).astype(int).T
    on = np.zeros(len(points), bool)
    on[within] = person.mask_logits[row, column] > 0
    return on


def in_crop(points: NDArray, person: PoseLandmarks) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where points (N, 2), in pixels, lie in a person's crop, 0..1 (N, 2), and whether they do (N,)."""
    places = (points - person.matrix[:, 2]) @ np.linalg.inv(person.matrix[:, :2]).T
    return places, ((places >= 0) & (places < 1)).all(axis=1)


def covered_share(small: PoseLandmarks, large: PoseLandmarks, side: int = 64) -> float:
    """The share of a person's mask that is another one's too; 1 for an empty mask."""
    steps = small.mask_logits.shape[0] // side
    grid = np.stack(np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2), -1).reshape(-1, 2)
    own = small.mask_logits[::steps, ::steps].reshape(-1) > 0
    if not own.any():
        return 1.0
    return float(is_on(grid[own] @ small.matrix[:, :2].T + small.matrix[:, 2], large).mean())


def partly_hidden(person: PoseLandmarks, front: Sequence[PoseLandmarks]) -> PoseLandmarks:
    """The person with those landmarks as good as unseen that lie on people in front; the network guesses them."""
    hidden = np.zeros(len(person.points), bool)
    for other in front:
        hidden |= is_on(person.points, other)
    return replace(person, visibility=np.where(hidden, 0.1 * person.visibility, person.visibility).astype(np.float32))


class Backdrop:
    """What is behind the people, gathered from the frames in which nobody stood there."""

    def __init__(self) -> None:
        self.pixels: NDArray[np.uint8] | None = None
        self.known: NDArray[np.bool_] | None = None

    def add(self, pixels: NDArray[np.uint8], people: Sequence[PoseLandmarks]) -> None:
        """Take up a frame outside of its people."""
        free = np.ones(pixels.shape[:2], bool)
        for one in people:
            free &= ~_outline(one, *pixels.shape[:2])
        if self.pixels is None or self.known is None:
            self.pixels, self.known = pixels.copy(), free
            return
        cv2.copyTo(pixels, free.astype(np.uint8), self.pixels)
        self.known |= free

    def without(
        self,
        pixels: NDArray[np.uint8],
        front: Sequence[PoseLandmarks],
        behind: Sequence[PoseLandmarks],
        person: PoseLandmarks,
    ) -> NDArray[np.uint8]:
        """The picture with the backdrop in the place of the people in front of and behind a person.

        Those behind go only as far as they are not the person; where the backdrop is unknown it is guessed from what
        is around. Before the first `add` the picture comes back as it is.
        """
        if self.pixels is None or self.known is None:
            return pixels
        height, width = pixels.shape[:2]
        covered = np.zeros((height, width), bool)
        for one in behind:
            covered |= _outline(one, height, width)
        covered &= pose.person_mask(person, height, width) < 0.5
        for one in front:
            covered |= _outline(one, height, width)
        painted = np.where((covered & self.known)[..., None], self.pixels, pixels)
        unknown = (covered & ~self.known).astype(np.uint8)
        if not unknown.any():
            return painted
        quarter = (max(1, pixels.shape[1] // 4), max(1, pixels.shape[0] // 4))
        holes = (cv2.resize(unknown, quarter, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
        filled = cv2.inpaint(cv2.resize(painted, quarter, interpolation=cv2.INTER_AREA), holes, 3, cv2.INPAINT_TELEA)
        return np.where(unknown[..., None] > 0, cv2.resize(filled, pixels.shape[1::-1]), painted)
