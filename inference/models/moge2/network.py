# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of MoGe-2 (Wang et al., "MoGe-2: Accurate Monocular Geometry with Metric Scale and Sharp Details", 2025).

A DINOv2 transformer, then a pyramid of five levels whose last has 16 cells along each side of a patch, and one such
pyramid for each answer. Modules bear the published names.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import transformer
from ..dinov2 import PATCH, embedded, places_of

#: Levels of a pyramid below the transformer's own width.
_WIDTHS = (256, 128, 64, 32)


@dataclass(frozen=True)
class Backbone:
    """One of the published sizes.

    transformer : timm's name.  width : channels of a token.  taps : blocks (from 0) whose outputs are handed on.
    blocks : residual blocks of the neck at levels 1 to 3.
    """

    transformer: str
    width: int
    taps: tuple[int, ...]
    blocks: int


BACKBONES = {
    "small": Backbone("vit_small_patch14_dinov2", 384, (5, 11), 1),
    "base": Backbone("vit_base_patch14_dinov2", 768, (5, 11), 1),
    "large": Backbone("vit_large_patch14_dinov2", 1024, (5, 11, 17, 23), 2),
}


class Encoder(nn.Module):
    """Pictures (B, 3, 14 r, 14 c), normalised -> a map (B, width, r, c), and the class token (B, width)."""

    backbone: Any  # timm's VisionTransformer, which declares less than it has

    def __init__(self, size: Backbone) -> None:
        super().__init__()
        self.taps = size.taps
        self.backbone = transformer(size.transformer)
        self.output_projections = nn.ModuleList(nn.Conv2d(size.width, size.width, 1) for _ in size.taps)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        grid = pictures.shape[2] // PATCH, pictures.shape[3] // PATCH
        taps = self.tokens(pictures)
        maps = [tokens[:, 1:].transpose(1, 2).unflatten(2, grid) for tokens in taps]
        summed = sum(project(one) for project, one in zip(self.output_projections, maps, strict=True))
        assert isinstance(summed, Tensor)
        return summed, taps[-1][:, 0]

    def tokens(self, pictures: Tensor) -> list[Tensor]:
        """The tapped outputs (B, 1 + r c, width), normalised; the class token comes first."""
        vit, tokens = self.backbone, embedded(self.backbone, pictures)
        taps = []
        for number, block in enumerate(vit.blocks):
            tokens = block(tokens)
            if number in self.taps:
                taps.append(vit.norm(tokens))
        return taps


class Pyramid(nn.Module):
    """Five inputs (B, ., 2^k r, 2^k c) -> five levels of the widths; with `answer` channels, the last is an answer."""

    def __init__(self, width: int, inputs: tuple[int, ...], blocks: int, answer: int = 0) -> None:
        super().__init__()
        widths = (width, *_WIDTHS)
        self.input_blocks = nn.ModuleList(nn.Conv2d(one, own, 1) for one, own in zip(inputs, widths, strict=True))
        counts = (0, blocks, blocks, blocks, 0)
        self.res_blocks = nn.ModuleList(
            nn.ModuleList(_Residual(own) for _ in range(count)) for own, count in zip(widths, counts, strict=True)
        )
        self.resamplers = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(before, after, 2, stride=2), _conv(after, after))
            for before, after in pairwise(widths[:4])
        )
        self.resamplers.append(
            nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), _conv(*widths[3:]))
        )
        self.output_blocks = nn.ModuleList(nn.Identity() for _ in range(4)) if answer else None
        if self.output_blocks is not None:
            self.output_blocks.append(nn.Conv2d(widths[-1], answer, 1))

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        levels: list[Tensor] = []
        for number, values in enumerate(inputs):
            level = self.input_blocks[number](values)
            if number:
                level = level + self.resamplers[number - 1](levels[-1])
            for block in self.res_blocks[number]:  # type: ignore[union-attr]
                level = block(level)
            levels.append(level)
        if self.output_blocks is not None:
            levels[-1] = self.output_blocks[4](levels[-1])
        return levels


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Identity(), nn.ReLU(), _conv(width, width), nn.Identity(), nn.ReLU(), _conv(width, width)
        )

    def forward(self, level: Tensor) -> Tensor:
        return level + self.layers(level)


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="replicate")


class MoGe2(nn.Module):
    """Pictures (B, 3, 14 r, 14 c), normalised -> points (B, 3, 16 r, 16 c), normals, mask (B, 1, ...) and scale (B, 1),
    all before the functions that make them positive or unit."""

    def __init__(self, size: Backbone) -> None:
        super().__init__()
        width, widths = size.width, (size.width, *_WIDTHS)
        self.encoder = Encoder(size)
        self.neck = Pyramid(width, (width + 2, 2, 2, 2, 2), size.blocks)
        self.points_head = Pyramid(width, widths, 1, 3)
        self.normal_head = Pyramid(width, widths, 1, 3)
        self.mask_head = Pyramid(width, widths, 1, 1)
        self.scale_head = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, pictures: Tensor, aspect: float) -> tuple[Tensor, ...]:
        """aspect : width over height of the photos, which that of the pictures only comes near to."""
        features, token = self.encoder(pictures)
        levels = self.neck(self.inputs(features, aspect))
        return (
            self.points_head(levels)[-1],
            self.normal_head(levels)[-1],
            self.mask_head(levels)[-1],
            self.scale_head(token),
        )

    @staticmethod
    def inputs(features: Tensor, aspect: float) -> list[Tensor]:
        """What the neck takes at each level: where its cells lie, at the first beside the transformer's features."""
        count, _, rows, columns = features.shape
        places = [places_of(rows << level, columns << level, aspect).to(features) for level in range(5)]
        levels = [place.expand(count, -1, -1, -1) for place in places]
        levels[0] = torch.cat([features, levels[0]], 1)
        return levels


def network_picture(photo: Tensor, tokens: int) -> Tensor:
    """A photo (3, H, W) float32 from 0 to 1 at the size for so many tokens: (3, 14 r, 14 c), antialiased."""
    aspect = photo.shape[2] / photo.shape[1]
    size = [max(1, round((tokens * share) ** 0.5)) * PATCH for share in (1 / aspect, aspect)]
    return functional.interpolate(photo[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
