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
#: Sigma in pixels over which the light at the mask's rim is compared, and how far from the mask.
_LIGHT, _REACH = 6.0, 24
#: Sigma in pixels of what is finer than grain, and the share of the pixels that are flat enough to tell it.
_FINE, _FLAT = 1.5, 0.5


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
    (h, w) keeps of the crop that the model saw (h, w, 3); what is still off around the mask is taken off under it."""
    size = (seen.shape[1], seen.shape[0])
    kept = mask < _KEPT
    if np.count_nonzero(kept) < _FEWEST:
        return painted
    was, became = seen[kept], cv2.resize(painted, size, interpolation=cv2.INTER_LINEAR)[kept]
    gain = np.clip(was.std(0) / np.maximum(became.std(0), 1e-4), *_GAIN)
    led = ((painted - became.mean(0)) * gain + was.mean(0)).astype(np.float32)
    near = kept & (cv2.distanceTransform(kept.astype(np.uint8), cv2.DIST_L2, 3) < _REACH)
    light = _light(seen - cv2.resize(led, size, interpolation=cv2.INTER_LINEAR), near)
    light = cv2.resize(light, (painted.shape[1], painted.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.clip(led + light, 0, 1).astype(np.float32)


def _light(off: Pixels, where: NDArray[np.bool_]) -> Pixels:
    """What is off (h, w, 3) at some pixels, smoothed and carried on everywhere: a plane, and what it leaves."""
    height, width = where.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    axes = np.stack([np.ones_like(rows), rows / height, columns / width], -1)
    plane = axes @ np.linalg.lstsq(axes[where], off[where], rcond=None)[0].astype(np.float32)
    weight = np.repeat(where[..., None], 3, -1).astype(np.float32)
    share = np.maximum(cv2.GaussianBlur(weight, (0, 0), _LIGHT), 1e-6)
    rest = cv2.GaussianBlur((off - plane) * weight, (0, 0), _LIGHT) / share
    light = plane + spread(rest * weight, weight)
    known = (plane + rest)[where]
    return np.clip(light, known.min(0), known.max(0))


def grained(painted: Pixels, photo: Pixels, strength: Pixels, amount: float, seed: int) -> Pixels:
    """The repainted crop (h, w, 3) with as much grain as it lacks beside the photo's crop, times `amount`.

    strength : (h, w) how much of what was painted is laid over the photo; where nothing is, the photo tells its grain.
    """
    kept, under = strength < _KEPT, strength > strength.max() / 2
    if min(np.count_nonzero(kept), np.count_nonzero(under)) < _FEWEST:
        return painted
    lacking, axes = np.linalg.eigh(_grain(photo, kept) - _grain(painted, under))
    root = axes * np.sqrt(np.maximum(lacking, 0)) * amount
    noise = np.random.default_rng(seed).standard_normal(painted.shape, np.float32)
    # Where both lie over each other their grains partly cancel out.
    blended = np.sqrt(2 / np.clip(strength, 0.2, 1) - 1)[..., None]
    return np.clip(painted + noise @ root.T.astype(np.float32) * blended, 0, 1)


def _grain(picture: Pixels, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Covariance (3, 3) of the channels' white noise, judged by the flattest of these pixels."""
    smooth = cv2.GaussianBlur(picture, (0, 0), _FINE)
    fine = (picture - smooth)[where].astype(np.float64)
    slope = sum(np.abs(cv2.Sobel(smooth, cv2.CV_32F, *way)).sum(-1) for way in ((1, 0), (0, 1)))[where]  # type: ignore
    flat = fine[slope <= np.quantile(slope, _FLAT)]
    kernel = cv2.getGaussianKernel(13, _FINE)
    passed = 1 - 2 * float(kernel.max()) ** 2 + float((kernel**2).sum()) ** 2
    return np.cov(flat, rowvar=False) / passed
