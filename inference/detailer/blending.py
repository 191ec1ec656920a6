# SPDX-License-Identifier: GPL-3.0-or-later
"""Resizing masks, pasting crops, and the picture with a hole that inpainting models see."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: Pixels of the picture per latent pixel.
GRID = 8


def resized_mask(mask: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A mask resized bilinearly, half-pixel centres, no antialiasing."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def pasted(
    picture: NDArray[np.float32], patch: NDArray[np.float32], mask: NDArray[np.float32], corner: tuple[int, int]
) -> NDArray[np.float32]:
    """The picture with a patch pasted at (x, y) through the mask; what reaches out of the picture is cut off."""
    (x, y), (height, width) = corner, patch.shape[:2]
    rows, columns = slice(max(-y, 0), picture.shape[0] - y), slice(max(-x, 0), picture.shape[1] - x)
    strength = resized_mask(mask, width, height)[rows, columns, None]
    result = picture.copy()
    below = result[max(y, 0) : y + height, max(x, 0) : x + width]
    below[:] = (1 - strength) * below + strength * patch[rows, columns]
    return result


def centred(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle of a picture (H, W, ...), with sides that are multiples of 8, as the VAE sees it."""
    height, width = (side // GRID * GRID for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def with_hole(crop: NDArray[np.float32], noise_mask: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """What a model made for inpainting sees: the middle of the crop (H, W, 3) with mid grey where the mask, rounded, is
    1; and the middle of the mask (h, w) at that size, unrounded."""
    mask = centred(resized_mask(noise_mask, crop.shape[1], crop.shape[0]))
    keep = 1 - np.rint(mask)[..., None]
    return ((centred(crop) - 0.5) * keep + 0.5).astype(np.float32), mask
