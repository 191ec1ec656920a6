# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokens that ask the features of a square for a person, layer by layer. Modules bear the published names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

HEADS = 8
_EPS = 1e-6


class Mlp(nn.Module):
    """Two linear layers, and what lies between them."""

    def __init__(self, before: int, width: int, after: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(before, width), activation())
        self.layers = nn.ModuleList([first, nn.Linear(width, after)])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.layers[0](x))


class Attention(nn.Module):
    """Eight heads of `inner` channels together."""

    def __init__(self, width: int, context: int, inner: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, inner)
        self.k_proj, self.v_proj = nn.Linear(context, inner), nn.Linear(context, inner)
        self.proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        parts = (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        split = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        return self.proj(functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """The tokens look at each other, then at the context, each with a code of what or where it is."""

    def __init__(self, width: int, context: int, inner: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.ln_pe_1, self.ln_pe_2 = nn.LayerNorm(width, _EPS), nn.LayerNorm(context, _EPS)
        self.ln1, self.ln2_1, self.ln3 = (nn.LayerNorm(width, _EPS) for _ in range(3))
        self.ln2_2 = nn.LayerNorm(context, _EPS)
        self.self_attn, self.cross_attn = Attention(width, width, inner), Attention(width, context, inner)
        self.ffn = Mlp(width, width, width, nn.GELU)

    def forward(self, x: Tensor, code: Tensor, context: Tensor, places: Tensor) -> Tensor:
        """Tokens and their codes (B, T, width), context (B, N, context) and its code (1, N, context)."""
        code, own = self.ln_pe_1(code), self.ln1(x)
        asked = own if self.first else own + code
        x = x + self.self_attn(asked, asked, own)
        seen = self.ln2_2(context)
        x = x + self.cross_attn(self.ln2_1(x) + code, seen + self.ln_pe_2(places), seen)
        return x + self.ffn(self.ln3(x))


class Decoder(nn.Module):
    def __init__(self, width: int, context: int, inner: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, context, inner, first=not number) for number in range(depth))
        self.norm_final = nn.LayerNorm(width, _EPS)

    def forward(self, x: Tensor, code: Tensor, context: Tensor, places: Tensor, between: Any) -> tuple[Tensor, Any]:
        """The tokens (B, T, width) after all layers, normalised, and what `between` says of them.

        context (B, C, h, w), places (1, C, h, w).  between : called after each layer with normalised tokens, tokens and
        their codes; returns an estimate, tokens and codes. After the last layer only the estimate counts.
        """
        seen, where = (one.flatten(2).transpose(1, 2) for one in (context, places))
        estimate = None
        for layer in self.layers:
            x = layer(x, code, seen, where)
            estimate, x_next, code = between(self.norm_final(x), x, code)
            if layer is not self.layers[-1]:
                x = x_next
        return self.norm_final(x), estimate


def fourier(points: Tensor, matrix: Tensor) -> Tensor:
    """Random Fourier features (..., 2 F) of points (..., 2) from 0 to 1 (Tancik et al. 2020); matrix (2, F)."""
    angles = 2 * torch.pi * ((2 * points - 1) @ matrix)
    return torch.cat([angles.sin(), angles.cos()], -1)
