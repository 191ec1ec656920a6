# SPDX-License-Identifier: GPL-3.0-or-later
"""What the networks that stand on DINOv2 share (Oquab et al., "DINOv2", TMLR 2024): the positions of its patches."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn import functional

PATCH = 14
#: Side of the grid of patches whose positions were trained.
TRAINED_GRID = 37
#: Added to the wanted number of patches before it is divided by the trained one: the published networks were trained
#: with positions sampled at this slightly smaller step, which moves the tokens by up to a fifth of their spread.
_GRID_OFFSET = 0.1


def sampled_positions(trained: Tensor, rows: int, columns: int) -> Tensor:
    """The trained positions (1, 1369, width), sampled bicubically for another grid: (1, rows * columns, width)."""
    grid = trained.float().reshape(1, TRAINED_GRID, TRAINED_GRID, -1).permute(0, 3, 1, 2)
    factors = [(side + _GRID_OFFSET) / TRAINED_GRID for side in (rows, columns)]
    sample = partial(functional.interpolate, mode="bicubic", align_corners=False)
    return sample(grid, scale_factor=factors).flatten(2).transpose(1, 2).to(trained.dtype)
