# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting out without a network: colours inside and outside, and edges between them (GrabCut: Rother et al. 2004)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import NothingFound
from ..photo import Photo
from ..results import CutOut
from ..runtime import Run
from .edges import finished
from .prompt import Prompt

#: Long side at which it computes.
_SIDE = 640
#: As shares of the long side: what a click covers surely, what it covers probably, and how far a rough mask may be off.
_CLICK, _AROUND, _ROUGH = 0.012, 0.12, 0.04
_ROUNDS = 5


def cut_out(photo: Photo, run: Run, options: Mapping[str, Any]) -> CutOut:
    """See `inference.cut_out`. Raises `NothingFound` where nothing is left."""
    prompt = Prompt.of(photo, options)
    run.report(0.1, "Separating colours")
    scale = min(1.0, _SIDE / max(photo.size))
    pixels = cv2.resize(photo.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    trimap = _trimap(prompt, scale, *pixels.shape[:2])
    sure = trimap == cv2.GC_FGD
    seeds = sure.any() and (trimap != cv2.GC_FGD).any()
    if seeds or (trimap == cv2.GC_PR_FGD).any():
        model = [np.zeros((1, 65)), np.zeros((1, 65))]
        cv2.setRNGSeed(0)
        cv2.grabCut(np.ascontiguousarray(pixels[..., ::-1]), trimap, None, *model, _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    inside = _connected(np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)), sure)
    if not inside.any():
        raise NothingFound("Nothing stands out from its surroundings there.", "Add clicks on it, and on what is not.")
    soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)
    mask = np.clip(cv2.resize(soft, photo.size, interpolation=cv2.INTER_CUBIC) * 2 - 0.5, 0, 1)
    return finished(photo, mask, 1.0, run, options)


def _trimap(prompt: Prompt, scale: float, height: int, width: int) -> NDArray[np.uint8]:
    """What is surely or probably inside or outside, as OpenCV's GrabCut calls it."""
    long_side = max(height, width)
    trimap = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    places = np.floor(prompt.points * scale).astype(int)
    if prompt.box is not None:
        u0, v0, u1, v1 = np.rint(prompt.box * scale).astype(int)
        trimap[:] = cv2.GC_BGD
        trimap[v0:v1, u0:u1] = cv2.GC_PR_FGD
    if prompt.mask is not None:
        rough = cv2.resize(prompt.mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
        reach = max(1, round(_ROUGH * long_side))
        inward = cv2.distanceTransform(np.pad(rough, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        outward = cv2.distanceTransform(1 - rough, cv2.DIST_L2, 5)
        trimap[outward > reach] = cv2.GC_BGD
        trimap[rough > 0] = cv2.GC_PR_FGD
        trimap[inward > min(reach, 0.6 * float(inward.max()))] = cv2.GC_FGD
    if prompt.box is None and prompt.mask is None:
        for u, v in places[prompt.wanted]:
            cv2.circle(trimap, (int(u), int(v)), round(_AROUND * long_side), (cv2.GC_PR_FGD,), -1)
        edge = max(1, round(0.01 * long_side))  # what reaches the picture's border is mostly background
        border = np.ones_like(trimap, bool)
        border[edge:-edge, edge:-edge] = False
        trimap[border] = cv2.GC_BGD
    for (u, v), wanted in zip(places, prompt.wanted, strict=True):
        value = cv2.GC_FGD if wanted else cv2.GC_BGD
        cv2.circle(trimap, (int(u), int(v)), max(1, round(_CLICK * long_side)), (value,), -1)
    return trimap


def _connected(inside: NDArray[np.bool_], sure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts that hold what is surely wanted; without that, the largest; without small holes."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=4)
    if count < 2:
        return inside
    kept = np.unique(labels[sure & inside])
    kept = kept[kept > 0] if sure.any() else np.array([1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())])
    found = np.isin(labels, kept)
    count, holes, stats, _ = cv2.connectedComponentsWithStats((~found).astype(np.uint8), connectivity=4)
    small = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < 0.002 * found.size)
    return found | np.isin(holes, small[small > 0])
