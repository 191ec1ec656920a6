# SPDX-License-Identifier: GPL-3.0-or-later
"""What decoders of a vision transformer's outputs share (Ranftl et al. 2021, "Vision Transformers for Dense
Prediction", section 3): levels of several resolutions, added from the coarsest to the finest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..weights import Rules

#: From the names of such decoders' files, after "scratch.", to those of the modules here.
RULES: Rules = (
    *((rf"^scratch\.layer{level + 1}_rn\.", f"narrow.{level}.") for level in range(4)),
    *((rf"^scratch\.refinenet{level + 1}\.", f"fusions.{level}.") for level in range(4)),
    (r"\.resConfUnit1\.conv1\.", ".before.first."),
    (r"\.resConfUnit1\.conv2\.", ".before.second."),
    (r"\.resConfUnit2\.conv1\.", ".after.first."),
    (r"\.resConfUnit2\.conv2\.", ".after.second."),
    (r"\.out_conv\.", ".out."),
)


class Fusion(nn.Module):
    """Adds a level to what comes from the coarser ones, and enlarges the sum."""

    def __init__(self, width: int, joins: bool) -> None:
        super().__init__()
        self.before = Residual(width) if joins else None
        self.after = Residual(width)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, level: Tensor, coarser: Tensor | None, size: torch.Size | None) -> Tensor:
        if coarser is not None and self.before is not None:
            level = coarser + self.before(level)
        return self.out(enlarged(self.after(level), size))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x.relu()).relu())


def fused(levels: Sequence[Tensor], fusions: nn.ModuleList) -> Tensor:
    """Four levels, the finest first, as one of twice the finest's sides."""
    path = None
    for number in (3, 2, 1, 0):
        path = fusions[number](levels[number], path, levels[number - 1].shape[2:] if number else None)
    assert path is not None
    return path


def enlarged(x: Tensor, size: Sequence[int] | None) -> Tensor:
    """To `size`, or twice as large."""
    size = size or [2 * side for side in x.shape[2:]]
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
