# SPDX-License-Identifier: GPL-3.0-or-later
"""The photo as the network takes it, and the 8-bit pictures of its result as the reference node makes them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...geometry.previews import padded, preview_size, to_resolution
from ...geometry.resample import Axis, resize

#: The network's picture. It was trained with this size, whatever the photo's.
HEIGHT, WIDTH = 616, 1064
#: Around the photo: the mean colour, RGB.
_BORDER = (124, 116, 104)
#: The node's map of greys, which darken with distance: nine of them, the others linearly between.
_GREYS = (255, 240, 217, 189, 150, 115, 82, 37, 0)
_FARTHEST = 1.1


@dataclass(frozen=True)
class Placement:
    """Where a photo lies in the network's picture, and its scale before rounding to whole pixels."""

    scale: float
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, height: int, width: int) -> Placement:
        """As large as fits, in the middle. At least one pixel remains of the thinnest strip."""
        scale = min(HEIGHT / height, WIDTH / width)
        rows, columns = max(1, int(scale * height)), max(1, int(scale * width))
        return cls(scale, (HEIGHT - rows) // 2, (WIDTH - columns) // 2, rows, columns)

    @property
    def area(self) -> tuple[slice, slice]:
        """The rows and columns of the network's picture that show the photo."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def network_picture(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo (H, W, 3) in the middle of the network's picture (616, 1064, 3), bilinear and without antialias."""
    place = Placement.of(pixels.shape[0], pixels.shape[1])
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:] = _BORDER
    picture[place.area] = cv2.resize(pixels, (place.width, place.height), interpolation=cv2.INTER_LINEAR)
    return picture


def depth_picture(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey levels (h, w) uint8 of a depth (h, w): white near, and 26 at the farthest pixel."""
    share = depth / (depth.max() + np.float32(1e-8))
    index = (share / np.float32(_FARTHEST) * np.float32(256)).astype(np.intp)
    return _grey_levels()[np.minimum(index, 255)]


def normal_picture(normals: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """Normals (h, w, 3) as colours (height, width, 3) uint8: red to the left, green upwards, blue to the viewer.

    Interpolated row by row: of a large photo the floats would take four times the memory of the picture.
    """
    wide, rows = resize(normals, normals.shape[0], width), Axis(normals.shape[0], height)
    picture = np.empty((height, width, 3), np.uint8)
    for row in range(height):
        share = rows.share[row]
        normal = wide[rows.first[row]] * (1 - share) + wide[rows.second[row]] * share
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + np.float32(1e-8)
        picture[row] = 255 - (127 * normal + 128).astype(np.uint8)
    return picture


def depth_preview(depth: NDArray[np.float32], photo: tuple[int, int], resolution: int) -> NDArray[np.uint8]:
    """The node's picture (rows, columns, 3) of a depth (h, w). photo : its height and width, the size for 0."""
    picture = depth_picture(depth)
    if resolution == 0:
        method = cv2.INTER_CUBIC if min(photo) > min(picture.shape) else cv2.INTER_AREA
        picture = np.asarray(cv2.resize(picture, photo[::-1], interpolation=method), np.uint8)
    return np.repeat(to_resolution(picture, resolution)[..., None], 3, -1)


def normal_preview(normals: NDArray[np.float32], photo: tuple[int, int], resolution: int) -> NDArray[np.uint8]:
    """The node's picture of the normals (h, w, 3). photo : its height and width.

    The node cuts it to the size of its depth picture, whose sides are rounded from other numbers: beside the photo's
    own there may be a repeated column or row, and one may be missing.
    """
    picture = to_resolution(normal_picture(normals, *photo), resolution)
    if resolution == 0:
        return picture
    rows, columns = preview_size(normals.shape[0], normals.shape[1], resolution)
    return padded(picture)[:rows, :columns]


def _grey_levels() -> NDArray[np.uint8]:
    share = np.linspace(0, 1, 256)
    levels = np.interp(share, np.linspace(0, 1, len(_GREYS)), _GREYS)
    return (levels + 1e-6).astype(np.uint8)  # at the nine greys themselves rounding may fall short
