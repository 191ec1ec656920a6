# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole network: Metric3D v2 (Hu et al., "Metric3D v2", TPAMI 2024) with a DINOv2 backbone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import IMAGENET
from .decoder import FARTHEST, NEAREST, OFFSET, SCALE, FirstEstimate, Reassembly, Trunk, normalised
from .encoder import PATCH, Backbone, Encoder
from .refinement import Refinement, upsampled


class Prediction(NamedTuple):
    """At the network's picture size, float32.

    depth : (B, H, W) canonical depth, 0.1..200.  confidence : (B, H, W), unbounded; trained towards 1 - relative error.
    first_normal, normal : (B, 4, H, W) of the first and the last iteration: unit normal in camera axes, concentration.
    """

    depth: Tensor
    confidence: Tensor
    first_normal: Tensor
    normal: Tensor


class Metric3D(nn.Module):
    """RGB pictures (B, H, W, 3) uint8, sides multiples of 28 -> `Prediction`.

    In half precision the state that is refined, the mean over depths, and what the result is made of stay float32: a
    rounding of the state alone would move depth by 0.1, which is as far as the nearest surface.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.encoder = Encoder(backbone)
        self.reassembly = Reassembly(backbone.width)
        self.trunk = Trunk(backbone.width)
        self.first = FirstEstimate(backbone.width)
        self.refinement = Refinement(backbone.width, backbone.iterations)

    def forward(self, pictures: Tensor) -> Prediction:
        levels = self.encoder(self.normalise(pictures))
        features = self.reassembly(levels, (pictures.shape[1] // PATCH, pictures.shape[2] // PATCH))
        del levels
        state = self.first(self.trunk(features))
        (first, first_mixture), (last, last_mixture) = self.refinement(features, state)
        full = upsampled(last, last_mixture)
        return Prediction(
            (full[:, 0] * SCALE + OFFSET).clamp(NEAREST, FARTHEST),
            full[:, 1],
            normalised(upsampled(first[:, 2:], first_mixture)),
            normalised(full[:, 2:]),
        )

    def normalise(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in the network's precision."""
        mean, spread = (torch.tensor([255 * value for value in values], device=pictures.device) for values in IMAGENET)
        normal = (pictures.float() - mean) / spread
        return normal.permute(0, 3, 1, 2).to(self.reassembly.narrow.weight.dtype)
