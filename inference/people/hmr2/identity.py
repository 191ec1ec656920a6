# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who over the frames of a clip, where all that is known of people are boxes, masks and what they wear.

The tracks and their assignment are those of `people.track`, which follows landmarks. Here the landmarks are those of
somebody who stands upright and fills the box: places, sizes and colours are compared, poses are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...shipped.crops import Region
from ...shipped.pose import PoseLandmarks
from ..boxes import box_overlap
from ..clip.appearance import colours, is_cut, thumbnail
from ..clip.identify import came_back, join_tracks, least_seen, longest_gap
from ..clip.scenery import Background, Scenery
from ..clip.track import Sighting, Track, assign, at_edge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .find import Detection

#: Where BlazePose's 39 landmarks lie in the box of somebody who stands upright: shares of its width and height.
_HEAD = [(0.5, 0.08)] * 7 + [(0.54, 0.07), (0.46, 0.07), (0.5, 0.1), (0.5, 0.1)]
_ARMS = [(0.65, 0.2), (0.35, 0.2), (0.75, 0.36), (0.25, 0.36), (0.78, 0.5), (0.22, 0.5)] + [
    (0.78, 0.53),
    (0.22, 0.53),
] * 3
_LEGS = [(0.59, 0.52), (0.41, 0.52), (0.6, 0.74), (0.4, 0.74), (0.6, 0.94), (0.4, 0.94)] + [
    (0.6, 0.98),
    (0.4, 0.98),
] * 2
_UPRIGHT = np.array([*_HEAD, *_ARMS, *_LEGS, (0.5, 0.5), (0.5, 0.0), *[(0.78, 0.5), (0.22, 0.5)] * 2])
#: A landmark crop is this many times as large as the person's longer side.
_CROP = 1.25
_SIDE = 256
#: Boxes that share more than this (intersection over union) are too near for colours to be one person's own.
_APART = 0.05


def stand_in(found: Detection, shape: tuple[int, ...]) -> PoseLandmarks:
    """Landmarks of somebody who stands upright in the box, with the person's mask or an ellipse in its place."""
    x0, y0, x1, y1 = (float(edge) for edge in found.box)
    size = _CROP * max(x1 - x0, y1 - y0, 1.0)
    region = Region((x0 + x1) / 2, (y0 + y1) / 2, size)
    points = np.array([x0, y0]) + _UPRIGHT * (x1 - x0, y1 - y0)
    ones, zeros = np.ones(39, np.float32), np.zeros(39, np.float32)
    return PoseLandmarks(
        points=points.astype(np.float32),
        world=np.zeros((39, 3), np.float32),
        visibility=ones,
        presence=ones,
        score=found.score,
        score_min=found.score,
        sigma=zeros,
        world_sigma=zeros,
        agreement=ones,
        spread=0.0,
        region=region,
        matrix=region.matrix,
        mask_logits=mask_logits(found, shape, region),
    )


def mask_logits(found: Detection, shape: tuple[int, ...], region: Region) -> NDArray[np.float32]:
    """A person's mask in the crop of landmarks, above 0 within. shape : of the picture, height and width first."""
    if found.mask is None:
        mask = np.zeros((_SIDE, _SIDE), np.float32)
        axes = (found.box[2:] - found.box[:2]) / region.size * _SIDE / 2
        middle = (_SIDE // 2, _SIDE // 2)
        cv2.ellipse(mask, (middle, (float(2 * axes[0]), float(2 * axes[1])), 0.0), (1.0,), -1)
    else:
        matrix = region.matrix
        matrix[:, :2] /= _SIDE
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mask = cv2.warpAffine(found.mask(*shape[:2]), matrix, (_SIDE, _SIDE), flags=flags)
    return np.where(np.asarray(mask) > 0.5, 1.0, -1.0).astype(np.float32)


@dataclass(frozen=True)
class _Numbered(Sighting):
    """number : which of its frame's people this is."""

    number: int = 0


class Follower:
    """Gives the people of one frame after the other to tracks.

    keep_all : no track is too short to be a person's, since the caller said where the people are.
    look_behind : follow what is behind them too.
    """

    def __init__(self, fps: float, keep_all: bool, look_behind: bool) -> None:
        self.fps, self.keep_all = fps, keep_all
        self.look_behind, self.scenery, self.cuts = look_behind, Scenery(), list[int]()
        self.longest_gap = longest_gap(fps)
        self.finished: list[Track] = []
        self.shot: list[Track] = []
        self.start = 0
        self.before: NDArray | None = None
        self.shape: tuple[int, ...] = ()

    def see(self, frame: int, pixels: NDArray[np.uint8], people: Sequence[Detection]) -> None:
        """Take up the people of the next frame."""
        small = thumbnail(pixels)
        if self.before is None or pixels.shape != self.shape or is_cut(self.before, small):
            self._end_shot(frame)
        self.before, self.shape = small, pixels.shape
        seen, sightings = [stand_in(found, pixels.shape) for found in people], []
        for number, (found, landmarks) in enumerate(zip(people, seen, strict=True)):
            near = (box_overlap(found.box, other.box) for other in people if other is not found)
            sightings.append(_sighting(landmarks, pixels, number, clear=max(near, default=0.0) < _APART))
        if self.look_behind:
            self.scenery.step(frame, pixels, [_covering(*one) for one in zip(people, seen, strict=True)])
        active = [track for track in self.shot if frame - track.last <= self.longest_gap]
        for track, sighting in assign(active, sightings, frame):
            if track is None:
                track = Track()
                self.shot.append(track)
            track.add(frame, sighting)

    @property
    def behind(self) -> Background:
        """What is behind the people, as far as it was looked at."""
        return Background(self.scenery.paths, tuple(self.cuts))

    def finish(self, count: int) -> list[dict[int, int]]:
        """The tracks of all `count` frames in the order of their beginnings: frame -> which of its people it is."""
        self.before = None
        self._end_shot(count)
        order = sorted(self.finished, key=lambda track: track.first)
        return [
            {frame: one.number for frame, one in sorted(track.sightings.items()) if isinstance(one, _Numbered)}
            for track in order
        ]

    def _end_shot(self, frame: int) -> None:
        least = 0 if self.keep_all else least_seen(self.fps, frame - self.start)
        joined = join_tracks(self.shot, self.longest_gap)
        self.finished += came_back([track for track in joined if len(track.sightings) >= least])
        self.shot, self.start = [], frame
        if self.before is not None:
            self.cuts.append(frame)
            self.scenery.cut()


def _covering(found: Detection, landmarks: PoseLandmarks) -> PoseLandmarks:
    """The same with the whole box for a mask where the finder draws none: an ellipse leaves feet and hands out."""
    if found.mask is not None:
        return landmarks
    width, height = np.rint((found.box[2:] - found.box[:2]) / landmarks.region.size * _SIDE / 2).astype(int)
    mask, middle = np.full((_SIDE, _SIDE), -1.0, np.float32), _SIDE // 2
    mask[max(0, middle - height) : middle + height, max(0, middle - width) : middle + width] = 1.0
    return replace(landmarks, mask_logits=mask)


def _sighting(landmarks: PoseLandmarks, pixels: NDArray[np.uint8], number: int, clear: bool) -> _Numbered:
    # In the box of somebody who meets another one are colours of both: they tell nothing.
    worn = colours(pixels, landmarks) if clear else None
    edge = at_edge(landmarks.points, pixels.shape[1::-1])
    # A long clip has no room for the masks, which only the colours needed.
    return _Numbered(replace(landmarks, mask_logits=np.zeros((0, 0), np.float32)), worn, clear, edge, number=number)
