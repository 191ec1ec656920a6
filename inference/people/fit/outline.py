# SPDX-License-Identifier: GPL-3.0-or-later
"""The last step of a fit: the body's picture should lie in the person's mask, and the mask should be filled.

Two robust sums beside the landmarks' (chamfer distances both ways): how far points of the skin project outside of the
mask, and how far the mask's border is from the nearest point of the skin, less an allowance for clothes. The mask
tells what landmarks cannot: how stout a person is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...camera import Camera
from ...runtime.run import Run
from ...shipped.body import load_body
from .observe import Observations
from .skeleton import Markers, PosedSkeleton, markers, place_markers
from .solve import Problem, State, concatenated, minimise, robust

STEPS = 6
#: Metres: skin points are this far apart; standard deviations of skin outside and of border uncovered; cloth.
SPACING, OUTSIDE, UNCOVERED, CLOTH = 0.045, 0.03, 0.05, 0.02
#: What the means of the two kinds of points weigh, against one for a landmark's coordinate. Of the skin only the rim
#: can lie outside of the mask, about a fifth of the points.
WEIGHT_OUTSIDE, WEIGHT_UNCOVERED = 350.0, 150.0
BORDER_POINTS = 160
#: Masks are compared at about this many pixels a metre: finer ones cost time and tell no more.
RESOLUTION = 80.0


@cache
def skin_markers() -> Markers:
    """Points of the skin, about evenly spread: the first vertex of each cell of a grid, fingers left out."""
    body = load_body()
    fingers = np.array([name.startswith(("finger", "metacarpal", "eye")) for name in body.joint_names])
    usable = np.flatnonzero(body.skin_weights[:, fingers].sum(1) < 0.5)
    cells = np.floor(body.vertices[usable] / SPACING).astype(int)
    _, first = np.unique(cells, axis=0, return_index=True)
    return markers([(usable[[i]], np.ones(1)) for i in np.sort(first)])


def fit_outlines(
    observed: Observations,
    state: State,
    masks: Sequence[NDArray | None],
    cameras: Sequence[Camera],
    run: Run,
    steps: int = STEPS,
) -> State:
    """The poses after a few steps with the outline; observations without a mask stay as they are.

    Where another person's mask lies, a body may be hidden: that counts neither for nor against it.
    """
    rows = []
    for number, mask in enumerate(masks):
        run.report(number / len(masks), "Fitting outlines")
        one = state.take([number])
        if mask is not None and (mask > 0.5).sum() > 50:
            others = [
                other
                for index, other in enumerate(masks)
                if index != number and other is not None and cameras[index] is cameras[number]
            ]
            problem = OutlineProblem(observed.take([number]), mask, others)
            one, _ = minimise(problem, one, steps)
        rows.append(one)
    return concatenated(rows)


class OutlineProblem(Problem):
    """`Problem` of one person, with the outline's two sums."""

    def __init__(self, observed: Observations, mask: NDArray, others: Sequence[NDArray]) -> None:
        super().__init__(observed)
        scale = float(observed.scale[0])
        self.step = max(1.0, scale / RESOLUTION)
        self.metre = scale / self.step
        height, width = mask.shape
        size = (max(2, round(width / self.step)), max(2, round(height / self.step)))
        person = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA)) > 0.5
        allowed = person.copy()
        for other in others:
            allowed |= np.asarray(cv2.resize(other, size, interpolation=cv2.INTER_AREA)) > 0.5
        self.size = torch.tensor(size, dtype=torch.float64)
        self.shrink = self.size / torch.tensor([width, height], dtype=torch.float64)
        self.labels, self.nearest = nearest_inside(allowed)
        self.border = torch.from_numpy(border_points(person))

    def about(self, state: State, posed: PosedSkeleton) -> tuple[Tensor, Tensor, Tensor]:
        cost, gradient, matrix = super().about(state, posed)
        places, slopes = place_markers(skin_markers(), posed)
        assert slopes is not None
        places, slopes = places[0], slopes[0]
        focal, centre = self.observed.focal * self.shrink, self.observed.centre * self.shrink
        depth = places[:, 2:].clamp(min=0.1)
        direction = places[:, :2] / depth
        pixels = direction * focal + centre
        count = slopes.shape[-1]
        for (points, offset), slack, spread, importance in (
            # Half a pixel is the distance between a point and its own pixel's centre.
            (self._outside(pixels), 0.75, OUTSIDE, WEIGHT_OUTSIDE),
            (self._uncovered(pixels), CLOTH * self.metre, UNCOVERED, WEIGHT_UNCOVERED),
        ):
            distance = offset.norm(dim=1)
            far = (distance > slack).nonzero()[:, 0]  # the others pull at nothing, nor cost anything
            if not len(far):
                continue
            points, distance = points[far], distance[far]
            error = (distance - slack) / (spread * self.metre)
            value, share = robust(error**2, 3.0)
            weight = importance / len(offset)
            cost = cost + weight * value.sum()
            towards = offset[far] / distance[:, None] * focal / (spread * self.metre * depth[points])
            pull = torch.cat([towards, -(towards * direction[points]).sum(1, keepdim=True)], 1)
            rows = (pull[:, None] @ slopes[points])[:, 0]
            weighted = rows * (weight * share)[:, None]
            gradient[0, :count] += weighted.T @ error
            matrix[0, :count, :count] += weighted.T @ rows
        return cost, gradient, matrix

    def _outside(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Skin points in the picture (M,), and how far each is from the nearest pixel that may show the body (M, 2)."""
        inside = ((pixels >= 0) & (pixels < self.size)).all(1).nonzero()[:, 0]
        column, row = pixels[inside].long().unbind(1)
        return inside, pixels[inside] - self.nearest[self.labels[row, column].long()]

    def _uncovered(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The skin points nearest to the mask's border (N,), and how far each is from there (N, 2), in grid pixels."""
        if not len(self.border):
            return torch.zeros(0, dtype=torch.long), self.border
        nearest = torch.cdist(self.border, pixels).argmin(1)
        return nearest, pixels[nearest] - self.border


def nearest_inside(allowed: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Of each pixel (H, W) a number, and of each number the centre (x, y) of the nearest pixel that is allowed."""
    blocked = (~allowed).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(blocked, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(allowed)
    table = np.zeros((int(labels.max()) + 1, 2))
    table[labels[rows, columns]] = np.stack([columns + 0.5, rows + 0.5], 1)
    return torch.from_numpy(np.asarray(labels, np.int32)), torch.from_numpy(table)


def border_points(person: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Up to `BORDER_POINTS` points (N, 2) on the mask's border, those at the picture's edge left out."""
    inner = cv2.erode(person.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rows, columns = np.nonzero(person & ~inner)
    away = (rows > 0) & (columns > 0) & (rows < person.shape[0] - 1) & (columns < person.shape[1] - 1)
    points = np.stack([columns, rows], 1)[away].astype(np.float64) + 0.5
    chosen = np.linspace(0, len(points) - 1, min(BORDER_POINTS, len(points))).astype(int)
    return points[chosen]
