# SPDX-License-Identifier: GPL-3.0-or-later
"""Steady metres of films: networks see every frame by itself, and judge its scale a little differently each time.

From frame to frame the same surfaces are found by optical flow, and the median of their depths' ratios is taken. Summed
up, these ratios are the way of the camera, which changes smoothly, and the scale's jitter, which does not; a Kalman
filter of level and slope keeps the first and takes the second away. Only frames that came before are needed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import DepthMap

#: Long side at which frames are compared, and the least share of it that must be seen in both.
_SIDE, _LEAST_SHARE = 256, 0.02
#: Logs, one standard deviation: a frame's scale, the slope of the way at first, and its change from frame to frame.
_JITTER, _SLOPE, _TURN = 0.05, 0.03, 0.0008
#: One frame on: the level goes by the slope.
_STEP = np.array([[1.0, 1.0], [0.0, 1.0]])
#: Median difference in grey levels, after the flow, from which on a frame is another shot.
_CUT = 25.0
#: Log of the greatest correction.
_MOST = math.log(2)


class Steady:
    """Depth maps of a film's frames, in their order, on one scale. Heights without unit are left as they are."""

    def __init__(self) -> None:
        self._before: tuple[NDArray, NDArray] | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._restart()

    def _restart(self) -> None:
        self._measured, self._way = 0.0, np.zeros(2)  # level and slope
        self._doubt = np.diag([_JITTER, _SLOPE]) ** 2

    def __call__(self, pixels: NDArray[np.uint8], depth: DepthMap) -> DepthMap:
        """pixels : (H, W, 3) of the frame."""
        if not depth.metric:
            return depth
        now = self._small(pixels, depth)
        ratio = self._ratio(now) if self._before is not None else None
        self._before = now
        if ratio is None:  # the first frame, another shot, or nothing in common
            self._restart()
            return depth
        self._measured += ratio
        way = _STEP @ self._way
        doubt = _STEP @ self._doubt @ _STEP.T + np.diag([0.0, _TURN**2])
        gain = doubt[:, 0] / (doubt[0, 0] + _JITTER**2)
        self._way = way + gain * (self._measured - way[0])
        self._doubt = doubt - np.outer(gain, doubt[0])
        change = min(max(float(self._way[0]) - self._measured, -_MOST), _MOST)
        return replace(depth, depth=depth.depth * np.float32(math.exp(change)))

    def _ratio(self, now: tuple[NDArray, NDArray]) -> float | None:
        """Log of how much farther the same surfaces are than in the frame before; None where that cannot be told."""
        assert self._before is not None
        (grey, depth), (grey_before, depth_before) = now, self._before
        if grey.shape != grey_before.shape:
            return None
        flow = self._flow.calc(grey, grey_before, None)  # type: ignore[call-overload]
        rows, columns = np.indices(grey.shape, np.float32)
        x, y = columns + flow[..., 0], rows + flow[..., 1]
        seen = cv2.remap(grey_before, x, y, cv2.INTER_LINEAR)
        if np.median(np.abs(seen.astype(np.int16) - grey)) > _CUT:
            return None
        earlier = cv2.remap(depth_before, x, y, cv2.INTER_NEAREST)
        both = (depth > 0) & (earlier > 0)
        if both.mean() < _LEAST_SHARE:
            return None
        return float(np.median(np.log(depth[both] / earlier[both])))

    @staticmethod
    def _small(pixels: NDArray[np.uint8], depth: DepthMap) -> tuple[NDArray, NDArray]:
        """Grey levels and depths, 0 where there is none, of a frame made small."""
        height, width = pixels.shape[:2]
        scale = min(1.0, _SIDE / max(height, width))
        size = max(16, round(width * scale)), max(16, round(height * scale))
        grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        known = np.where(depth.valid, depth.depth, np.float32(0))
        return grey, cv2.resize(known, size, interpolation=cv2.INTER_NEAREST)
