# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels as a PNG or JPEG file."""

from __future__ import annotations

from numpy.typing import NDArray

from ..errors import MaquetteError


def png(pixels: NDArray) -> bytes:
    """Grey levels (H, W), or colours (H, W, 3) or (H, W, 4), uint8 or uint16."""
    return encoded(pixels, ".png")


def encoded(pixels: NDArray, suffix: str) -> bytes:
    """Of the kind that a file name's suffix says, ".png" or ".jpg" (quality 95); see `png`."""
    import cv2

    written, data = cv2.imencode(suffix, pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    if not written:
        raise MaquetteError(f"The picture could not be written as {suffix[1:].upper()}.", "Choose another format.")
    return data.tobytes()
