# SPDX-License-Identifier: GPL-3.0-or-later
"""From noise to a prediction of the picture: one call of the UNet, guided, at a noise level sigma."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..sampling.schedules import timestep_of_sigma, training_sigmas

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Prompt:
    """An encoded prompt. embeddings : (1, tokens, C).  added : what SDXL wants beside it (pooled text, sizes)."""

    embeddings: Tensor
    added: dict[str, Tensor]


@dataclass(frozen=True)
class Inpainting:
    """What a UNet of 9 channels sees beside the latent: mask (1, 1, h, w), and the picture's latent without it."""

    mask: Tensor
    latent: Tensor


@dataclass(frozen=True)
class Control:
    """A ControlNet and its picture (1, 3, H, W) 0..1."""

    network: Any
    picture: Tensor
    strength: float = 1.0


@dataclass(frozen=True)
class Denoiser:
    """Calls as (x, sigma) -> x0, where x = x0 + sigma * noise is float32.

    prediction : "epsilon", "v_prediction" or "sample", what the UNet was trained to answer (its scheduler says it).
    cfg : classifier-free guidance (Ho and Salimans 2022); at 1 the negative prompt is not computed.
    """

    unet: Any
    positive: Prompt
    negative: Prompt
    cfg: float
    prediction: str
    inpainting: Inpainting | None = None
    control: Control | None = None

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        guided = self._predict(x, sigma, self.positive)
        if self.cfg == 1:
            return guided
        without = self._predict(x, sigma, self.negative)
        return without + (guided - without) * self.cfg

    def _predict(self, x: Tensor, sigma: float, prompt: Prompt) -> Tensor:
        dtype = self.unet.dtype
        scaled = (x / math.sqrt(1 + sigma**2)).to(dtype)
        timestep = timestep_of_sigma(sigma, training_sigmas())
        extra = self._controlled(scaled, timestep, prompt)
        if self.unet.config.in_channels == 9:
            scaled = _joined(scaled, self._hole(x))
        answer = self.unet(
            scaled,
            timestep,
            encoder_hidden_states=prompt.embeddings,
            added_cond_kwargs=prompt.added or None,
            return_dict=False,
            **extra,
        )[0].to(x.dtype)
        if self.prediction == "epsilon":
            return x - answer * sigma
        if self.prediction == "v_prediction":
            return x / (1 + sigma**2) - answer * (sigma / math.sqrt(1 + sigma**2))
        return answer

    def _hole(self, x: Tensor) -> Inpainting:
        """What is to be painted; without a mask, everything."""
        if self.inpainting is not None:
            return self.inpainting
        return Inpainting(x.new_ones((1, 1, *x.shape[2:])), x.new_zeros(x.shape))

    def _controlled(self, scaled: Tensor, timestep: int, prompt: Prompt) -> dict[str, Any]:
        if self.control is None:
            return {}
        down, middle = self.control.network(
            scaled,
            timestep,
            encoder_hidden_states=prompt.embeddings,
            controlnet_cond=self.control.picture.to(scaled.dtype),
            conditioning_scale=self.control.strength,
            added_cond_kwargs=prompt.added or None,
            return_dict=False,
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


def _joined(latent: Tensor, hole: Inpainting) -> Tensor:
    import torch

    return torch.cat([latent, hole.mask.to(latent.dtype), hole.latent.to(latent.dtype)], dim=1)
