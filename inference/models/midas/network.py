# SPDX-License-Identifier: GPL-3.0-or-later
"""DPT-Hybrid (Ranftl et al. 2021, "Vision Transformers for Dense Prediction"): a picture to its relative inverse depth.

The backbone, a residual network under a vision transformer, is timm's; the decoder is the paper's section 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import transformer
from ..dpt import Fusion, enlarged, fused

#: Sides of a picture are multiples of this.
MULTIPLE = 32
_PATCH, _WIDTH, _FEATURES = 16, 768, 256
#: Side of the grid of patches whose positions were trained.
_TRAINED_GRID = 24
#: Transformer blocks, counted from 1, whose outputs are handed on.
_TAPS = (9, 12)


class Midas(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.readouts = nn.ModuleList(Readout(smaller) for smaller in (False, True))
        self.narrow = nn.ModuleList(
            nn.Conv2d(channels, _FEATURES, 3, padding=1, bias=False) for channels in (256, 512, _WIDTH, _WIDTH)
        )
        self.fusions = nn.ModuleList(Fusion(_FEATURES, joins=level < 3) for level in range(4))
        self.head = nn.ModuleList(
            [nn.Conv2d(_FEATURES, 128, 3, padding=1), nn.Conv2d(128, 32, 3, padding=1), nn.Conv2d(32, 1, 1)]
        )

    def halved(self) -> Midas:
        """Half precision where it costs little: in the transformer and in the decoder up to its last level.

        The residual network, whose weights are standardised, would make thirty times their error, and rounding the last
        level would turn the normals, which are its slopes. Both keep float32.
        """
        for part in (self.encoder.vit.blocks, self.readouts, self.narrow, self.fusions):
            part.half()
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) from -1 to 1, sides multiples of 32 -> (B, H, W) float32 >= 0, larger is nearer."""
        fine, middle, *tokens = self.encoder(pictures)
        grid = (pictures.shape[2] // _PATCH, pictures.shape[3] // _PATCH)
        levels = [fine, middle, *(read(one, grid) for read, one in zip(self.readouts, tokens, strict=True))]
        kind = next(self.fusions.parameters()).dtype
        levels = [narrow(level.to(kind)) for narrow, level in zip(self.narrow, levels, strict=True)]
        path = fused(levels, self.fusions).float()
        result = self.head[1](enlarged(self.head[0](path), None)).relu()
        return self.head[2](result).relu()[:, 0]


class Encoder(nn.Module):
    """Pictures -> features at 1/4 (256 channels) and 1/8 (512), and tokens (B, 1 + patches, 768) of two blocks."""

    vit: Any  # timm's VisionTransformer, which declares less than it has

    def __init__(self) -> None:
        super().__init__()
        self.vit = transformer("vit_base_r50_s16_384")
        self.vit.norm = nn.Identity()

    def forward(self, pictures: Tensor) -> list[Tensor]:
        embed = self.vit.patch_embed
        levels = []
        features = embed.backbone.stem(pictures)
        for stage in embed.backbone.stages:
            features = stage(features)
            levels.append(features)
        patches = embed.proj(features)
        rows, columns = patches.shape[2:]
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.vit.cls_token.expand(len(pictures), -1, -1), tokens], 1)
        tokens = (tokens + self.positions(rows, columns)).to(self.vit.blocks[0].norm1.weight.dtype)
        taps = []
        for number, block in enumerate(self.vit.blocks, 1):
            tokens = block(tokens)
            if number in _TAPS:
                taps.append(tokens)
        return [*levels[:2], *taps]

    def positions(self, rows: int, columns: int) -> Tensor:
        """The trained positions (1, 1 + rows * columns, 768), sampled bilinearly for another grid."""
        trained = self.vit.pos_embed
        grid = trained[:, 1:].reshape(1, _TRAINED_GRID, _TRAINED_GRID, -1).permute(0, 3, 1, 2)
        grid = functional.interpolate(grid, size=(rows, columns), mode="bilinear", align_corners=False)
        return torch.cat([trained[:, :1], grid.flatten(2).transpose(1, 2)], 1)


class Readout(nn.Module):
    """Tokens -> a feature map, each patch with a word of the class token (section 3, "project")."""

    def __init__(self, smaller: bool) -> None:
        super().__init__()
        self.project = nn.Linear(2 * _WIDTH, _WIDTH)
        self.mix = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.shrink = nn.Conv2d(_WIDTH, _WIDTH, 3, stride=2, padding=1) if smaller else None

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        patches = tokens[:, 1:]
        joined = torch.cat([patches, tokens[:, :1].expand_as(patches)], 2)
        features = self.mix(functional.gelu(self.project(joined)).transpose(1, 2).unflatten(2, grid))
        return features if self.shrink is None else self.shrink(features)
