# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model finds under the mask before it paints, and matching its colours to the surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...geometry.resample import spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

#: What may lie under the mask: the photo itself, mid grey, the blurred surroundings, or those with noise.
FILLINGS = ("original", "grey", "surroundings", "noise")
#: Standard deviation of "noise", on the scale 0..1.
_NOISE = 0.2
#: Where the mask is below this, the pixel is kept.  Pixels around the mask that are not trusted either.
_KEPT, _RIM = 1 / 255, 3
#: Fewer kept pixels than this say nothing about colours.
_FEWEST = 64
#: Limits of the change of a channel's contrast: beyond them the model painted something else.
_GAIN = (0.8, 1.25)


def filled(crop: Pixels, mask: Pixels, fill: str, seed: int) -> Pixels:
    """The crop (h, w, 3) 0..1 with one of `FILLINGS` as strong as the mask (h, w)."""
    if fill == "original":
        return crop
    if fill == "grey":
        below = np.full_like(crop, 0.5)
    else:
        below = surroundings(crop, mask)
        if fill == "noise":
            below = below + np.random.default_rng(seed).normal(0, _NOISE, crop.shape).astype(np.float32)
    return np.clip(crop + (below - crop) * mask[..., None], 0, 1)


def surroundings(crop: Pixels, mask: Pixels) -> Pixels:
    """The known surroundings of the mask, spread into it ever more smoothly towards its middle; grey if there are
    none."""
    # At the mask's rim a pixel may still show what is under the mask.
    inside = cv2.dilate((mask > _KEPT).astype(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8))
    known = (1 - inside if not inside.all() else 1 - mask).astype(np.float32)
    if known.max() <= 0:
        return np.full_like(crop, 0.5)
    weight = np.repeat(known[..., None], crop.shape[2], -1)
    return spread(crop * weight, weight)


def match_colours(painted: Pixels, seen: Pixels, mask: Pixels) -> Pixels:
    """The repainted crop (h', w', 3) with each channel's mean and contrast as they were, judged by what the mask
    (h, w) keeps of the crop that the model saw (h, w, 3)."""
    painted_small = cv2.resize(painted, (seen.shape[1], seen.shape[0]), interpolation=cv2.INTER_LINEAR)
    kept = mask < _KEPT
    if np.count_nonzero(kept) < _FEWEST:
        return painted
    was, became = seen[kept], painted_small[kept]
    gain = np.clip(was.std(0) / np.maximum(became.std(0), 1e-4), *_GAIN)
    return np.clip((painted - became.mean(0)) * gain + was.mean(0), 0, 1).astype(np.float32)
