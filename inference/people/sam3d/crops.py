# SPDX-License-Identifier: GPL-3.0-or-later
"""The squares that SAM 3D Body sees: around a person's box, and around a hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...camera import Camera
from ...models import IMAGENET
from ...models.sam3d_body.backbone import SIDE
from ...models.sam3d_body.network import Squares
from ..hmr2.crops import warped

#: A square is so many times as large as the box of a person, and as that of a hand, widened to `_SHAPE`.
BODY, HAND = 1.25, 0.9
_SHAPE = 0.75


@dataclass(frozen=True)
class Square:
    """centre (2,) float32 pixels of the photo.  side : pixels."""

    centre: NDArray[np.float32]
    side: np.float32

    @classmethod
    def around(cls, box: Sequence[float] | NDArray, margin: float = BODY) -> Square:
        """The square of a box (x0, y0, x1, y1)."""
        corners = np.asarray(box, np.float32)
        width, height = (corners[2:] - corners[:2]) * np.float32(margin)
        return cls((corners[:2] + corners[2:]) * np.float32(0.5), max(height, width / np.float32(_SHAPE)))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3), from the photo's pixels, counted from their centres, to those of the square."""
        half = self.side * np.float32(0.5)
        x, y = self.centre
        source = np.array([[x, y], [x, y - half], [x - half, y - half]], np.float32)
        target = np.array([[SIDE / 2, SIDE / 2], [SIDE / 2, 0], [0, 0]], np.float32)
        return np.asarray(cv2.getAffineTransform(source, target), np.float64)

    @property
    def corners(self) -> NDArray[np.float32]:
        """(x0, y0, x1, y1) of the square in the photo."""
        half = self.side * np.float32(0.5)
        return np.concatenate([self.centre - half, self.centre + half])

    def picture(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(512, 512, 3), black outside of the photo (H, W, 3)."""
        return warped(pixels, self.matrix, SIDE)

    def mask(self, mask: NDArray) -> NDArray[np.float32]:
        """(512, 512) 0 or 1 of a mask (H, W) 0..1."""
        return warped((np.asarray(mask) > 0.5).astype(np.uint8), self.matrix, SIDE).astype(np.float32)


def squares_of(
    pictures: Sequence[NDArray[np.uint8]], squares: Sequence[Square], cameras: Sequence[Camera],
    masks: Sequence[NDArray[np.float32] | None], device: torch.device,
) -> Squares:  # fmt: skip
    """The network's input of pictures (512, 512, 3) and masks (512, 512), where there are any."""
    mean, spread = (torch.tensor(values, device=device)[:, None, None] for values in IMAGENET)
    seen = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255
    drawn = None
    if any(mask is not None for mask in masks):
        empty = np.zeros((SIDE, SIDE), np.float32)
        drawn = _tensor([empty if mask is None else mask for mask in masks], device)
    return Squares(
        pictures=(seen - mean) / spread,
        affine=_tensor([one.matrix for one in squares], device),
        lens=_tensor([camera.matrix for camera in cameras], device),
        centre=_tensor([one.centre for one in squares], device),
        side=_tensor([one.side for one in squares], device),
        masks=drawn,
        masked=None if drawn is None else torch.tensor([mask is not None for mask in masks], device=device),
    )


def _tensor(values: Sequence, device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(values).astype(np.float32)).to(device)
