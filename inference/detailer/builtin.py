# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that needs no model: fills what is under the mask from its surroundings.

It invents nothing. A hole is closed smoothly from its rim (Telea 2004, as OpenCV has it), and gets the texture that the
surroundings have beyond that: their detail, shuffled by the seed, at their strength. `denoise` blends between what was
there and the filling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .job import Settings

    Pixels = NDArray[np.float32]

#: Longer side at which a hole is closed: what is filled is smooth, and the method is slow.
_CLOSE_AT = 256
#: Sigma in pixels of what counts as detail of the surroundings, which the smooth filling lacks.
_DETAIL = 4.0
#: Side of the pieces of texture that are laid into the hole, and how far they overlap.
_PIECE, _OVERLAP = 32, 8
#: Places that a piece is drawn from, and among how many at most they are sought.
_ALIKE, _MOST_SOURCES = 8, 2000


class Filler:
    """See `job.Engine`."""

    def repaint(self, crop: Pixels, noise_mask: Pixels | None, *, seed: int, settings: Settings) -> Pixels:
        height, width = crop.shape[:2]
        mask = np.ones((height, width), np.float32)
        if noise_mask is not None:
            mask = cv2.resize(noise_mask, (width, height), interpolation=cv2.INTER_LINEAR)
        hole = mask > 0
        if hole.all():  # nothing is left to fill from: only the texture is made anew
            smooth, known = cv2.GaussianBlur(crop, (0, 0), _DETAIL), np.ones_like(hole)
        else:
            smooth, known = _closed(crop, hole), ~hole
        settings.run.report(0.5, "Filling from the surroundings")
        detail = crop - cv2.GaussianBlur(crop, (0, 0), _DETAIL)
        filled = np.clip(
            smooth + _texture(detail, np.asarray(smooth, np.float32), known, np.random.default_rng(seed)), 0, 1
        )
        share = (mask * np.float32(settings.denoise))[..., None]
        return crop * (1 - share) + filled * share


def _closed(crop: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """The crop with the hole closed smoothly from its rim."""
    height, width = hole.shape
    scale = min(1.0, _CLOSE_AT / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    small_hole = cv2.resize(hole.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    small_hole = cv2.dilate(small_hole, np.ones((3, 3), np.uint8))
    if small_hole.all():
        small_hole[:, 0] = small_hole[0] = 0
    closed = cv2.inpaint(np.rint(small * 255).astype(np.uint8), small_hole, 3, cv2.INPAINT_TELEA)
    enlarged = cv2.resize(closed.astype(np.float32) / 255, (width, height), interpolation=cv2.INTER_CUBIC)
    enlarged = cv2.GaussianBlur(enlarged, (0, 0), _DETAIL)
    return np.where(hole[..., None], enlarged, crop)


def _texture(detail: Pixels, smooth: Pixels, known: NDArray[np.bool_], chance: np.random.Generator) -> Pixels:
    """Detail (H, W, 3) for the whole crop: pieces of the surroundings, faded into each other. A piece is drawn from
    the `_ALIKE` places whose colour is most like that of the filling."""
    height, width = known.shape
    side = min(_PIECE, height, width)
    sources = _places_of(known, side)
    if not len(sources):
        return np.zeros_like(detail)
    if len(sources) > _MOST_SOURCES:
        sources = sources[chance.choice(len(sources), _MOST_SOURCES, replace=False)]
    colours = cv2.blur(smooth, (side, side))
    half = side // 2
    of_sources = colours[sources[:, 0] + half, sources[:, 1] + half]
    ramp = np.minimum(np.arange(side) + 1, side - np.arange(side)).clip(max=_OVERLAP).astype(np.float32)
    window = np.minimum(ramp[:, None], ramp)[..., None]
    total, weight = np.zeros_like(detail), np.zeros((height, width, 1), np.float32)
    step = max(side - _OVERLAP, 1)
    for top in range(0, height, step):
        for left in range(0, width, step):
            y, x = min(top, height - side), min(left, width - side)
            unlike = np.square(of_sources - colours[y + half, x + half]).sum(1)
            best = np.argpartition(unlike, min(_ALIKE, len(unlike) - 1))[:_ALIKE]
            from_y, from_x = sources[chance.choice(best)]
            total[y : y + side, x : x + side] += detail[from_y : from_y + side, from_x : from_x + side] * window
            weight[y : y + side, x : x + side] += window**2
    # Divided by the root of the squares: where independent pieces overlap, their strength stays.
    return total / np.sqrt(np.maximum(weight, 1e-6))


def _places_of(known: NDArray[np.bool_], side: int) -> NDArray[np.intp]:
    """Upper left corners (N, 2) of the squares in which everything is known."""
    sums = cv2.integral(known.astype(np.uint8))
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.argwhere(inside == side * side)
