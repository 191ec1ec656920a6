# SPDX-License-Identifier: GPL-3.0-or-later
"""Samplers: from noise to picture along a list of noise levels.

A latent is x = x0 + sigma * noise. `Denoise` gives the model's prediction of x0; each sampler is a function of
(denoise, x, sigmas, draw), with sigmas falling to 0 at the end, and returns the latent there. `draw` gives fresh normal
noise of the latent's shape. Multistep samplers are in `multistep`.

Sources: Karras et al. 2022 (Euler, Heun, DPM2 as algorithm 1 and 2 with s_churn 0), Lu et al. 2022 "DPM-Solver++"
(2S, section 4 and appendix B), Luo et al. 2023 (LCM), Ho et al. 2020 (DDPM, eq. 7).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Denoise = Callable[["Tensor", float], "Tensor"]
Draw = Callable[[], "Tensor"]
Sampler = Callable[[Denoise, "Tensor", Sequence[float], Draw], "Tensor"]
#: From x at one noise level to x at the next.
Step = Callable[[Denoise, "Tensor", float, float], "Tensor"]


def _plain(step: Step) -> Sampler:
    """A sampler of such steps."""

    def sampler(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
        for sigma, following in pairwise(sigmas):
            x = step(denoise, x, sigma, following)
        return x

    return sampler


def _ancestral(step: Step) -> Sampler:
    """A sampler of such steps, each of which goes further down and adds fresh noise."""

    def sampler(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
        for sigma, following in pairwise(sigmas):
            down, up = _down_and_up(sigma, following)
            x = step(denoise, x, sigma, down)
            if up > 0:
                x = x + draw() * up
        return x

    return sampler


def _euler_step(denoise: Denoise, x: Tensor, sigma: float, following: float) -> Tensor:
    return _towards(x, denoise(x, sigma), sigma, following)


def _heun_step(denoise: Denoise, x: Tensor, sigma: float, following: float) -> Tensor:
    slope = (x - denoise(x, sigma)) / sigma
    end = x + slope * (following - sigma)
    if following > 0:
        end_slope = (end - denoise(end, following)) / following
        end = x + (slope + end_slope) / 2 * (following - sigma)
    return end


def _midpoint_step(denoise: Denoise, x: Tensor, sigma: float, following: float) -> Tensor:
    """Second order, with the slope at the geometric mean of both levels."""
    clean = denoise(x, sigma)
    if following == 0:
        return clean
    middle = math.sqrt(sigma * following)
    halfway = _towards(x, clean, sigma, middle)
    slope = (halfway - denoise(halfway, middle)) / middle
    return x + slope * (following - sigma)


def _dpmpp_2s_step(denoise: Denoise, x: Tensor, sigma: float, following: float) -> Tensor:
    clean = denoise(x, sigma)
    if following > 0:
        middle = math.sqrt(sigma * following)
        clean = denoise(_towards(x, clean, sigma, middle), middle)
    return _towards(x, clean, sigma, following)


def dpmpp_sde(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    """DPM-Solver++ 2S on the stochastic equation: the midpoint and the end each get noise of their own."""
    for sigma, following in pairwise(sigmas):
        clean = denoise(x, sigma)
        if following == 0:
            return clean
        middle = math.sqrt(sigma * following)
        down, up = _down_and_up(sigma, middle)
        clean = denoise(_towards(x, clean, sigma, down) + draw() * up, middle)
        down, up = _down_and_up(sigma, following)
        x = _towards(x, clean, sigma, down) + draw() * up
    return x


def lcm(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    for sigma, following in pairwise(sigmas):
        x = denoise(x, sigma)
        if following > 0:
            x = x + draw() * following
    return x


def ddpm(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    """The posterior of the training process, of which the noise levels are a thinned-out version."""
    for sigma, following in pairwise(sigmas):
        clean = denoise(x, sigma)
        kept, kept_next = 1 / (sigma**2 + 1), 1 / (following**2 + 1)
        ratio = kept / kept_next
        noise = (x - clean) / sigma
        x = (x * math.sqrt(kept) - noise * ((1 - ratio) / math.sqrt(1 - kept))) / math.sqrt(ratio)
        if following > 0:
            x = x + draw() * math.sqrt((1 - ratio) * (1 - kept_next) / (1 - kept))
            x = x / math.sqrt(kept_next)
    return x


def _towards(x: Tensor, clean: Tensor, sigma: float, following: float) -> Tensor:
    """Along the straight line from x to its clean picture, to the next noise level: exact while the prediction of x0
    stays the same."""
    return clean + (x - clean) * (following / sigma)


def _down_and_up(sigma: float, following: float) -> tuple[float, float]:
    """The level to go down to, and the noise to add there, so that together they make the following level."""
    up = min(following, math.sqrt(max(following**2 * (sigma**2 - following**2), 0.0)) / sigma)
    return math.sqrt(max(following**2 - up**2, 0.0)), up


euler, euler_ancestral = _plain(_euler_step), _ancestral(_euler_step)
dpm_2, dpm_2_ancestral = _plain(_midpoint_step), _ancestral(_midpoint_step)
heun, dpmpp_2s_ancestral = _plain(_heun_step), _ancestral(_dpmpp_2s_step)
