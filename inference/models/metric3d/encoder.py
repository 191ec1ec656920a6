# SPDX-License-Identifier: GPL-3.0-or-later
"""The vision transformer in front, with patches of 14 pixels.

Source: Oquab et al., "DINOv2", TMLR 2024; the registers: Darcet et al., "Vision Transformers Need Registers", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import transformer
from ..dinov2 import PATCH, sampled_positions

#: Tokens before the patches: the class token and four registers.
SPECIAL = 5


@dataclass(frozen=True)
class Backbone:
    """One of the published sizes.

    transformer : timm's name.  width : channels of a token; the decoder's widths are parts of it.
    taps : blocks (counted from 1) whose raw outputs are handed on; none: the normalised last one.
    iterations : of the refinement.
    """

    transformer: str
    width: int
    iterations: int
    taps: tuple[int, ...] = ()


BACKBONES = {
    "vit-small": Backbone("vit_small_patch14_reg4_dinov2", 384, 4),
    "vit-large": Backbone("vit_large_patch14_reg4_dinov2", 1024, 8),
    "vit-giant2": Backbone("vit_giant_patch14_reg4_dinov2", 1536, 8, (10, 20, 30, 40)),
}


class Encoder(nn.Module):
    """Pictures (B, 3, H, W), normalised, sides multiples of 28 -> four levels of tokens (B, 5 + H W / 196, width)."""

    vit: Any  # timm's VisionTransformer, which declares less than it has

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.taps = backbone.taps
        self.vit = transformer(backbone.transformer)
        if self.taps:
            self.vit.norm = nn.Identity()

    def forward(self, pictures: Tensor) -> list[Tensor]:
        count, _, height, width = pictures.shape
        positions = sampled_positions(self.vit.pos_embed, height // PATCH, width // PATCH)
        patches = self.vit.patch_embed.proj(pictures).flatten(2).transpose(1, 2) + positions
        special = torch.cat([self.vit.cls_token, self.vit.reg_token], 1).expand(count, -1, -1)
        tokens = torch.cat([special, patches], 1)
        levels = []
        for number, block in enumerate(self.vit.blocks, 1):
            tokens = block(tokens)
            if number in self.taps:
                levels.append(tokens)
        return levels or [self.vit.norm(tokens)] * 4
