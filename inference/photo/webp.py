# SPDX-License-Identifier: GPL-3.0-or-later
"""Animated WebP pictures, which FFmpeg does not read: their frames at a constant rate, by Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput
from .checks import check_file, check_size, require
from .colour import over_white
from .movie import DEFAULT_FPS, rounded_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


def is_animated(path: Path) -> bool:
    """Whether this is a WebP file with several frames (WebP Container Specification, "VP8X", flag A)."""
    if path.suffix.lower() != ".webp" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21 and bool(head[20] & 2)


class AnimatedWebP:
    """See `movie.Movie`, which it stands for. Raises `BadInput`."""

    pixel_aspect = Fraction(1)

    def __init__(self, path: Path) -> None:
        check_file(path, "picture")
        self.path = path
        self.notes: list[str] = []
        lasting = [max(duration, 1) for _, duration in self._pictures()]
        usual = float(np.median(lasting))
        self.fps = float(rounded_rate(Fraction(1000) / Fraction(usual))) if usual > 1 else DEFAULT_FPS
        ends = np.cumsum(lasting) * self.fps / 1000 if usual > 1 else np.arange(1, len(lasting) + 1)
        self._ends = np.maximum(np.rint(ends).astype(int), 1)
        if np.ptp(lasting) > 0.1 * usual:
            self.notes.append(f"Its frame rate varies; its pictures were put at their times, {self.fps:.5g} a second.")

    @property
    def length(self) -> int:
        return int(self._ends[-1])

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The frames (H, W, 3) uint8 sRGB, one at a time. Each picture stands until the next one begins."""
        count = 0
        for (image, _), end in zip(self._pictures(), self._ends, strict=False):
            pixels = np.asarray(image.convert("RGBA"))
            while count < end:
                yield over_white(pixels[..., :3], pixels[..., 3])
                count += 1

    def _pictures(self) -> Iterator[tuple[Image, float]]:
        """Every picture with the milliseconds that it stands."""
        require("PIL")
        from PIL import Image

        try:
            with Image.open(self.path, formats=["WEBP"]) as image:
                check_size(*image.size)
                for number in range(getattr(image, "n_frames", 1)):
                    image.seek(number)
                    image.load()
                    yield image, float(image.info.get("duration", 0))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise BadInput(f"The picture {self.path} is cut off or damaged.", "Copy or save it again.") from error
