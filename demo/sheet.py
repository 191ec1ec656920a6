# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures side by side, with captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAP, _CAPTION = 8, 26
_PAPER, _INK = (24, 25, 28), (226, 228, 232)


def over(front: NDArray[np.uint8], back: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture with alpha (H, W, 4) over another (H, W, 3), both sRGB -> (H, W, 3) uint8."""
    alpha = front[..., 3:].astype(np.float32) / 255
    return (front[..., :3] * alpha + back * (1 - alpha) + 0.5).astype(np.uint8)


def resize(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, C) uint8"""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def row(panels: Sequence[tuple[NDArray[np.uint8], str]]) -> NDArray[np.uint8]:
    """Panels (H, W, 3) of one height with a caption under each, in one row (both sides even, as video needs)."""
    height = max(panel.shape[0] for panel, _ in panels) + 2 * _GAP + _CAPTION
    width = sum(panel.shape[1] + _GAP for panel, _ in panels) + _GAP
    sheet = Image.new("RGB", (width + width % 2, height + height % 2), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    x = _GAP
    for panel, caption in panels:
        sheet.paste(Image.fromarray(panel), (x, _GAP))
        draw.text((x + 2, _GAP + panel.shape[0] + 5), caption, _INK, font)
        x += panel.shape[1] + _GAP
    return np.asarray(sheet)


def stack(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows under each other, on the width of the widest."""
    width = max(picture.shape[1] for picture in rows)
    sheet = np.full((sum(picture.shape[0] for picture in rows), width, 3), _PAPER, np.uint8)
    y = 0
    for picture in rows:
        sheet[y : y + picture.shape[0], : picture.shape[1]] = picture
        y += picture.shape[0]
    return sheet
