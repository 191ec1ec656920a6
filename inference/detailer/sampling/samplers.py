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


def euler(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    for sigma, following in pairwise(sigmas):
        x = _towards(x, denoise(x, sigma), sigma, following)
    return x


def euler_ancestral(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    for sigma, following in pairwise(sigmas):
        down, up = _ancestral(sigma, following)
        x = _towards(x, denoise(x, sigma), sigma, down)
        if up > 0:
            x = x + draw() * up
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    for sigma, following in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        end = x + slope * (following - sigma)
        if following > 0:
            end_slope = (end - denoise(end, following)) / following
            end = x + (slope + end_slope) / 2 * (following - sigma)
        x = end
    return x


def dpm_2(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    for sigma, following in pairwise(sigmas):
        x = _midpoint_step(denoise, x, sigma, following)
    return x


def dpm_2_ancestral(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    for sigma, following in pairwise(sigmas):
        down, up = _ancestral(sigma, following)
        x = _midpoint_step(denoise, x, sigma, down)
        if up > 0:
            x = x + draw() * up
    return x


def dpmpp_2s_ancestral(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    for sigma, following in pairwise(sigmas):
        down, up = _ancestral(sigma, following)
        clean = denoise(x, sigma)
        if down > 0:
            middle = math.sqrt(sigma * down)
            clean = denoise(_exact(x, clean, sigma, middle), middle)
        x = _exact(x, clean, sigma, down)
        if up > 0:
            x = x + draw() * up
    return x


def dpmpp_sde(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    """DPM-Solver++ 2S on the stochastic equation: the midpoint and the end each get noise of their own."""
    for sigma, following in pairwise(sigmas):
        clean = denoise(x, sigma)
        if following == 0:
            return clean
        middle = math.sqrt(sigma * following)
        down, up = _ancestral(sigma, middle)
        clean = denoise(_exact(x, clean, sigma, down) + draw() * up, middle)
        down, up = _ancestral(sigma, following)
        x = _exact(x, clean, sigma, down) + draw() * up
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
    """Along the straight line from x to its clean picture, to the next noise level."""
    return clean + (x - clean) * (following / sigma)


def _exact(x: Tensor, clean: Tensor, sigma: float, following: float) -> Tensor:
    """The exact solution for a constant prediction of x0, which in this space is the straight line again."""
    return _towards(x, clean, sigma, following)


def _midpoint_step(denoise: Denoise, x: Tensor, sigma: float, following: float) -> Tensor:
    """Second order, with the slope at the geometric mean of both levels."""
    clean = denoise(x, sigma)
    if following == 0:
        return clean
    middle = math.sqrt(sigma * following)
    halfway = _towards(x, clean, sigma, middle)
    slope = (halfway - denoise(halfway, middle)) / middle
    return x + slope * (following - sigma)


def _ancestral(sigma: float, following: float) -> tuple[float, float]:
    """The level to go down to, and the noise to add there, so that together they make the following level."""
    up = min(following, math.sqrt(max(following**2 * (sigma**2 - following**2), 0.0)) / sigma)
    return math.sqrt(max(following**2 - up**2, 0.0)), up
