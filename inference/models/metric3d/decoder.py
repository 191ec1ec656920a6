# SPDX-License-Identifier: GPL-3.0-or-later
"""From tokens to the first estimate of depth and normals, at a quarter of the picture's size.

Source: Hu et al., "Metric3D v2", TPAMI 2024, section 3.3; the readout and the fusion of levels follow Ranftl et al.,
"Vision Transformers for Dense Prediction", ICCV 2021, section 3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .encoder import SPECIAL

#: Range of canonical depths, metres before a lens of 1000 pixels, and the number of depths whose mean is taken.
NEAREST, FARTHEST, BINS = 0.1, 200.0, 256
#: The depth is refined as (depth - OFFSET) / SCALE.
OFFSET, SCALE = 200.0, 100.0


class Features(NamedTuple):
    """Feature maps of the picture, coarse to fine: for a grid of a x b patches a x b twice, 2a x 2b, 3.5a x 3.5b."""

    e3: Tensor
    e2: Tensor
    e1: Tensor
    e0: Tensor


class Readout(nn.Module):
    """Patches as a map (B, C, rows, columns), each told of the class token and the registers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch = nn.Linear(width, width)
        self.special = nn.Linear(width * SPECIAL, width, bias=False)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        told = self.special(tokens[:, :SPECIAL].flatten(1))[:, None]
        patches = functional.gelu(self.patch(tokens[:, SPECIAL:]) + told)
        return patches.transpose(1, 2).unflatten(2, grid)


class Reassembly(nn.Module):
    """Four levels of tokens -> `Features`, `width`, `width`, `width` / 2 and `width` / 4 channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.readouts = nn.ModuleList(Readout(width) for _ in range(4))
        self.widen = nn.ConvTranspose2d(width, width // 2, 2, stride=2)
        self.narrow = nn.Conv2d(width, width // 4, 1)

    def forward(self, levels: list[Tensor], grid: tuple[int, int]) -> Features:
        e0, e1, e2, e3 = (readout(tokens, grid) for readout, tokens in zip(self.readouts, levels, strict=True))
        # Narrowed first: a 1 x 1 convolution of repeated pixels is the repeated convolution.
        e0 = functional.interpolate(self.narrow(e0), scale_factor=3.5, mode="nearest")
        return Features(e3, e2, self.widen(e1), e0)


class ResidualUnit(nn.Module):
    """relu(x) + two convolutions of it.

    The shortcut carries relu(x), not x: the published networks were trained with an activation that works in place.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        rectified = functional.relu(features)
        return rectified + self.conv2(functional.relu(self.conv1(rectified)))


class Fusion(nn.Module):
    """One level of the trunk: add the finer features, refine, narrow, enlarge to `size`."""

    def __init__(self, channels: int, out: int, *, branch: bool) -> None:
        super().__init__()
        self.trunk = ResidualUnit(channels)
        self.branch = ResidualUnit(channels) if branch else None
        self.narrow = nn.Conv2d(channels, out, 1)

    def forward(self, coarse: Tensor, fine: Tensor | None, size: tuple[int, int] | None) -> Tensor:
        merged = coarse if self.branch is None else coarse + self.branch(fine)
        narrowed = self.narrow(self.trunk(merged))
        # Enlarged last: a 1 x 1 convolution and a linear interpolation can change places.
        return narrowed if size is None else enlarge(narrowed, size)


class Trunk(nn.Module):
    """`Features` -> (B, width / 4 + 2, 3.5a, 3.5b): features, the depth's confidence, the normal's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.coarse = Fusion(width, width, branch=False)
        self.middle = Fusion(width, width // 2, branch=True)
        self.fine = Fusion(width // 2, width // 4 + 2, branch=True)

    def forward(self, features: Features) -> Tensor:
        u3 = self.coarse(features.e3, None, None)
        u2 = self.middle(u3, features.e2, _size(features.e1))
        return self.fine(u2, features.e1, _size(features.e0))


class FirstEstimate(nn.Module):
    """The trunk's output -> the state (B, 6, 3.5a, 3.5b) float32: depth, its confidence, normal, its concentration."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = width // 4
        self.depth = nn.Sequential(
            nn.Conv2d(self.channels, BINS, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(BINS, BINS, 1)
        )
        self.normal = nn.Sequential(
            nn.Conv2d(self.channels, 128, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(128, 128, 1), nn.ReLU(inplace=True),
            nn.Conv2d(128, 128, 1), nn.ReLU(inplace=True),
            nn.Conv2d(128, 3, 1),
        )  # fmt: skip

    def forward(self, trunk: Tensor) -> Tensor:
        features, confidences = trunk[:, : self.channels], trunk[:, self.channels :].float()
        depth = (expected_depth(self.depth(features)) - OFFSET) / SCALE
        normal = normalised(torch.cat([self.normal(features).float(), confidences[:, 1:]], 1))
        return torch.cat([depth, confidences[:, :1], normal], 1)


def expected_depth(logits: Tensor) -> Tensor:
    """The mean depth (B, 1, h, w) float32 over `BINS` depths, evenly spaced in their logarithm."""
    logs = torch.linspace(math.log(NEAREST), math.log(FARTHEST), BINS, device=logits.device)
    depth = torch.einsum("bnhw,n->bhw", logits.float().softmax(1), logs.exp())
    return depth[:, None].clamp(NEAREST, FARTHEST)


def normalised(normal: Tensor) -> Tensor:
    """(B, 4, h, w) float32: unit normal, and its concentration (Bae et al., ICCV 2021, section 3.1), made positive."""
    direction, concentration = normal[:, :3], normal[:, 3:]
    length = direction.norm(dim=1, keepdim=True) + 1e-10
    return torch.cat([direction / length, functional.elu(concentration) + 1.01], 1)


def enlarge(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corner pixels' centres on corner pixels' centres."""
    return functional.interpolate(features, size, mode="bilinear", align_corners=True)


def _size(features: Tensor) -> tuple[int, int]:
    return features.shape[2], features.shape[3]
