# SPDX-License-Identifier: GPL-3.0-or-later
"""Repeated small corrections of depth and normals together, by gated recurrent units on three scales.

Source: Hu et al., "Metric3D v2", TPAMI 2024, section 3.3; the units, the schedule of the scales and the learned
enlargement follow Lipson et al., "RAFT-Stereo", 3DV 2021, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .decoder import Features, enlarge

#: Pixels of the result along one side of a pixel of the state, and the neighbours that each is mixed from.
UPSAMPLING, NEIGHBOURS = 4, 9
#: Channels of the state: depth, its confidence; normal, its concentration.
DEPTH, NORMAL = 2, 4


class Context(NamedTuple):
    """What the features say of one scale: where its unit starts, and what is added to its gates and candidate."""

    hidden: Tensor
    gates: Tensor
    candidate: Tensor


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, h, w)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """Two normalised convolutions beside a normalised projection."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.norm1 = ChannelNorm(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.norm2 = ChannelNorm(out)
        self.shortcut = nn.Conv2d(channels, out, 1)
        self.shortcut_norm = ChannelNorm(out)

    def forward(self, features: Tensor) -> Tensor:
        inner = functional.relu(self.norm1(self.conv1(features)))
        inner = functional.relu(self.norm2(self.conv2(inner)))
        return functional.relu(inner + self.shortcut_norm(self.shortcut(features)))


class ContextEncoder(nn.Module):
    """Features of one scale -> its `Context`, once a picture."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(ResidualBlock(channels, hidden), nn.Conv2d(hidden, hidden, 3, padding=1))
        self.inputs = nn.Sequential(ResidualBlock(channels, hidden), nn.Conv2d(hidden, hidden, 3, padding=1))
        self.gates = nn.Conv2d(hidden, 3 * hidden, 3, padding=1)

    def forward(self, features: Tensor) -> Context:
        hidden = torch.tanh(self.hidden(features))
        added = self.gates(functional.relu(self.inputs(features)))
        channels = hidden.shape[1]
        return Context(hidden, *added.split([2 * channels, channels], 1))


class Unit(nn.Module):
    """A convolutional gated recurrent unit; the update and reset gates are one convolution."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(hidden + inputs, 2 * hidden, 3, padding=1)
        self.candidate = nn.Conv2d(hidden + inputs, hidden, 3, padding=1)

    def forward(self, hidden: Tensor, context: Context, *inputs: Tensor) -> Tensor:
        gates = torch.sigmoid(self.gates(torch.cat([hidden, *inputs], 1)) + context.gates)
        update, reset = gates.chunk(2, 1)
        candidate = self.candidate(torch.cat([reset * hidden, *inputs], 1)) + context.candidate
        return torch.lerp(hidden, torch.tanh(candidate), update)


class Refinement(nn.Module):
    """The first estimate, corrected `iterations` times: yields the state and the mixture of the first and the last."""

    def __init__(self, width: int, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        hidden = width // 8
        self.contexts = nn.ModuleList(ContextEncoder(channels, hidden) for channels in (width // 4, width // 2, width))
        inputs = (DEPTH + NORMAL + hidden, 2 * hidden, hidden)
        self.units = nn.ModuleList(Unit(hidden, channels) for channels in inputs)
        self.depth = _head(hidden, DEPTH)
        self.normal = _head(hidden, NORMAL)
        self.mixture = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(hidden, NEIGHBOURS * UPSAMPLING**2, 1),
        )  # fmt: skip

    def forward(self, features: Features, state: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (state (B, 6, h, w) float32, mixture (B, 144, h, w)) of the first and of the last iteration.

        features : e1 and e2 are taken rectified, as the trunk, working in place, left them to the published networks.
        """
        maps = (features.e0, functional.relu(features.e1), functional.relu(features.e2))
        contexts = [encoder(level) for encoder, level in zip(self.contexts, maps, strict=True)]
        hidden = [context.hidden for context in contexts]
        for iteration in range(self.iterations):
            hidden = self.turn(hidden, contexts, state)
            change = torch.cat([self.depth(hidden[0]), self.normal(hidden[0])], 1)
            state = state + change.float()
            if iteration in (0, self.iterations - 1):
                yield state, self.mixture(hidden[0]) * 0.25

    def turn(self, hidden: list[Tensor], contexts: list[Context], state: Tensor) -> list[Tensor]:
        """One iteration of the units: the coarse scales run more often, being cheap and far-sighted."""
        fine, middle, coarse = hidden
        unit_fine, unit_middle, unit_coarse = self.units
        from_fine = enlarge(_halved(fine), (middle.shape[2], middle.shape[3]))
        for scales in (1, 2, 3):
            coarse = unit_coarse(coarse, contexts[2], _halved(middle))
            if scales > 1:
                from_coarse = enlarge(coarse, (middle.shape[2], middle.shape[3]))
                middle = unit_middle(middle, contexts[1], from_fine, from_coarse)
            if scales > 2:
                from_middle = enlarge(middle, (fine.shape[2], fine.shape[3]))
                fine = unit_fine(fine, contexts[0], state.to(fine.dtype), from_middle)
        return [fine, middle, coarse]


def upsampled(state: Tensor, mixture: Tensor) -> Tensor:
    """The state (B, C, h, w) at 4h x 4w: each of 16 parts of a pixel is a learned mean of the 3 x 3 pixels around it.

    mixture : (B, 144, h, w), read as neighbour, row of the part, column of the part.
    """
    count, _, height, width = state.shape
    weights = mixture.float().view(count, NEIGHBOURS, 1, UPSAMPLING**2, height, width).softmax(1)
    around = functional.pad(state, (1, 1, 1, 1))[:, :, None]
    parts = state.new_zeros(count, state.shape[1], UPSAMPLING**2, height, width)
    for neighbour in range(NEIGHBOURS):
        row, column = divmod(neighbour, 3)
        parts.addcmul_(weights[:, neighbour], around[..., row : row + height, column : column + width])
    return functional.pixel_shuffle(parts.flatten(1, 2), UPSAMPLING)


def _head(hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(hidden, out, 3, padding=1)
    )


def _halved(features: Tensor) -> Tensor:
    return functional.avg_pool2d(features, 3, stride=2, padding=1)
