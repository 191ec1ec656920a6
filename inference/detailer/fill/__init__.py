# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that needs no model: fills what is under the mask with patches of its surroundings.

It does not know what it paints: walls, ground, sky, cloth and skin are continued, a face does not come back. `denoise`
1 leaves nothing of what was there. Below it, what was there keeps its broad forms, as in frequency separation, and only
finer detail comes from the surroundings: the lower `denoise`, the finer. Where next to no surroundings are left, the
picture keeps its forms and its own detail is shuffled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from .masked_content import surroundings
from .patchmatch import completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ..settings import Settings

    Pixels = NDArray[np.float32]

#: Sigma in pixels of what counts as detail where a picture's own detail is shuffled.
_DETAIL = 4.0
#: Side of the patches of texture that are then blended, and how far they overlap.
_PATCH, _OVERLAP = 32, 8
#: How many of the most similar places a patch is drawn from, and among how many at most they are searched.
_ALIKE, _MOST_SOURCES = 8, 2000


class FillEngine:
    """See `engines.Repainter`. Works at the photo's own size: enlarging a crop first would only blur its detail."""

    native = True

    def repaint(self, crop: Pixels, noise_mask: Pixels | None, *, seed: int, settings: Settings) -> Pixels:
        def fill(picture: Pixels, hole: NDArray[np.bool_], rng: np.random.Generator) -> Pixels | None:
            run = settings.run
            run.report(0.0, "Filling from the surroundings")
            return completed(picture, hole, rng, lambda share: run.report(share, "Filling from the surroundings"))

        return filled_in(crop, noise_mask, settings, np.random.default_rng(seed), fill)


def filled_in(
    crop: Pixels,
    noise_mask: Pixels | None,
    settings: Settings,
    rng: np.random.Generator,
    fill: Callable[[Pixels, NDArray[np.bool_], np.random.Generator], Pixels | None],
    *,
    own_size: bool = True,
) -> Pixels:
    """What a native engine makes of a crop; see `engines.Repainter.repaint`.

    fill : of a picture and its hole, the picture with the hole filled; None where too little is known around it.
    own_size : at the photo's own size, whatever the size of the crop.
    """
    if noise_mask is None:
        return _textured(crop, settings.denoise, rng)
    if not noise_mask.max() > 0:
        return crop
    # A mask that is grey all over is filled whole: it is then pasted as weakly as it is grey.
    hole = noise_mask >= 0.5 * noise_mask.max()
    if settings.masked is not None and settings.masked.shape == hole.shape:
        hole = hole | settings.masked  # other parts of the mask must not be copied
    size = (crop.shape[1], crop.shape[0])
    if crop.shape[:2] != hole.shape and own_size:
        (height, width), area = hole.shape, crop.shape[0] * crop.shape[1] > hole.size
        resized = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if area else cv2.INTER_CUBIC)
        crop = np.clip(np.asarray(resized, np.float32), 0, 1)
    elif crop.shape[:2] != hole.shape:
        hole = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0
    filled = fill(crop, hole, rng)
    if filled is None:
        if np.count_nonzero(~hole) * 4 < hole.size:
            return _textured(crop, settings.denoise, rng)
        filled = surroundings(crop, hole.astype(np.float32))
    return np.clip(_with_forms(filled, crop, hole, settings.denoise), 0, 1)


def _with_forms(filled: Pixels, crop: Pixels, hole: NDArray[np.bool_], denoise: float) -> Pixels:
    """The filling with the broad forms that were under it: those broader than the hole's depth times d / (1 - d)."""
    if denoise >= 1:
        return filled
    depth = float(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max())
    sigma = min(depth * denoise / (1 - denoise), 4.0 * max(hole.shape))
    forms = crop - filled
    if sigma > 0.1:
        forms = cv2.GaussianBlur(forms, (0, 0), sigma)
    return np.where(hole[..., None], filled + forms, filled)


def _textured(crop: Pixels, denoise: float, rng: np.random.Generator) -> Pixels:
    """The crop with its own detail shuffled."""
    smooth = cv2.GaussianBlur(crop, (0, 0), _DETAIL)
    new = np.clip(smooth + _texture(crop - smooth, np.asarray(smooth, np.float32), rng), 0, 1)
    return (crop + (new - crop) * np.float32(denoise)).astype(np.float32)


def _texture(detail: Pixels, smooth: Pixels, rng: np.random.Generator) -> Pixels:
    """Patches (H, W, 3) of the detail, blended. Each is drawn from the `_ALIKE` places whose colour is most similar to
    that of the picture there."""
    height, width = detail.shape[:2]
    side = min(_PATCH, height, width)
    rows, columns = np.mgrid[: height - side + 1, : width - side + 1]
    sources = np.stack([rows.ravel(), columns.ravel()], 1)
    if len(sources) > _MOST_SOURCES:
        sources = sources[rng.choice(len(sources), _MOST_SOURCES, replace=False)]
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
            from_y, from_x = sources[rng.choice(best)]
            total[y : y + side, x : x + side] += detail[from_y : from_y + side, from_x : from_x + side] * window
            weight[y : y + side, x : x + side] += window**2
    # Divided by the root of the squares: where independent patches overlap, their contrast stays.
    return total / np.sqrt(np.maximum(weight, 1e-6))
