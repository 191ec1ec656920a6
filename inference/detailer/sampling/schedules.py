# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise schedules: the standard deviations sigma through which a sampler goes, largest first and 0 at the end.

All are made for the discrete training schedule of Stable Diffusion 1.5 and XL (`training_sigmas`), on which a noise
level is named by its training timestep, 0 to 999.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...registry import check_choice

#: The training schedule of Stable Diffusion: betas are the squares of evenly spaced roots.
_TIMESTEPS, _FIRST_BETA, _LAST_BETA = 1000, 0.00085, 0.012

#: Shape of the beta distribution by which "beta" spaces the timesteps (Lee et al. 2024, "Beta Sampling is All You
#: Need", section 3).
_BETA_SHAPE = 0.6
#: With so many steps a timestep, "beta" comes by every timestep.
_DENSE = 10

#: Curvature of "karras" (Karras et al. 2022, "Elucidating the Design Space", eq. 5).
_KARRAS_RHO = 7.0

#: Share of the noise that "linear_quadratic" takes away in its first, linear half.
_LINEAR_SHARE = 0.025


@lru_cache(maxsize=1)
def training_sigmas() -> NDArray[np.float64]:
    """(1000,) float64, ascending, read-only: sigma = sqrt((1 - a) / a), with a the cumulative product of 1 - beta."""
    betas = np.linspace(math.sqrt(_FIRST_BETA), math.sqrt(_LAST_BETA), _TIMESTEPS) ** 2
    kept = np.cumprod(1 - betas)
    sigmas = np.sqrt((1 - kept) / kept)
    sigmas.setflags(write=False)
    return sigmas


def sigma_of_timestep(timestep: NDArray | float, train: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise level of a (fractional) training timestep: linear in the logarithm between two levels."""
    return np.exp(np.interp(timestep, np.arange(len(train)), np.log(train)))


def timestep_of_sigma(sigma: float, train: NDArray[np.float64]) -> int:
    """The training timestep whose noise level is nearest, measured by the logarithm."""
    return int(np.abs(np.log(train) - math.log(max(sigma, 1e-12))).argmin())


def _spaced(start: float, end: float, steps: int, first: int) -> NDArray[np.float64]:
    """numpy's linspace(start, end, steps)[first:], without what comes before."""
    values = np.arange(first, steps) * ((end - start) / max(steps - 1, 1)) + start
    if steps > 1:
        values[-1] = end
    return values


def _simple(steps: int, train: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    stride = len(train) / steps
    return train[[len(train) - 1 - int(step * stride) for step in range(first, steps)]]


def _karras(steps: int, train: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    ends = train[[-1, 0]] ** (1 / _KARRAS_RHO)
    return (ends[0] + _spaced(0, 1, steps, first) * (ends[1] - ends[0])) ** _KARRAS_RHO


def _beta(steps: int, train: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    if steps > _DENSE * len(train):
        return train[::-1]  # every timestep is met
    from scipy.stats import beta

    share = beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), _BETA_SHAPE, _BETA_SHAPE)
    timesteps = np.rint(share * (len(train) - 1)).astype(int)
    return train[timesteps[np.r_[True, timesteps[1:] != timesteps[:-1]]]]


def _linear_quadratic(steps: int, train: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """The first half goes down evenly by `_LINEAR_SHARE`, the rest by the parabola that goes on with the same slope."""
    if steps == 1:
        return train[-1:]
    linear = steps // 2
    slope, rest = _LINEAR_SHARE / linear, steps - linear
    step = np.arange(first, steps)
    bend = (1 - _LINEAR_SHARE - slope * rest) / rest**2
    return train[-1] * (1 - slope * step - bend * np.maximum(step - linear, 0) ** 2)


#: Name -> levels of so many steps, from the one numbered `first` on; a schedule that drops some begins earlier.
SCHEDULES: dict[str, Callable[[int, NDArray[np.float64], int], NDArray[np.float64]]] = {
    "normal": lambda steps, train, first: sigma_of_timestep(_spaced(len(train) - 1, 0, steps, first), train),
    "karras": _karras,
    "exponential": lambda steps, train, first: np.exp(_spaced(math.log(train[-1]), math.log(train[0]), steps, first)),
    "sgm_uniform": lambda steps, train, first: sigma_of_timestep(
        _spaced(len(train) - 1, 0, steps + 1, first)[:-1], train
    ),
    "simple": _simple,
    # Every so many timesteps from the second one on; a step more than asked where they do not divide evenly.
    "ddim_uniform": lambda steps, train, first: train[1 :: max(len(train) // steps, 1)][::-1],
    "beta": _beta,
    "linear_quadratic": _linear_quadratic,
    # Sabour et al. 2024, "Align Your Steps", eq. 11: evenly spaced in the arc tangent.
    "kl_optimal": lambda steps, train, first: np.tan(_spaced(math.atan(train[-1]), math.atan(train[0]), steps, first)),
}

#: These samplers look one level further: their last level before 0 is left out.
_WITHOUT_LAST = ("dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2")


def sigmas(scheduler: str, steps: int, sampler: str = "euler", first: int = 0) -> NDArray[np.float64]:
    """Noise levels (about steps + 1,) float64 of a whole schedule, falling, the last one 0.

    first : step before which no level is needed: 10,000 steps at a denoise of 0.0001 are the end of 100 million.
    Raises `BadInput` for a scheduler that does not exist.
    """
    check_choice(scheduler, tuple(SCHEDULES), "scheduler")
    train = training_sigmas()
    without_last = sampler in _WITHOUT_LAST
    levels = SCHEDULES[scheduler](steps + without_last, train, first)
    return np.append(levels[:-1] if without_last else levels, 0.0)


def step_range(steps: int, denoise: float) -> tuple[int, int]:
    """Steps of the whole schedule, and the first of the last `steps` of them that are run: all steps are, whatever
    `denoise` is."""
    total = steps if denoise > 0.9999 else int(steps / denoise)
    return total, total - steps


def steps_before_refiner(steps: int, ratio: float) -> int:
    """How many of the steps that are run the first model takes, where a refiner takes the share `ratio`."""
    return int(steps * (1 - ratio))


def sigmas_from(scheduler: str, steps: int, denoise: float, sampler: str = "euler") -> NDArray[np.float64]:
    """Noise levels (steps + 1,) of the steps that are run."""
    total, first = step_range(steps, denoise)
    return sigmas(scheduler, total, sampler, first)[-(steps + 1) :]
