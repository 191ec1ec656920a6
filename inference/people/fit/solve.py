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
    PosedSkeleton,
    landmark_markers,
    place_markers,
    pose_skeleton,
)

TURNS = 3 * len(GROUPS)
#: Standard deviation of the logarithm of the world landmarks' scale.
SCALE_SPREAD = 0.08
HIPS = (INDEX[23], INDEX[24])
#: How much landmarks in space and their depths count against those in the picture and the prior of the pose.
WORLD, DEPTH = 0.3, 0.9
#: Where the robust functions of the picture and of space let go, in standard deviations.
CUT, WORLD_CUT = 3.0, 6.0
#: A step moves a body by this share of its distance at most. Where it is the picture tells from the start; what pulls
#: at it at first is the pose, and of who is seen down to the shoulders alone it may pull him away for good.
LEAP = 0.1


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
    """Cost, gradient and Gauss-Newton matrix of B poses against B observations.

    Residuals are linear in the markers' places, so that their squares are gathered by marker, 3 x 3, before the places'
    slopes by the D parameters come in: what follows is several times as quick as with a row of slopes a residual.

    cut : where the robust function of the picture lets go, in standard deviations.
    """

    def __init__(self, observed: Observations, cut: float = CUT) -> None:
        self.observed, self.markers, self.cut = observed, landmark_markers(), cut
        self.hanging = Hanging(observed)

    def __call__(self, state: State, build: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Cost (B,), gradient (B, D + 1) and matrix by the D parameters of `place_markers` and the log scale.

        build : False leaves the attributes out of the parameters.
        """
        return self.about(state, pose_skeleton(state.rotations, state.translation, state.attributes, build))

    def about(self, state: State, posed: PosedSkeleton) -> tuple[Tensor, Tensor, Tensor]:
        """The same of a state whose skeleton is posed already."""
        places, slopes = place_markers(self.markers, posed)
        assert slopes is not None
        cost, pull, square = self._picture(places)
        across = self._across(places, state.log_scale)
        depth = self._depth(places)
        hanging = self.hanging(places)
        cost = cost + across.cost + depth[0] + hanging[0]
        flat, size = slopes.flatten(1, 2), slopes.shape[-1]
        gradient, matrix = places.new_zeros(len(places), size + 1), places.new_zeros(len(places), size + 1, size + 1)
        pulls = torch.stack([pull + across.pull, across.scale_pull], -1).flatten(1, 2)
        both = flat.transpose(1, 2) @ pulls
        gradient[:, :-1], gradient[:, -1] = both[..., 0], across.scale[0]
        matrix[:, :-1, -1] = matrix[:, -1, :-1] = both[..., 1]
        matrix[:, -1, -1] = across.scale[1]
        inner = flat.transpose(1, 2) @ ((square + across.square) @ slopes).flatten(1, 2)
        rows, weighted = across.about_hips(slopes)
        inner.baddbmm_(rows.transpose(1, 2), weighted)
        along = (DIFFERENCES[..., None] * self.observed.ray[:, None, None, :, 2]).flatten(2) @ flat
        for error, weight, rows in ((*depth[1:], along), (*hanging[1:], self.hanging.rows(slopes))):
            if rows.shape[1]:
                inner.baddbmm_(rows.transpose(1, 2), weight[..., None] * rows)
                gradient[:, :-1] += (rows.transpose(1, 2) @ error[..., None])[..., 0]
        matrix[:, :-1, :-1] = inner
        return self._with_priors(state, cost, gradient, matrix)

    def _picture(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reprojection: cost (B,), and by marker its pull (B, K, 3) and square (B, K, 3, 3)."""
        seen = self.observed
        depth = places[..., 2:].clamp(min=0.1)
        direction = places[..., :2] / depth
        error = (direction * seen.focal[:, None] + seen.centre[:, None] - seen.points) / seen.spread[..., None]
        value, share = robust((error**2).sum(-1), self.cut)
        weight = seen.seen * seen.inside * self.hanging.known
        steep = seen.focal[:, None] / (seen.spread[..., None] * depth)
        slope = torch.cat([torch.diag_embed(steep), (-steep * direction)[..., None]], -1)
        weighted = slope * (share * weight)[..., None, None]
        pull = (weighted * error[..., None]).sum(-2)
        return (value * weight).sum(-1), pull, weighted.transpose(-1, -2) @ slope

    def _across(self, places: Tensor, log_scale: Tensor) -> _Across:
        """World landmarks across the ray, from between the hips."""
        seen = self.observed
        to_ray = seen.ray[:, :, :2]
        local = (places - places[:, HIPS].mean(1, keepdim=True)) @ to_ray
        scaled = seen.world[..., :2] * log_scale.exp()[:, None, None]
        error = (local - scaled) / seen.world_spread[..., None]
        value, share = robust((error**2).sum(-1), WORLD_CUT)
        weight = WORLD * (0.1 + 0.9 * seen.seen) * self.hanging.known
        rows, weighted = share * weight, (share * weight / seen.world_spread)[..., None]
        change = -scaled / seen.world_spread[..., None]
        pulls = [_from_hips((weighted * one) @ to_ray.transpose(1, 2)) for one in (error, change)]
        scale = [(rows[..., None] * change * one).sum((1, 2)) for one in (error, change)]
        stiff = rows / seen.world_spread**2
        square = stiff[..., None, None] * (to_ray @ to_ray.transpose(1, 2))[:, None]
        return _Across((value * weight).sum(-1), pulls[0], pulls[1], square, (scale[0], scale[1]), stiff, to_ray)

    def _depth(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Differences of the world landmarks along the ray: cost (B,), by row the pull on it and its weight (B, E)."""
        seen = self.observed
        along = (places @ seen.ray[:, :, 2:])[..., 0]
        error = (DEPTH_SHARE * (along @ DIFFERENCES.T) - seen.depths) / seen.depth_spread
        value, share = robust(error**2, WORLD_CUT)
        weight, steep = DEPTH * self.hanging.depth_known, DEPTH_SHARE / seen.depth_spread
        return (weight * value).sum(-1), weight * share * steep * error, weight * share * steep**2

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
        step, across = matrix.stride()[:2], matrix.stride(2)
        matrix.as_strided(blocks.shape, (step[0], 3 * (step[1] + across), step[1], across)).add_(blocks)
        mean, spread = attribute_prior()
        offset = (state.attributes - mean) / spread
        cost = cost + (offset**2).sum(1) + (state.log_scale / SCALE_SPREAD) ** 2
        gradient[:, -1] += state.log_scale / SCALE_SPREAD**2
        diagonal, own = torch.diagonal(matrix, dim1=1, dim2=2), slice(TURNS + 3, -1)
        diagonal[:, -1] += 1 / SCALE_SPREAD**2
        if gradient.shape[1] > TURNS + 4:
            gradient[:, own] += offset / spread
            diagonal[:, own] += 1 / spread**2
        return cost, gradient, matrix


@dataclass(frozen=True)
class _Across:
    """Residuals across the ray. cost : (B,).  pull, scale_pull : (B, K, 3), on the markers, of the errors and of how
    they change with the log scale.  square : (B, K, 3, 3), as if the hips stood still.  scale : gradient, square (B,)
    of the log scale.  stiff : (B, K) weights.  to_ray : (B, 3, 2).
    """

    cost: Tensor
    pull: Tensor
    scale_pull: Tensor
    square: Tensor
    scale: tuple[Tensor, Tensor]
    stiff: Tensor
    to_ray: Tensor

    def about_hips(self, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """What is to be added to the squares since the hips move too, as rows (B, 4, D) and weighted rows."""
        across, total = self.to_ray.transpose(1, 2), self.stiff.sum(1)[:, None, None]
        hips = across @ slopes[:, HIPS].mean(1)
        all_of_them = across @ (self.stiff[:, None] @ slopes.flatten(2)).reshape(len(slopes), 3, -1)
        return torch.cat([hips, all_of_them], 1), torch.cat([total * hips - all_of_them, -hips], 1)


def _from_hips(pull: Tensor) -> Tensor:
    """Pulls (B, K, 3) on places counted from between the hips, as pulls on the places."""
    pull = pull.clone()
    pull[:, HIPS] -= pull.sum(1, keepdim=True) / len(HIPS)
    return pull


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
        reach = LEAP * state.translation[:, 2:].abs()
        step[:, TURNS : TURNS + 3] = step[:, TURNS : TURNS + 3].clamp(-reach, reach)
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
