# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of Depth Anything 3 (Lin et al., "Depth Anything 3: Recovering the Visual Space from Any Views", 2025).

A DINOv2 transformer and a decoder of dense predictions. Those of any views look, in their later blocks, in turn through
each view by itself and through all views of a scene together, and say how each view was taken; those of one view say
where the sky is. Here every photo is a scene of one view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import transformer
from ..dinov2 import PATCH, embedded, places_of
from ..dpt import Fusion, enlarged, fused

#: Base of the wavelengths by which tokens are told where their patches lie (section 3.1, rotary positions).
_ROTARY_BASE = 100.0
#: The same for what the decoder is told, and the weight of that.
_PLACE_BASE, _PLACE_WEIGHT = 100.0, 0.1
#: Channels of the last layer but one.
_LAST = 32


@dataclass(frozen=True)
class Size:
    """One of the published sizes.

    transformer : timm's name.  taps : blocks (from 0) whose outputs are handed on.  channels : of these in the decoder.
    width : of the decoder.  views : the block from which on views look at each other; None in those of one view.
    """

    transformer: str
    taps: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    width: int
    views: int | None


SIZES = {
    "small": Size("vit_small_patch14_dinov2", (5, 7, 9, 11), (48, 96, 192, 384), 64, 4),
    "base": Size("vit_base_patch14_dinov2", (5, 7, 9, 11), (96, 192, 384, 768), 128, 4),
    "large": Size("vit_large_patch14_dinov2", (4, 11, 17, 23), (256, 512, 1024, 1024), 256, None),
}


class Encoder(nn.Module):
    """Pictures (B, 3, 14 r, 14 c), normalised -> four times the tokens (B, 1 + r c, width or twice that)."""

    vit: Any  # timm's VisionTransformer, which declares less than it has

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.taps, self.views = size.taps, size.views
        self.vit = transformer(size.transformer)
        self.vit.norm = nn.LayerNorm(self.vit.embed_dim)  # timm's divides by a little less
        if size.views is None:
            return
        self.camera_token = nn.Parameter(torch.zeros(1, 2, self.vit.embed_dim))
        for block in self.vit.blocks[size.views :]:
            block.attn.q_norm, block.attn.k_norm = (nn.LayerNorm(block.attn.head_dim) for _ in range(2))

    @property
    def width(self) -> int:
        """Channels of a token that is handed on."""
        return self.vit.embed_dim * (1 if self.views is None else 2)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Of any views, what is handed on is what the last block said that looks through one view, and beside it the
        output. Those of one view are normalised."""
        tokens, kept = embedded(self.vit, pictures), []
        if self.views is None:
            for number, block in enumerate(self.vit.blocks):
                tokens = block(tokens)
                if number in self.taps:
                    kept.append(self.vit.norm(tokens))
            return kept
        alone, together = self._turns(pictures)
        own = tokens
        for number, block in enumerate(self.vit.blocks):
            if number == self.views:
                tokens[:, 0] = self.camera_token[0, 0]  # of a scene's first view
            if number < self.views:
                own = tokens = block(tokens)
            elif number % 2 == 0:
                own = tokens = _turned_block(block, tokens, *alone)
            else:
                tokens = _turned_block(block, tokens, *together)
            if number in self.taps:
                kept.append(torch.cat([own, tokens], -1))
        return kept

    def _turns(self, pictures: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Cosines and sines (tokens, 2, frequencies) of a view by itself, where a patch is at its row and column,
        counted from 1, and of all views, where each is at (1, 1); the first token of a view is at (0, 0)."""
        rows, columns = (side // PATCH for side in pictures.shape[2:])
        places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)) + 1
        place = torch.cat([torch.zeros(1, 2, dtype=places.dtype), places])
        count = self.vit.blocks[0].attn.head_dim // 4
        frequencies = 1 / _ROTARY_BASE ** (torch.arange(count).float() / count)

        def turns(of: Tensor) -> tuple[Tensor, Tensor]:
            angles = of[..., None] * frequencies
            return angles.cos().to(pictures), angles.sin().to(pictures)

        return turns(place), turns(place.clamp(max=1))


