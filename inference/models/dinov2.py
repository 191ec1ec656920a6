# SPDX-License-Identifier: GPL-3.0-or-later
"""What the networks that stand on DINOv2 share (Oquab et al., "DINOv2", TMLR 2024): its patches, their
positions, and where in the picture they lie."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
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


def embedded(vit: Any, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, 14 r, 14 c), normalised -> the tokens (B, 1 + r c, width) that timm's transformer begins with."""
    rows, columns = (side // PATCH for side in pictures.shape[2:])
    positions = vit.pos_embed
    if (rows, columns) != (TRAINED_GRID, TRAINED_GRID):
        positions = torch.cat([positions[:, :1], sampled_positions(positions[:, 1:], rows, columns)], 1)
    patches = vit.patch_embed.proj(pictures).flatten(2).transpose(1, 2)
    return torch.cat([vit.cls_token.expand(len(pictures), -1, -1), patches], 1) + positions


def places_of(rows: int, columns: int, aspect: float) -> Tensor:
    """(1, 2, rows, columns): u to the right and v down of each cell's centre, in half diagonals from the middle.

    aspect : width over height of what the cells cover.
    """
    diagonal = (1 + aspect**2) ** 0.5
    u = ((2 * torch.arange(columns) + 1) / columns - 1) * (aspect / diagonal)
    v = ((2 * torch.arange(rows) + 1) / rows - 1) / diagonal
    return torch.stack(torch.meshgrid(u, v, indexing="xy"))[None]
