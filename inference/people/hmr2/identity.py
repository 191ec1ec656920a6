# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who over the frames of a clip, where all that is known of people are boxes, masks and what they wear.

The tracks and their assignment are those of `clip.track`; `clip.follow` gives them landmarks. Here the landmarks are
those of somebody who stands upright and fills the box: places, sizes and colours are compared, poses are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...shipped.crops import Region
from ...shipped.pose import PoseLandmarks
from ..boxes import box_overlap
from ..clip.appearance import colours
from ..clip.identify import came_back, join_tracks, least_seen, longest_gap, shots
from ..clip.pieces import Piece
from ..clip.track import LOGIT, Sighting, Track, assign, at_edge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...runtime.run import Run
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


class Boxes:
    """The people of one shot while it is being read, each frame for itself: a track for each. See `pieces.Shot`.

    Who is who `who_is_who` decides, when all frames are known.
    """

    def __init__(self, start: int) -> None:
        self.start, self.tracks = start, list[Track]()

    def step(self, frame: int, pixels: NDArray[np.uint8], _run: Run, told: Sequence[Detection]) -> list[PoseLandmarks]:
        """Take up the people of the next frame."""
        seen = [stand_in(found, pixels.shape) for found in told]
        for found, landmarks in zip(told, seen, strict=True):
            # In the box of somebody who meets another one are colours of both: they tell nothing.
            near = (box_overlap(found.box, other.box) for other in told if other is not found)
            clear = max(near, default=0.0) < _APART
            worn = colours(pixels, landmarks) if clear else None
            edge = at_edge(landmarks.points, pixels.shape[1::-1])
            bold = replace(landmarks, mask_logits=LOGIT * landmarks.mask_logits)
            self.tracks.append(Track({frame: Sighting(bold, worn, clear, edge).packed(keep=True)}))
        return [_covering(*one) for one in zip(told, seen, strict=True)]


def who_is_who(pieces: Sequence[Piece], fps: float, keep_all: bool) -> list[Track]:
    """The people of a clip of `Boxes`, as `identify` gives those who are followed by their landmarks.

    keep_all : no track is too short to be a person's, since the caller said where the people are.
    """
    here: dict[int, list[Sighting]] = {}
    for piece in pieces:
        for track in piece.tracks:
            for frame, one in track.sightings.items():
                if frame >= piece.start:
                    here.setdefault(frame, []).append(one)
    people, longest = list[Track](), longest_gap(fps)
    for start, stop in shots(pieces):
        tracks: list[Track] = []
        for frame in range(start, stop):
            active = [track for track in tracks if frame - track.last <= longest]
            for known, sighting in assign(active, here.get(frame, ()), frame):
                track = known or Track()
                if known is None:
                    tracks.append(track)
                track.add(frame, sighting)
        least = 0 if keep_all else least_seen(fps, stop - start)
        people += came_back([track for track in join_tracks(tracks, longest) if len(track.sightings) >= least])
    return sorted(people, key=lambda track: track.first)


def _covering(found: Detection, landmarks: PoseLandmarks) -> PoseLandmarks:
    """The same with the whole box for a mask where the finder draws none: an ellipse leaves feet and hands out."""
    if found.mask is not None:
        return landmarks
    width, height = np.rint((found.box[2:] - found.box[:2]) / landmarks.region.size * _SIDE / 2).astype(int)
    mask, middle = np.full((_SIDE, _SIDE), -1.0, np.float32), _SIDE // 2
    mask[max(0, middle - height) : middle + height, max(0, middle - width) : middle + width] = 1.0
    return replace(landmarks, mask_logits=mask)