def _turned_block(block: Any, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """A block of timm's transformer whose queries and keys are turned by their tokens' places."""
    attention = block.attn
    wide = attention.qkv(block.norm1(tokens)).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    query, key, value = wide.unbind()
    query, key = _turned(attention.q_norm(query), cos, sin), _turned(attention.k_norm(key), cos, sin)
    seen = functional.scaled_dot_product_attention(query, key, value)
    tokens = tokens + block.ls1(attention.proj(seen.transpose(1, 2).flatten(2)))
    return tokens + block.ls2(block.mlp(block.norm2(tokens)))


def _turned(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(B, heads, tokens, channels): the first half of the channels turned by rows, the other by columns."""
    first, second = values.unflatten(-1, (2, 2, -1)).unbind(-2)
    return torch.stack([first * cos - second * sin, second * cos + first * sin], -2).flatten(-3)


class DepthAnything3(nn.Module):
    """Pictures (B, 3, 14 r, 14 c), normalised -> depth (B, 14 r, 14 c) > 0, and of one view the sky (B, 14 r, 14 c),
    from 0 (none) to about 1, of any views the radians (B, 2) that the lens sees down and across."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encoder = Encoder(size)
        width, many = self.encoder.width, size.views is not None
        self.norm = nn.LayerNorm(width) if many else nn.Identity()
        self.projects = nn.ModuleList(nn.Conv2d(width, channels, 1) for channels in size.channels)
        first, second, _, last = size.channels
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, 4, stride=4),
                nn.ConvTranspose2d(second, second, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(last, last, 3, stride=2, padding=1),
            ]
        )
        self.narrow = nn.ModuleList(nn.Conv2d(one, size.width, 3, padding=1, bias=False) for one in size.channels)
        self.fusions = nn.ModuleList(Fusion(size.width, joins=level < 3) for level in range(4))
        self.neck = nn.Conv2d(size.width, size.width // 2, 3, padding=1)
        self.depth_head = _head(size.width // 2, 2 if many else 1)
        self.sky_head = None if many else _head(size.width // 2, 1)
        layers = [layer for to in (width, width, 2) for layer in (nn.Linear(width, to), nn.ReLU())]
        self.lens_head = nn.Sequential(*layers) if many else None

    def forward(self, pictures: Tensor) -> list[Tensor]:
        taps = self.encoder(pictures)
        decoded = self.decoded(self.levels(taps, pictures.shape[2:]), pictures.shape[2:])
        answer = self.depth_head(decoded).exp()
        if self.sky_head is not None:
            return [answer[:, 0], self.sky_head(decoded)[:, 0].relu()]
        assert self.lens_head is not None
        return [answer[:, 0], self.lens_head(taps[-1][:, 0])]  # how sure it is of the depth is left out

    def levels(self, taps: list[Tensor], sides: Sequence[int]) -> list[Tensor]:
        """What the decoder makes of the tokens, at 4, 2, 1 and 1/2 cells along each side of a patch."""
        grid, levels = [side // PATCH for side in sides], []
        for tokens, project, resized in zip(taps, self.projects, self.resize_layers, strict=True):
            patches = tokens[:, 1:]
            if self.lens_head is not None:
                own, seen = patches.chunk(2, -1)
                patches = torch.cat([own, self.encoder.vit.norm(seen)], -1)
            features = project(self.norm(patches).transpose(1, 2).unflatten(2, grid))
            levels.append(resized(self._placed(features, sides)))
        return [narrow(level) for narrow, level in zip(self.narrow, levels, strict=True)]

    def decoded(self, levels: list[Tensor], sides: Sequence[int]) -> Tensor:
        return self._placed(enlarged(self.neck(fused(levels, self.fusions)), sides), sides)

    def _placed(self, features: Tensor, sides: Sequence[int]) -> Tensor:
        """Of any views, the decoder is told where in the picture its cells lie."""
        if self.lens_head is None:
            return features
        return features + _PLACE_WEIGHT * _waves(features, sides[1] / sides[0])


def _head(width: int, answers: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, _LAST, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(_LAST, answers, 1))


def _waves(features: Tensor, aspect: float) -> Tensor:
    """(channels, h, w): sines and cosines of where the cells lie, across in the first half of the channels, then down.

    Across they are one a column and down one a row, so that they are computed but once each.
    """
    channels, rows, columns = features.shape[1:]
    count = channels // 4
    frequencies = 1 / _PLACE_BASE ** (torch.arange(count).float() / count)
    u, v = places_of(rows, columns, aspect)[0]

    def waves(places: Tensor) -> Tensor:
        angles = frequencies[:, None] * places
        return torch.cat([angles.sin(), angles.cos()])

    across, down = waves(u[0])[:, None].expand(-1, rows, -1), waves(v[:, 0])[..., None].expand(-1, -1, columns)
    return torch.cat([across, down]).to(features)
