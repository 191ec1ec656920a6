# SPDX-License-Identifier: GPL-3.0-or-later
"""What the networks see of a photo, as their published preprocessing makes it; and their nodes' pictures of depth."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...geometry.relative import grey, unit

#: Mean and standard deviation by which pixels 0..1 are normalised where they are not `IMAGENET`.
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
#: By how much ZoeDepth widens the photo against ragged borders: square roots of half a side.
_ZOE_BORDER = 3
#: Percentiles of the depth between which the node of ZoeDepth spreads its greys.
_ZOE_GREYS = (2, 85)


def fitted(height: int, width: int, frame: tuple[int, int], multiple: int, longest: float) -> tuple[int, int]:
    """(height, width) of the network's picture: in proportion, scaled as little as brings one side to the frame's.

    Sides are multiples of `multiple`, as published. A photo so long that this would be more than `longest` frames is
    made smaller, for attention grows with the square of the area, and a side shorter than a multiple becomes one.
    """
    scales = frame[0] / height, frame[1] / width
    scale = scales[1] if abs(1 - scales[1]) < abs(1 - scales[0]) else scales[0]
    most = longest * frame[0] * frame[1]
    scale = min(scale, (most / (height * width)) ** 0.5)
    limit = int(most / multiple**2)
    rows, columns = (min(max(round(scale * side / multiple), 1), limit) for side in (height, width))
    return rows * multiple, columns * multiple


def resized(pixels: NDArray[np.uint8], size: tuple[int, int], mode: str, moments: tuple) -> Tensor:
    """(3, h, w) float32: resized in 8 bits and without aliasing, then normalised by (mean, deviation)."""
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    picture = functional.interpolate(picture, size=size, mode=mode, antialias=True, align_corners=False)
    return _normalised(picture[0].float() / 255, moments)


def widened(pixels: NDArray[np.uint8], frame: tuple[int, int], longest: float) -> Tensor:
    """(3, h, w) float32 as ZoeDepth sees the photo: mirrored beyond its borders, resized, normalised."""
    rows, columns = zoe_border(pixels.shape[0], pixels.shape[1])
    around = np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), "reflect")
    size = fitted(around.shape[0], around.shape[1], frame, 32, longest)
    picture = torch.from_numpy(around).permute(2, 0, 1)[None].float() / 255
    picture = functional.interpolate(picture, size=size, mode="bilinear", align_corners=True)
    return _normalised(picture[0], HALF)


def zoe_border(height: int, width: int) -> tuple[int, int]:
    """Rows and columns that ZoeDepth adds on each side."""
    rows, columns = (min(int((side / 2) ** 0.5 * _ZOE_BORDER), side - 1) for side in (height, width))
    return rows, columns


def far_is_dark(depth: NDArray[np.float32], resolution: int) -> NDArray[np.uint8]:
    """Metres as the node of Depth Anything draws them: the farthest 0, the nearest 255."""
    return np.subtract(np.uint8(255), grey(unit(depth), resolution))


def zoe_picture(depth: NDArray[np.float32], resolution: int) -> NDArray[np.uint8]:
    """Metres as the node of ZoeDepth draws them: near is bright, between two percentiles of all depths."""
    near, far = np.percentile(depth, _ZOE_GREYS).astype(np.float32)
    return grey(1 - (depth - near) / max(far - near, np.float32(1e-12)), resolution)


def _normalised(picture: Tensor, moments: tuple) -> Tensor:
    mean, deviation = (torch.tensor(values)[:, None, None] for values in moments)
    return (picture - mean) / deviation
