# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels as a PNG file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MaquetteError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def png(pixels: NDArray) -> bytes:
    """Grey levels (H, W), or colours (H, W, 3) or (H, W, 4), uint8 or uint16."""
    import cv2

    written, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    if not written:
        raise MaquetteError("The picture could not be written as PNG.", "Choose another format.")
    return data.tobytes()
