# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain vision transformer of Xu et al., "ViTPose", 2022, by which several networks see people; and blocks whose
weights stay as small as they are published."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode

#: Pixels of a patch's side, which reaches over the picture's border by `_PADDING`.
PATCH, _PADDING = 16, 2


class Backbone(nn.Module):
    """Pictures (B, 3, 16 r, 16 c), normalised -> features (B, r c, width) of their patches, row by row.

    grid : rows and columns of patches.  eps : of the normalisations.
    """

    def __init__(self, width: int, depth: int, heads: int, grid: tuple[int, int], eps: float = 1e-6) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, PATCH, PATCH, _PADDING)
        self.positions = nn.Parameter(torch.empty(grid[0] * grid[1], width))
        self.blocks = nn.ModuleList(Block(width, heads, eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=eps)

    def embed(self, pictures: Tensor) -> Tensor:
        """Patches (B, r c, width)."""
        return self.patch(pictures).flatten(2).transpose(1, 2) + self.positions

    def forward(self, pictures: Tensor) -> Tensor:
        return self.norm(through(self.blocks, self.embed(pictures)))


class Block(nn.Module):
    """Attention among the patches, then two layers in each; both see what came in normalised and are added to it."""

    def __init__(self, width: int, heads: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        query, key, value = self.qkv(self.norm1(x)).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.proj(seen.transpose(1, 2).reshape(batch, count, width))
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


def through(blocks: Iterable[nn.Module], x: Tensor, **named: Any) -> Tensor:
    """x (B, N, width) through blocks of one shape, in its own type.

    Blocks of a smaller type lend their weights, one block after the other, to one of x's type: a transformer whose
    weights are published in 16 bits computes in 32, and takes no more memory than its file does.
    """
    lent: dict[str, Tensor] = {}
    fast = x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    with _ByConvolution() if fast else nullcontext():
        for block in blocks:
            own = {**dict(block.named_parameters()), **dict(block.named_buffers())}
            if all(values.dtype == x.dtype for values in own.values()):
                x = block(x, **named)
                continue
            lent = lent or {name: torch.empty_like(values, dtype=x.dtype) for name, values in own.items()}
            for name, values in own.items():
                lent[name].copy_(values)
            x = functional_call(block, lent, (x,), named)
    return x


class _ByConvolution(TorchFunctionMode):
    """While this is held, linear layers are computed as convolutions of one pixel, which torch gives to oneDNN: on
    processors of AMD twice as fast as its matrix products in float32, on others as fast."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not functional.linear:
            return func(*args, **(kwargs or {}))

        def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            rows = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
            made = functional.conv2d(rows, weight[:, :, None, None], bias)
            return made.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)

        return linear(*args, **(kwargs or {}))
