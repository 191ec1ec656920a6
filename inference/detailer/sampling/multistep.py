# SPDX-License-Identifier: GPL-3.0-or-later
"""Samplers that look back at the predictions of earlier steps. The arguments are those of `samplers`.

Sources: linear multistep (Adams-Bashforth over uneven steps), Lu et al. 2022 "DPM-Solver++" (2M, algorithm 2, and its
stochastic form, appendix), Zhao et al. 2023 "UniPC" (section 3).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from .samplers import Denoise, Draw

_LMS_ORDER = 4
_UNIPC_ORDER = 3
#: UniPC works with the logarithm of the level and so ends a little above 0.
_UNIPC_END = 0.001


def lms(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    slopes: deque[Tensor] = deque(maxlen=_LMS_ORDER)
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        clean = denoise(x, sigma)
        if following == 0:
            return clean
        slopes.appendleft((x - clean) / sigma)
        weights = _lagrange_integrals([sigmas[index - back] for back in range(len(slopes))], sigma, following)
        x = x + sum(float(weight) * slope for weight, slope in zip(weights, slopes, strict=True))
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw, noise: bool = False) -> Tensor:
    """noise : solve the stochastic equation, which runs twice as fast."""
    earlier, last_step = None, 0.0
    for sigma, following in pairwise(sigmas):
        clean = denoise(x, sigma)
        if following == 0:
            return clean
        step = math.log(sigma / following)
        gain = -math.expm1(-step * (1 + noise))
        target = clean if earlier is None else clean + (clean - earlier) * (step / (2 * last_step))
        x = x * (1 - gain) + target * gain
        if noise:
            x = x + draw() * (following * math.sqrt(gain))
        earlier, last_step = clean, step
    return x


def dpmpp_3m_sde(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    cleans: deque[Tensor] = deque(maxlen=2)
    steps: deque[float] = deque(maxlen=2)
    for sigma, following in pairwise(sigmas):
        clean = denoise(x, sigma)
        if following == 0:
            return clean
        step = math.log(sigma / following)
        span = 2 * step  # of the equation with noise, which runs twice as fast
        gain = -math.expm1(-span)
        x = x * (1 - gain) + clean * gain
        if steps:
            phi_2 = 1 - gain / span
            slope = (clean - cleans[0]) * (step / steps[0])
            if len(steps) == 2:
                ratio, ratio_2 = steps[0] / step, steps[1] / step
                bend = (slope - (cleans[0] - cleans[1]) / ratio_2) / (ratio + ratio_2)
                x = x - bend * (phi_2 / span - 0.5)
                slope = slope + bend * ratio
            x = x + slope * phi_2
        x = x + draw() * (following * math.sqrt(gain))
        cleans.appendleft(clean)
        steps.appendleft(step)
    return x


def uni_pc(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    return _unipc(denoise, x, sigmas, lambda step: step)


def uni_pc_bh2(denoise: Denoise, x: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    return _unipc(denoise, x, sigmas, math.expm1)


def _unipc(denoise: Denoise, x: Tensor, sigmas: Sequence[float], scale) -> Tensor:
    """Predictor and corrector in the variance-preserving space, where a latent is divided by sqrt(1 + sigma^2).

    scale : B(h) of the paper, of the negative step in log sigma.
    """
    levels = [*sigmas[:-1], sigmas[-1] or _UNIPC_END]
    order = min(_UNIPC_ORDER, len(levels) - 2)
    past = deque([(denoise(x, levels[0]), levels[0])], maxlen=_UNIPC_ORDER)
    state = x / math.sqrt(1 + levels[0] ** 2)
    last = len(levels) - 1
    for index in range(1, last + 1):
        sigma = levels[index]
        step_order = min(order, index, last + 1 - index)
        start, base, ratios, differences = _unipc_base(state, past, sigma, step_order)
        length = -math.log(start / sigma)
        gain = scale(length) / math.sqrt(1 + sigma**2)
        predicted = base
        if differences:
            # Second order has the simple weight, as published.
            weights = [0.5] if step_order == 2 else _unipc_weights(ratios[:-1], length, scale)
            predicted = base - gain * _weighted(weights, differences)
        if index == last:
            return predicted * math.sqrt(1 + sigma**2)
        clean = denoise(predicted * math.sqrt(1 + sigma**2), sigma)
        weights = [0.5] if step_order == 1 else _unipc_weights(ratios, length, scale)
        state = base - gain * _weighted(weights, [*differences, clean - past[0][0]])
        past.appendleft((clean, sigma))
    return x


def _unipc_base(state: Tensor, past, sigma: float, order: int):
    """Level before, first-order solution, and the divided differences of the predictions over relative steps."""
    clean, start = past[0]
    length = -math.log(start / sigma)
    kept, kept_start = 1 / math.sqrt(1 + sigma**2), 1 / math.sqrt(1 + start**2)
    base = state * (sigma * kept / (start * kept_start)) - clean * (kept * math.expm1(length))
    ratios, differences = [], []
    for earlier, level in list(past)[1:order]:
        ratio = math.log(start / level) / -length
        ratios.append(ratio)
        differences.append((earlier - clean) / ratio)
    return start, base, [*ratios, 1.0], differences


def _unipc_weights(ratios: list[float], length: float, scale) -> list[float]:
    """Solve R w = b (eq. 9 of the paper) for the weights of the differences."""
    rows, right = [], []
    phi, factorial = math.expm1(length) / length - 1, 1.0
    for power in range(len(ratios)):
        rows.append([ratio**power for ratio in ratios])
        right.append(phi * factorial / scale(length))
        factorial *= power + 2
        phi = phi / length - 1 / factorial
    return np.linalg.solve(np.array(rows), np.array(right)).tolist()


def _weighted(weights: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    return sum(
        (weight * tensor for weight, tensor in zip(weights[1:], tensors[1:], strict=True)), weights[0] * tensors[0]
    )


def _lagrange_integrals(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """Integrals from start to end of the Lagrange polynomials over the nodes."""
    integrals = []
    for node in nodes:
        others = [other for other in nodes if other != node]
        polynomial = np.poly1d(np.poly(others) if others else [1.0])
        antiderivative = polynomial.integ()
        integrals.append((antiderivative(end) - antiderivative(start)) / np.prod([node - other for other in others]))
    return integrals
