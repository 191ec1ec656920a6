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
    """An encoded prompt. embeddings : (1, tokens, C).  added : what SDXL takes beside it (pooled text, sizes)."""

    embeddings: Tensor
    added: dict[str, Tensor]


@dataclass(frozen=True)
class InpaintConditioning:
    """What a UNet of 9 channels sees beside the latent: the mask (1, 1, h, w), and the masked picture's latent."""

    mask: Tensor
    latent: Tensor


@dataclass(frozen=True)
class Control:
    """A ControlNet and its picture (1, 3, H, W) 0..1. first, last : noise levels between which it acts."""

    network: Any
    picture: Tensor
    strength: float = 1.0
    first: float = math.inf
    last: float = 0.0

    def acts(self, sigma: float) -> bool:
        return self.strength != 0 and self.last < sigma <= self.first


@dataclass(frozen=True)
class Denoiser:
    """Calls as (x, sigma) -> x0, where x = x0 + sigma * noise is float32.

    prediction : "epsilon", "v_prediction" or "sample", what the UNet was trained to predict (its scheduler says which).
    cfg : classifier-free guidance (Ho and Salimans 2022); at 1 the negative prompt is not computed.
    together : both prompts in one call of the networks, which is faster and takes more memory.
    """

    unet: Any
    positive: Prompt
    negative: Prompt
    cfg: float
    prediction: str
    inpainting: InpaintConditioning | None = None
    control: Control | None = None
    together: bool = True

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        if self.cfg == 1:
            return self._predict(x, sigma, self.positive)
        if self.together and self.positive.embeddings.shape == self.negative.embeddings.shape:
            guided, without = self._predict(x, sigma, _both(self.positive, self.negative)).chunk(2)
        else:
            guided = self._predict(x, sigma, self.positive)
            without = self._predict(x, sigma, self.negative)
        return without + (guided - without) * self.cfg

    def _predict(self, x: Tensor, sigma: float, prompt: Prompt) -> Tensor:
        dtype, count = self.unet.dtype, len(prompt.embeddings)
        x = x.expand(count, -1, -1, -1)
        plain = scaled = (x / math.sqrt(1 + sigma**2)).to(dtype)
        timestep = timestep_of_sigma(sigma, training_sigmas())
        if self.unet.config.in_channels == 9:
            scaled = _joined(plain, self._hole(x))
        output = self.unet(
            scaled,
            timestep,
            encoder_hidden_states=prompt.embeddings.to(dtype),
            added_cond_kwargs=prompt.added or None,
            return_dict=False,
            **self._controlled(plain, sigma, timestep, prompt),
        )[0].to(x.dtype)
        if self.prediction == "epsilon":
            return x - output * sigma
        if self.prediction == "v_prediction":
            return x / (1 + sigma**2) - output * (sigma / math.sqrt(1 + sigma**2))
        return output

    def _hole(self, x: Tensor) -> InpaintConditioning:
        """Where to paint; without a mask, everywhere."""
        if self.inpainting is not None:
            return self.inpainting
        return InpaintConditioning(x.new_ones((1, 1, *x.shape[2:])), x.new_zeros((1, *x.shape[1:])))

    def _controlled(self, scaled: Tensor, sigma: float, timestep: int, prompt: Prompt) -> dict[str, Any]:
        control = self.control
        if control is None or not control.acts(sigma):
            return {}
        dtype = control.network.dtype
        if control.network.config.in_channels == 9:
            scaled = _joined(scaled, self._hole(scaled))
        down, middle = control.network(
            scaled.to(dtype),
            timestep,
            encoder_hidden_states=prompt.embeddings.to(dtype),
            controlnet_cond=control.picture.to(dtype).expand(len(scaled), -1, -1, -1),
            conditioning_scale=control.strength,
            added_cond_kwargs=prompt.added or None,
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": [part.to(self.unet.dtype) for part in down],
            "mid_block_additional_residual": middle.to(self.unet.dtype),
        }


def _both(first: Prompt, second: Prompt) -> Prompt:
    import torch

    added = {name: torch.cat([value, second.added[name]]) for name, value in first.added.items()}
    return Prompt(torch.cat([first.embeddings, second.embeddings]), added)


def _joined(latent: Tensor, hole: InpaintConditioning) -> Tensor:
    import torch

    parts = [part.to(latent.dtype).expand(len(latent), -1, -1, -1) for part in (hole.mask, hole.latent)]
    return torch.cat([latent, *parts], dim=1)
