# SPDX-License-Identifier: GPL-3.0-or-later
"""What sees the square of a person: DINOv3's largest distilled transformer (timm's), or the plain one of HMR 2.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import transformer
from ..vit import PATCH, Backbone, through

#: Pixels of the square's side, and cells of the grid of patches.
SIDE = 512
GRID = SIDE // PATCH


@dataclass(frozen=True)
class Kind:
    """One of the two. columns : of the grid that are seen, in the middle.  width : channels of a patch.

    timm : its name there, "" for the plain one.
    """

    columns: int
    width: int = 1280
    depth: int = 32
    heads: int = 16
    timm: str = ""

    @property
    def first(self) -> int:
        """The first column that is seen."""
        return (GRID - self.columns) // 2


KINDS = {"dinov3": Kind(GRID, heads=20, timm="vit_huge_plus_patch16_dinov3_qkvb"), "vith": Kind(24)}


class Seen(nn.Module):
    """Squares (B, 3, 512, 512), normalised -> features (B, width, 32, columns) float32."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind, self.dtype = kind, torch.float32
        grid = GRID, kind.columns
        self.encoder = DinoV3(kind) if kind.timm else Backbone(kind.width, kind.depth, kind.heads, grid, 1e-5)

    def computing_in(self, dtype: torch.dtype, whole: bool) -> None:
        """Have it compute in a type. whole : the blocks have their weights in it too, rather than lend them."""
        self.dtype = dtype
        for name, values in (*self.named_parameters(), *self.named_buffers()):
            if (whole or ".blocks." not in name) and not name.endswith("periods"):
                values.data = values.data.to(dtype)

    def forward(self, squares: Tensor) -> Tensor:
        first = PATCH * self.kind.first
        seen = squares[..., first : first + PATCH * self.kind.columns].to(self.dtype)
        return self.encoder(seen).float().transpose(1, 2).unflatten(2, (GRID, self.kind.columns))


class DinoV3(nn.Module):
    """timm's transformer, with the frequencies of its rotary positions as they are rounded in the file.

    periods : (16,), of which timm would make exact ones.
    """

    periods: Tensor
    vit: Any

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.vit = transformer(kind.timm, embed_dim=kind.width, depth=kind.depth, num_heads=kind.heads)
        self.vit.rope = None
        for block in self.vit.blocks:  # timm's buffer of zeros is in no file
            del block.attn.k_bias
            block.attn.register_buffer("k_bias", torch.empty(kind.width))
        self.register_buffer("periods", torch.empty(kind.width // kind.heads // 4))

    def forward(self, pictures: Tensor) -> Tensor:
        vit, count = self.vit, len(pictures)
        patches = vit.patch_embed.proj(pictures).flatten(2).transpose(1, 2)
        first = [token.expand(count, -1, -1) for token in (vit.cls_token, vit.reg_token)]
        tokens = through(vit.blocks, torch.cat([*first, patches], 1), rope=self.positions().to(pictures.dtype))
        return vit.norm(tokens[:, vit.num_prefix_tokens :])

    def positions(self) -> Tensor:
        """(1024, 2 * head) sines, then cosines, as timm's blocks take them, of the patches row by row."""
        centres = 2 * (torch.arange(GRID, device=self.periods.device) + 0.5) / GRID - 1
        places = torch.stack(torch.meshgrid(centres, centres, indexing="ij"), -1).reshape(-1, 2, 1)
        angles = (2 * torch.pi * places / self.periods.float()).flatten(1).repeat(1, 2)
        return torch.cat([angles.sin(), angles.cos()], -1)
