# SPDX-License-Identifier: GPL-3.0-or-later
"""Soft masks, resizing and pasting, with the reference's arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Width of the reference's Gaussian in pixels, whatever the feather.
_SIGMA = 10.0
#: Side of a latent pixel in pixels of the picture.
_GRID = 8


def feathered(mask: NDArray[np.float32], amount: int) -> NDArray[np.float32]:
    """The mask (H, W) blurred by a Gaussian of 2 * amount + 1 taps and a fixed sigma of 10 pixels."""
    taps, short = 2 * amount + 1, min(mask.shape)
    if short <= taps:
        taps = short // 2 | 1
    if amount == 0 or taps < 3:
        return mask
    kernel = cv2.getGaussianKernel(taps, _SIGMA, cv2.CV_32F)
    blurred = cv2.sepFilter2D(mask, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32)


def lanczos(pixels: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A picture (H, W, 3) float32 0..1 resized in 8 bits, cut off (not rounded) on the way there."""
    from PIL import Image

    picture = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS), np.float32) / 255


def resized_mask(mask: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A mask resized bilinearly, half-pixel centres, no antialiasing."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def pasted(
    picture: NDArray[np.float32], patch: NDArray[np.float32], mask: NDArray[np.float32], corner: tuple[int, int]
) -> NDArray[np.float32]:
    """The picture with a patch laid over it at (x, y), as strong as the mask, cut at the picture's edge."""
    x, y = corner
    result = picture.copy()
    height = min(patch.shape[0], picture.shape[0] - y)
    width = min(patch.shape[1], picture.shape[1] - x)
    strength = resized_mask(mask, patch.shape[1], patch.shape[0])[:height, :width, None]
    below = result[y : y + height, x : x + width]
    result[y : y + height, x : x + width] = (1 - strength) * below + strength * patch[:height, :width]
    return result


def centred(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle of a picture (H, W, ...) whose sides are no multiples of 8, as the VAE sees it."""
    height, width = (side // _GRID * _GRID for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def holed(crop: NDArray[np.float32], noise_mask: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """What a model made for inpainting is told: the middle of the crop (H, W, 3) with mid grey where the mask, rounded,
    is 1; and the mask (h, w) at that size, unrounded, its middle taken just so."""
    mask = centred(resized_mask(noise_mask, crop.shape[1], crop.shape[0]))
    keep = 1 - np.rint(mask)[..., None]
    return ((centred(crop) - 0.5) * keep + 0.5).astype(np.float32), mask
