# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of the background, followed from frame to frame beside the people: what tells how the camera moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...shipped.pose import PoseLandmarks
from .backdrop import is_on

#: Points that are followed at once, and how few call for new ones; their least distance as a share of the width.
MOST, FEW, APART = 300, 200, 0.02
#: Longer sides of pictures in which points are followed, pixels; larger ones are reduced.
LARGEST = 1280
#: A point that is not found back within this distance (pixels) is lost.
BACK = 0.5
_FLOW = {"winSize": (21, 21), "maxLevel": 3}


@dataclass(frozen=True)
class Background:
    """What is behind the people of a clip. paths (N, 4) : see `joined`.  cuts : frames that begin another shot."""

    paths: NDArray
    cuts: tuple[int, ...] = ()


class Scenery:
    """The points of one piece of a clip, while it is being read."""

    def __init__(self) -> None:
        self.rows: list[NDArray[np.float32]] = []
        self.before: NDArray[np.uint8] | None = None
        self.points, self.names = np.zeros((0, 2), np.float32), np.zeros(0, int)
        self.count = 0

    def cut(self) -> None:
        """Another shot begins."""
        self.before, self.points, self.names = None, self.points[:0], self.names[:0]

    def step(self, frame: int, pixels: NDArray[np.uint8], people: Sequence[PoseLandmarks]) -> None:
        """Follow the points into the next frame, outside of its people."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, LARGEST / max(grey.shape))
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if self.before is not None and len(self.points):
            self._follow(np.asarray(grey, np.uint8))
        self._keep(_is_free(self.points, scale, people))
        if len(self.points) < FEW:
            self._find(np.asarray(grey, np.uint8))
            self._keep(_is_free(self.points, scale, people))
        self.before = np.asarray(grey, np.uint8)
        row = np.full((len(self.points), 4), frame, np.float32)
        row[:, 0], row[:, 2:] = self.names, (self.points + 0.5) / scale
        self.rows.append(row)

    @property
    def paths(self) -> NDArray[np.float32]:
        """(N, 4): point, frame, and where it is, pixels (pixel centres at +0.5)."""
        return np.concatenate([np.zeros((0, 4), np.float32), *self.rows])

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        self.points, self.names = self.points[kept], self.names[kept]

    def _follow(self, grey: NDArray[np.uint8]) -> None:
        assert self.before is not None
        flow: Any = cv2.calcOpticalFlowPyrLK
        there, found, _ = flow(self.before, grey, self.points, None, **_FLOW)
        back, again, _ = flow(grey, self.before, there, None, **_FLOW)
        apart = np.linalg.norm(back - self.points, axis=1)
        inside = ((there >= 2) & (there < np.array(grey.shape[::-1]) - 2)).all(axis=1)
        kept = (found[:, 0] > 0) & (again[:, 0] > 0) & (apart < BACK) & inside
        self.points, self.names = there[kept], self.names[kept]

    def _find(self, grey: NDArray[np.uint8]) -> None:
        distance = max(4, round(APART * grey.shape[1]))
        taken = np.full(grey.shape, 255, np.uint8)
        for x, y in np.rint(self.points).astype(int).tolist():
            cv2.circle(taken, (x, y), distance, (0,), -1)
        found = cv2.goodFeaturesToTrack(grey, MOST - len(self.points), 0.01, distance, mask=taken)
        if found is None:
            return
        new = found.reshape(-1, 2)
        self.names = np.append(self.names, self.count + np.arange(len(new)))
        self.points, self.count = np.concatenate([self.points, new]), self.count + len(new)


def _is_free(points: NDArray, scale: float, people: Sequence[PoseLandmarks]) -> NDArray[np.bool_]:
    """Which points (N, 2) of a reduced picture are not on people, nor close to them."""
    free = np.ones(len(points), bool)
    for one in people:
        reach = 0.05 * one.region.size
        for aside in np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]) * reach:
            free &= ~is_on(points / scale + aside, one)
    return free


def joined(parts: Sequence[tuple[int, NDArray]]) -> NDArray[np.float64]:
    """The paths of several pieces, first frame and (N, 4) each, as one: what they both see in the last frame of a
    piece's lead are the same points."""
    whole: list[NDArray] = []
    count = 0
    for start, paths in parts:
        paths = np.array(paths, np.float64)
        if not len(paths):
            continue
        names = np.arange(int(paths[:, 0].max()) + 1) + count
        count += len(names)
        if whole:
            theirs, mine = (one[one[:, 1] == start - 1] for one in (whole[-1], paths))
            if len(theirs) and len(mine):
                apart = np.linalg.norm(mine[:, None, 2:] - theirs[None, :, 2:], axis=-1)
                near = apart.argmin(axis=1)
                same = (apart.min(axis=1) < 1.0) & (apart.argmin(axis=0)[near] == np.arange(len(near)))
                names[mine[same, 0].astype(int)] = theirs[near[same], 0]
        paths[:, 0] = names[paths[:, 0].astype(int)]
        whole.append(paths[paths[:, 1] >= start])
    return np.concatenate([np.zeros((0, 4)), *whole])
