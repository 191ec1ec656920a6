# SPDX-License-Identifier: GPL-3.0-or-later
"""sRGB and linear light, depths of pixels, and transparency.

What makes bytes works row by row, so that a large picture needs no second copy of itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def light_to_srgb(light: NDArray) -> NDArray:
    """Linear light -> sRGB (IEC 61966-2-1), white at 1; the curve goes on beyond white, and is mirrored below black."""
    size = np.abs(light)
    curve = np.where(size <= 0.0031308, 12.92 * size, 1.055 * np.maximum(size, 0.0031308) ** (1 / 2.4) - 0.055)
    return np.copysign(curve, light)


def srgb_to_light(pixels: NDArray) -> NDArray:
    """The inverse of `light_to_srgb`."""
    size = np.abs(pixels)
    curve = np.where(size <= 0.04045, size / 12.92, ((np.maximum(size, 0.04045) + 0.055) / 1.055) ** 2.4)
    return np.copysign(curve, pixels)


def light_to_bytes(light: NDArray) -> NDArray[np.uint8]:
    """Linear light (H, ...) -> sRGB of 8 bits. NaN, as in broken renders, becomes 0."""
    result = np.empty(light.shape, np.uint8)
    for row in range(len(light)):
        result[row] = quantised(light_to_srgb(_cut_off(light[row].astype(np.float32))))
    return result


def quantised(values: NDArray, bits: int = 8) -> NDArray:
    """0..1 -> whole numbers of 8 or 16 bits, rounded. NaN becomes 0."""
    result = np.empty(values.shape, np.uint8 if bits == 8 else np.uint16)
    for row in range(len(values)):
        result[row] = np.rint(_cut_off(values[row]) * (2**bits - 1))
    return result


def sixteen_to_eight(values: NDArray) -> NDArray[np.uint8]:
    """0..65535 -> 0..255, rounded."""
    result = np.empty(values.shape, np.uint8)
    for row in range(len(values)):
        result[row] = (values[row].astype(np.uint32) * 255 + 32767) // 65535
    return result


def over_white(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay pixels (H, W, 3) with unassociated alpha (H, W) over white."""
    if (alpha == 255).all():
        return np.ascontiguousarray(pixels)
    result = np.empty(pixels.shape, np.uint8)
    for row in range(len(pixels)):
        share = alpha[row, :, None].astype(np.uint16)
        result[row] = (pixels[row] * share + 255 * (255 - share) + 127) // 255
    return result


def unpremultiplied(pixels: NDArray) -> NDArray:
    """The colours (H, W, 3) of pixels (H, W, 4) that are multiplied by their alpha; where that is 0, as they are."""
    alpha = _cut_off(pixels[..., 3:])
    return np.divide(pixels[..., :3], alpha, out=pixels[..., :3].copy(), where=alpha > 0)


def _cut_off(values: NDArray) -> NDArray:
    return np.fmin(np.fmax(values, 0), 1)
