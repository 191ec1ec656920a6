# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of HMR 2.0: a plain vision transformer sees one person, and one token asks it for pose, shape and camera.

Goel et al., "Humans in 4D: Reconstructing and Tracking Humans with Transformers", 2023, section 3; the backbone is that
of Xu et al., "ViTPose", 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models.vit import PATCH, Backbone

#: Rows and columns of the picture.
HEIGHT, WIDTH = 256, 192
#: Joints that are turned, and coefficients of the body's shape.
JOINTS, SHAPES = 24, 10


@dataclass(frozen=True)
class Size:
    """width, depth, heads : of the backbone.  token, layers : width and depth of what asks it; its eight heads have
    `head` channels each."""

    width: int = 1280
    depth: int = 32
    heads: int = 16
    token: int = 1024
    layers: int = 6
    head: int = 64


class Answer(NamedTuple):
    """turns (B, 24, 6): the first two columns of each joint's matrix, not yet orthogonal.  shape (B, 10).
    camera (B, 3): scale and shift in the square crop."""

    turns: Tensor
    shape: Tensor
    camera: Tensor


class HMR2(nn.Module):
    def __init__(self, size: Size | None = None) -> None:
        super().__init__()
        self.size = size or Size()
        grid = HEIGHT // PATCH, WIDTH // PATCH
        self.backbone = Backbone(self.size.width, self.size.depth, self.size.heads, grid)
        self.head = Head(self.size)

    def forward(self, pictures: Tensor) -> Answer:
        """pictures : (B, 3, 256, 192), normalised.  Answers are float32 whatever the weights are."""
        return self.head(self.backbone(pictures))


class Head(nn.Module):
    """One token, the same for every picture, looks at the patches again and again; what it has become is decoded."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(size.token))
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))
        self.turns = nn.Linear(size.token, 6 * JOINTS)
        self.shape = nn.Linear(size.token, SHAPES)
        self.camera = nn.Linear(size.token, 3)

    def read(self, patches: Tensor) -> Tensor:
        """The token (B, token) after it has seen the patches (B, N, width)."""
        x = self.token.expand(len(patches), 1, -1)
        for layer in self.layers:
            x = layer(x, patches)
        return x[:, 0]

    def forward(self, patches: Tensor) -> Answer:
        token = self.read(patches).float()
        # In half precision the last digits of a turn are degrees of a limb's: the last products are made in full.
        turns, shape, camera = (
            functional.linear(token, part.weight.float(), part.bias.float())
            for part in (self.turns, self.shape, self.camera)
        )
        return Answer(turns.reshape(-1, JOINTS, 6), shape, camera)


class Layer(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        inner = 8 * size.head
        self.own_norm, self.cross_norm, self.mlp_norm = (nn.LayerNorm(size.token) for _ in range(3))
        # Among a single token, attention gives it its own value whatever queries and keys are.
        self.own_value, self.own_out = nn.Linear(size.token, inner, bias=False), nn.Linear(inner, size.token)
        self.query = nn.Linear(size.token, inner, bias=False)
        self.key_value = nn.Linear(size.width, 2 * inner, bias=False)
        self.cross_out = nn.Linear(inner, size.token)
        self.fc1, self.fc2 = nn.Linear(size.token, size.token), nn.Linear(size.token, size.token)

    def forward(self, x: Tensor, patches: Tensor) -> Tensor:
        x = x + self.own_out(self.own_value(self.own_norm(x)))
        x = x + self.cross_out(self._look(self.query(self.cross_norm(x)), patches))
        return x + self.fc2(functional.gelu(self.fc1(self.mlp_norm(x))))

    def _look(self, query: Tensor, patches: Tensor) -> Tensor:
        batch = len(query)
        key, value = self.key_value(patches).chunk(2, -1)
        query, key, value = (part.reshape(batch, part.shape[1], 8, -1).transpose(1, 2) for part in (query, key, value))
        seen = functional.scaled_dot_product_attention(query, key, value)
        return seen.transpose(1, 2).reshape(batch, 1, -1)
