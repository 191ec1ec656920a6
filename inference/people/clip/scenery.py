# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of the background, followed from frame to frame beside the people: what tells how the camera moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...shipped.pose import PoseLandmarks
from .backdrop import is_on
from .structure import LEAST

#: Points that are followed at once, and how few call for new ones; their least distance as a share of the width.
MOST, FEW, APART = 300, 200, 0.02
#: Longer sides of pictures in which points are followed, pixels; larger ones are reduced.
LARGEST = 1280
#: Frames that match nothing, as in a flash, are bridged, up to so many: of the points that share is lost there, and
#: found again after it.
BRIDGED, LOST = 3, 0.5
#: A point that is not found back within this distance (pixels) is lost.
BACK = 0.5
_FLOW = {"winSize": (21, 21), "maxLevel": 3}


@dataclass(frozen=True)
class Background:
    """What is behind the people of a clip. paths (N, 4) : see `joined`.  cuts : frames that begin another shot."""

    paths: NDArray
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """A reduced grey picture, and points (P, 2) in it by name (P,)."""

    grey: NDArray[np.uint8]
    points: NDArray[np.float32]
    names: NDArray[np.int64]

    def kept(self, some: NDArray[np.bool_]) -> _Seen:
        return replace(self, points=self.points[some], names=self.names[some])


class Scenery:
    """The points of one piece of a clip, while it is being read."""

    def __init__(self) -> None:
        self.rows: list[NDArray[np.float32]] = []
        self.now: _Seen | None = None
        #: What was seen before something broke into the film, and how many frames ago that was.
        self.held: _Seen | None = None
        self.ago = self.count = 0

    def cut(self) -> None:
        """Another shot begins, or the one before goes on."""
        self._hold(self.now)
        self.now = None

    def step(self, frame: int, pixels: NDArray[np.uint8], people: Sequence[PoseLandmarks]) -> None:
        """Follow the points into the next frame, outside of its people."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, LARGEST / max(grey.shape))
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        now = self._followed(np.asarray(grey, np.uint8))
        now = now.kept(_is_free(now.points, scale, people))
        if len(now.points) < FEW:
            now = self._with_more(now)
            now = now.kept(_is_free(now.points, scale, people))
        self.now = now
        row = np.full((len(now.points), 4), frame, np.float32)
        row[:, 0], row[:, 2:] = now.names, (now.points + 0.5) / scale
        self.rows.append(row)

    @property
    def paths(self) -> NDArray[np.float32]:
        """(N, 4): point, frame, and where it is, pixels (pixel centres at +0.5)."""
        return np.concatenate([np.zeros((0, 4), np.float32), *self.rows])

    def _hold(self, seen: _Seen | None) -> None:
        if self.held is None and seen is not None and len(seen.points) >= LEAST:
            self.held, self.ago = seen, 0

    def _followed(self, grey: NDArray[np.uint8]) -> _Seen:
        """The points in the next picture: from the last one, or from the one before a flash."""
        now = _Seen(grey, np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
        if self.now is not None:
            now = _follow(self.now, grey)
            if len(now.points) < LOST * len(self.now.points):
                self._hold(self.now)
        if self.held is None:
            return now
        again = _follow(self.held, grey) if self.ago else now
        if self.ago and len(again.points) >= LOST * len(self.held.points):
            now, self.held = again, None
            self.rows[-self.ago :] = [self.rows[0][:0]] * self.ago  # what is seen in a flash is no part of it
        elif self.ago == BRIDGED:
            self.held = None
        self.ago += 1
        return now

    def _with_more(self, now: _Seen) -> _Seen:
        distance = max(4, round(APART * now.grey.shape[1]))
        taken = np.full(now.grey.shape, 255, np.uint8)
        for x, y in np.rint(now.points).astype(int).tolist():
            cv2.circle(taken, (x, y), distance, (0,), -1)
        found = cv2.goodFeaturesToTrack(now.grey, MOST - len(now.points), 0.01, distance, mask=taken)
        if found is None:
            return now
        new = found.reshape(-1, 2)
        names = np.append(now.names, self.count + np.arange(len(new)))
        self.count += len(new)
        return replace(now, points=np.concatenate([now.points, new]), names=names)


def _follow(seen: _Seen, grey: NDArray[np.uint8]) -> _Seen:
    """The points that are found in another picture, and back."""
    if not len(seen.points) or seen.grey.shape != grey.shape:
        return _Seen(grey, seen.points[:0], seen.names[:0])
    flow: Any = cv2.calcOpticalFlowPyrLK
    there, found, _ = flow(seen.grey, grey, seen.points, None, **_FLOW)
    back, again, _ = flow(grey, seen.grey, there, None, **_FLOW)
    apart = np.linalg.norm(back - seen.points, axis=1)
    inside = ((there >= 2) & (there < np.array(grey.shape[::-1]) - 2)).all(axis=1)
    kept = (found[:, 0] > 0) & (again[:, 0] > 0) & (apart < BACK) & inside
    return _Seen(grey, there[kept], seen.names[kept])


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
        pairs = np.zeros((0, 2), int)
        for frame in range(start - 1, int(paths[0, 1]) - 1, -1) if whole else ():
            theirs, mine = (one[one[:, 1] == frame] for one in (whole[-1], paths))
            pairs = max(_same(mine, theirs), pairs, key=len)
            if len(pairs) >= max(1, LOST * len(mine)):  # else a flash is in the way, and they meet before it
                break
        names[pairs[:, 0]] = pairs[:, 1]
        paths[:, 0] = names[paths[:, 0].astype(int)]
        whole.append(paths[paths[:, 1] >= start])
    return np.concatenate([np.zeros((0, 4)), *whole])


def _same(mine: NDArray, theirs: NDArray) -> NDArray[np.int64]:
    """Names (N, 2) of points that lie at the same place in a frame, of paths (P, 4) and (Q, 4) there."""
    if not len(theirs) or not len(mine):
        return np.zeros((0, 2), int)
    apart = np.linalg.norm(mine[:, None, 2:] - theirs[None, :, 2:], axis=-1)
    near = apart.argmin(axis=1)
    same = (apart.min(axis=1) < 1.0) & (apart.argmin(axis=0)[near] == np.arange(len(near)))
    return np.stack([mine[same, 0], theirs[near[same], 0]], 1).astype(int)
