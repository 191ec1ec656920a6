# SPDX-License-Identifier: GPL-3.0-or-later
"""Sampling under a mask: the kept part is restored around every call of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ...registry import check_choice
from . import multistep, samplers
from .schedules import timestep_of_sigma, training_sigmas

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

#: Every sampler, by the name that artists know.
SAMPLERS: dict[str, Callable] = {
    "euler": samplers.euler,
    "euler_ancestral": samplers.euler_ancestral,
    "heun": samplers.heun,
    "dpm_2": samplers.dpm_2,
    "dpm_2_ancestral": samplers.dpm_2_ancestral,
    "lms": multistep.lms,
    "dpmpp_2s_ancestral": samplers.dpmpp_2s_ancestral,
    "dpmpp_sde": samplers.dpmpp_sde,
    "dpmpp_2m": multistep.dpmpp_2m,
    "dpmpp_2m_sde": partial(multistep.dpmpp_2m, noise=True),
    "dpmpp_3m_sde": multistep.dpmpp_3m_sde,
    "ddpm": samplers.ddpm,
    "lcm": samplers.lcm,
    "ddim": samplers.euler,
    "uni_pc": multistep.uni_pc,
    "uni_pc_bh2": multistep.uni_pc_bh2,
}

#: Samplers that call the model twice per step.
_TWICE = ("heun", "dpm_2", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde")


def calls_per_step(name: str) -> int:
    """How often a sampler calls the model in each step (except, for some, the last)."""
    return 2 if name in _TWICE else 1


@dataclass(frozen=True)
class InpaintContext:
    """What is kept while the rest is painted.

    mask : (1, 1, h, w) 0..1, 1 where to paint.  latent : the picture's, without noise.
    noise : the noise that the kept part carries.  differential : paint grey parts later than white ones.
    """

    mask: Tensor
    latent: Tensor
    noise: Tensor
    differential: bool


def sampler_named(name: str) -> Callable:
    """Raises `BadInput` for a sampler that does not exist."""
    check_choice(name, tuple(SAMPLERS), "sampler")
    return SAMPLERS[name]


def sample(
    name: str,
    denoise: samplers.Denoise,
    start: Tensor,
    sigmas: NDArray[np.float64],
    draw: samplers.Draw,
    context: InpaintContext | None = None,
) -> Tensor:
    """Run sampler `name` from the latent `start`, which carries noise of sigmas[0], down the list of noise levels."""
    levels = [float(sigma) for sigma in sigmas]
    if len(levels) < 2:
        return start
    return sampler_named(name)(denoise if context is None else _keeping(denoise, context, levels), start, levels, draw)


def noised(latent: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """The latent with noise of `sigma`; at the training maximum a little more, as in training."""
    at_most = abs(sigma - training_sigmas()[-1]) < 1e-4 * sigma
    return latent + noise * (math.sqrt(1 + sigma**2) if at_most else sigma)


def _keeping(denoise: samplers.Denoise, context: InpaintContext, levels: list[float]) -> samplers.Denoise:
    """The model with the kept part put in before each call, at its noise level, and restored in its prediction."""
    train = training_sigmas()
    first = timestep_of_sigma(levels[0], train)
    last = timestep_of_sigma(max(levels[-1], float(train[0])), train)

    def under_mask(x: Tensor, sigma: float) -> Tensor:
        mask = context.mask
        if context.differential and first > last:
            threshold = (timestep_of_sigma(sigma, train) - last) / (first - last)
            mask = (mask >= threshold).to(mask.dtype)
        x = x * mask + (context.latent + context.noise * sigma) * (1 - mask)
        return denoise(x, sigma) * mask + context.latent * (1 - mask)

    return under_mask
