# SPDX-License-Identifier: GPL-3.0-or-later
"""The least-squares problem of a body against landmarks, and its solver: many poses at once.

Levenberg-Marquardt (Marquardt 1963) with a damping per pose, on robust residuals: Geman and McClure's function
rho(r) = r^2 / (1 + r^2 / c^2), by iteratively reweighted least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ...geometry.rotations_torch import exponential, inverse_right_jacobian, logarithm
from .hanging import Hanging
from .observe import DEPTH_SHARE, DIFFERENCES, INDEX, Observations
from .prior import attribute_prior, pose_prior
from .skeleton import (
    GROUPS,
    landmark_markers,
    place_markers,
    pose_skeleton,
)

TURNS = 3 * len(GROUPS)
#: Standard deviation of the logarithm of the world landmarks' scale.
SCALE_SPREAD = 0.08
HIPS = (INDEX[23], INDEX[24])
#: How much landmarks in space and their depths count against those in the picture and the prior of the pose.
WORLD, DEPTH = 0.3, 0.7
#: Where the robust functions of the picture and of space let go, in standard deviations.
CUT, WORLD_CUT = 3.0, 6.0


Rows = TypeVar("Rows", "State", Observations)


@dataclass(frozen=True)
class State:
    """B poses. rotations : (B, G, 3, 3).  translation : (B, 3).  attributes : (B, A).  log_scale : (B,)."""

    rotations: Tensor
    translation: Tensor
    attributes: Tensor
    log_scale: Tensor

    def take(self, rows) -> State:
        return State(self.rotations[rows], self.translation[rows], self.attributes[rows], self.log_scale[rows])

    def moved(self, step: Tensor) -> State:
        """step : (B, D), in the order of `place_markers`, the log scale last."""
        batch = len(step)
        delta = step[:, :TURNS].reshape(batch, -1, 3)
        return State(
            self.rotations @ exponential(delta),
            self.translation + step[:, TURNS : TURNS + 3],
            (self.attributes + step[:, TURNS + 3 : -1]).clamp(0, 1),
            self.log_scale + step[:, -1],
        )


def robust(squares: Tensor, cut: float) -> tuple[Tensor, Tensor]:
    """Geman-McClure: cost and weight of squared residuals (in standard deviations)."""
    share = 1 / (1 + squares / cut**2)
    return squares * share, share**2


class Problem:
    """Cost, gradient and Gauss-Newton matrix of B poses against B observations."""

    def __init__(self, observed: Observations) -> None:
        self.observed, self.markers = observed, landmark_markers()
        self.hanging = Hanging(observed)

    def __call__(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        posed = pose_skeleton(state.rotations, state.translation, state.attributes)
        places, slopes = place_markers(self.markers, posed)
        assert slopes is not None
        slopes = torch.cat([slopes, slopes.new_zeros(*slopes.shape[:3], 1)], -1)
        batch, size = len(places), slopes.shape[-1]
        cost = places.new_zeros(batch)
        gradient, matrix = places.new_zeros(batch, size), places.new_zeros(batch, size, size)
        for residual, slope, weight, value in (
            self._picture(places, slopes),
            self._world(places, slopes, state.log_scale),
            self.hanging(places, slopes),
        ):
            cost = cost + value
            weighted = slope * weight[..., None]
            gradient = gradient + (weighted.transpose(1, 2) @ residual[..., None])[..., 0]
            matrix = matrix + weighted.transpose(1, 2) @ slope
        return self._with_priors(state, cost, gradient, matrix)

    def _picture(self, places: Tensor, slopes: Tensor):
        """Reprojection in standard deviations: (B, 2K), (B, 2K, D), weights (B, 2K), cost (B,)."""
        seen = self.observed
        depth = places[..., 2:].clamp(min=0.1)
        direction = places[..., :2] / depth
        scale = (seen.focal[:, None] / seen.spread[..., None])[..., None]
        error = (direction * seen.focal[:, None] + seen.centre[:, None] - seen.points) / seen.spread[..., None]
        slope = (slopes[:, :, :2] - direction[..., None] * slopes[:, :, 2:]) / depth[..., None] * scale
        value, share = robust((error**2).sum(-1), CUT)
        weight = seen.seen * seen.inside * self.hanging.known
        rows = (share * weight)[..., None].expand_as(error).flatten(1)
        return error.flatten(1), slope.flatten(1, 2), rows, (value * weight).sum(-1)

    def _world(self, places: Tensor, slopes: Tensor, log_scale: Tensor):
        """World landmarks across the ray, their differences along it: (B, 2K + E), (B, 2K + E, D), weights, cost."""
        seen = self.observed
        middle, middle_slope = places[:, HIPS].mean(1, keepdim=True), slopes[:, HIPS].mean(1, keepdim=True)
        scaled = seen.world * log_scale.exp()[:, None, None]
        to_ray = seen.ray.transpose(1, 2)[:, None]
        local = (to_ray @ (places - middle)[..., None])[..., 0]
        local_slope = to_ray @ (slopes - middle_slope)
        error = (local - scaled)[..., :2] / seen.world_spread[..., None]
        slope = local_slope[:, :, :2].clone()
        slope[..., -1] = -scaled[..., :2]
        slope = slope / seen.world_spread[..., None, None]
        value, share = robust((error**2).sum(-1), WORLD_CUT)
        weight = WORLD * (0.1 + 0.9 * seen.seen) * self.hanging.known
        rows = (share * weight)[..., None].expand_as(error).flatten(1)
        depth = (DEPTH_SHARE * (local[..., 2] @ DIFFERENCES.T) - seen.depths) / seen.depth_spread
        depth_slope = DIFFERENCES @ local_slope[:, :, 2] * (DEPTH_SHARE / seen.depth_spread)[..., None]
        depth_value, depth_share = robust(depth**2, WORLD_CUT)
        depth_weight = DEPTH * self.hanging.depth_known
        return (
            torch.cat([error.flatten(1), depth], 1),
            torch.cat([slope.flatten(1, 2), depth_slope], 1),
            torch.cat([rows, depth_weight * depth_share], 1),
            (value * weight).sum(-1) + (depth_weight * depth_value).sum(-1),
        )

    def _with_priors(self, state: State, cost: Tensor, gradient: Tensor, matrix: Tensor):
        prior = pose_prior()
        vectors = logarithm(state.rotations)
        angles = (prior.axes @ vectors[..., None])[..., 0]
        slope = prior.axes @ inverse_right_jacobian(vectors)
        pull = 1 / prior.spread**2
        beyond = angles - angles.clamp(prior.low, prior.high)
        stiff = torch.where(beyond != 0, 1 / 0.07**2, 0.0)
        residual = angles - prior.mean
        cost = cost + (pull * residual**2).sum((1, 2)) + (stiff * beyond**2).sum((1, 2))
        force = pull * residual + stiff * beyond
        gradient[:, :TURNS] += (slope.transpose(-1, -2) @ force[..., None]).flatten(1)
        blocks = slope.transpose(-1, -2) @ ((pull + stiff)[..., None] * slope)
        groups = torch.arange(len(GROUPS))
        rows = (3 * groups[:, None] + torch.arange(3))[:, :, None].expand(-1, 3, 3)
        columns = rows.transpose(1, 2)
        matrix[:, rows, columns] += blocks
        mean, spread = attribute_prior()
        first = TURNS + 3
        offset = (state.attributes - mean) / spread
        cost = cost + (offset**2).sum(1) + (state.log_scale / SCALE_SPREAD) ** 2
        gradient[:, first:-1] += offset / spread
        gradient[:, -1] += state.log_scale / SCALE_SPREAD**2
        diagonal = torch.diagonal(matrix, dim1=1, dim2=2)
        diagonal[:, first:-1] += 1 / spread**2
        diagonal[:, -1] += 1 / SCALE_SPREAD**2
        return cost, gradient, matrix


def minimise(problem, state: State, steps: int, damping: float = 1e-2, fixed: Tensor | None = None):
    """Levenberg-Marquardt. fixed : (D,) bool, parameters that stay. Returns the state and its cost (B,)."""
    cost, gradient, matrix = problem(state)
    damp = torch.full((len(gradient),), damping, dtype=gradient.dtype)
    for _ in range(steps):
        system = matrix.clone()
        diagonal = torch.diagonal(system, dim1=1, dim2=2)
        diagonal += damp[:, None] * (diagonal + 1e-3)
        if fixed is not None:
            system[:, fixed] = 0
            system[:, :, fixed] = 0
            torch.diagonal(system, dim1=1, dim2=2)[:, fixed] = 1
            gradient = gradient.masked_fill(fixed, 0)
        step = -torch.linalg.solve(system, gradient)
        step[:, :TURNS] = step[:, :TURNS].clamp(-0.6, 0.6)
        tried = state.moved(step)
        new_cost, new_gradient, new_matrix = problem(tried)
        better = new_cost < cost
        state = choose(better, tried, state)
        cost = torch.where(better, new_cost, cost)
        gradient = torch.where(better[:, None], new_gradient, gradient)
        matrix = torch.where(better[:, None, None], new_matrix, matrix)
        damp = torch.where(better, damp * 0.3, damp * 5).clamp(1e-6, 1e4)
    return state, cost


def attribute_parameters() -> Tensor:
    """(D,) bool: which parameters are attributes, to keep a shape that is known."""
    mean, _ = attribute_prior()
    fixed = torch.zeros(TURNS + 3 + len(mean) + 1, dtype=torch.bool)
    fixed[TURNS + 3 : -1] = True
    return fixed


def concatenated(parts: Sequence[Rows]) -> Rows:
    """Several states, or observations, as one."""
    return type(parts[0])(*(torch.cat(values) for values in zip(*(vars(part).values() for part in parts), strict=True)))


def choose(condition: Tensor, first: State, second: State) -> State:
    """Row by row, `first` where the condition (B,) holds."""
    return State(
        *[
            torch.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b)
            for a, b in zip(vars(first).values(), vars(second).values(), strict=True)
        ]
    )
