# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people are: MoveNet MultiPose, which sees all people of a picture at once, also those who hide each other.

A convolutional network on pictures of any size. For each cell of 4 x 4 pixels it says whether the middle of a person
is there, how large the person is, and where the 17 keypoints of COCO are from there.

Google, "MoveNet.MultiPose" (model card), 2021, after Zhou et al., "Objects as Points", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.run import Run
from .crops import Detection, Pyramid, Region, View, region_between, views_of
from .networks import load_network

if TYPE_CHECKING:
    from .pose import PoseLandmarks

#: Pixels of the network's picture to a cell, and across the cells within which one person has one middle.
_CELL, _PEAK = 4, 5
#: The whole photo at the network's size, then so that windows of so many short sides are, and of how much of a window
#: is looked at beyond the edges. The finest only in photos that have so many pixels across.
LEVELS, BEYOND, FINE_LEVEL, FINE_FROM = (0.75, 0.5), 0.1, 0.25, 1000
#: Keypoints: shoulders, hips; and the landmarks of BlazePose for all 17 of them.
_SHOULDERS, _HIPS = [5, 6], [11, 12]
LANDMARKS = np.array([0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
#: The landmark network's crop reaches so much farther from the hips than the farthest keypoint, and so many trunks at
#: least: keypoints end at the ankles, and at the eyes of whom the picture cuts.
_REACH, _TRUNKS = 1.15, 1.6
#: Detections are of one person if their keypoints are this near, in sides of the box (median).
_SAME = 0.12
#: Least score of a detection: a few in ten of those below 0.4 are nobody.
THRESHOLD = 0.2
#: Landmarks so far from a detection's keypoints (sides of the crop, median) are hardly of the same person.
_VOUCHED = 0.07


def detect_people(
    pyramid: Pyramid, run: Run, threshold: float = THRESHOLD, views: Sequence[View] | None = None
) -> list[Detection]:
    """The people of a photo, each once, best first; keypoints (17, 2) in pixels of the photo, those of hidden or cut
    off limbs too.

    views : what to look over; by default all of the photo at several sizes.
    """
    network = load_network("people_detection", run.device)
    if views is None:
        fine = (FINE_LEVEL,) if min(pyramid.height, pyramid.width) >= FINE_FROM else ()
        views = views_of(pyramid.height, pyramid.width, LEVELS + fine, network.size, BEYOND)
    found: list[Detection] = []
    for start, pictures in pyramid.batches(views, network.size, run.device):
        run.report(start / len(views), "Looking for people")
        maps = [value[0].cpu().numpy().astype(np.float64) for value in network(pictures.mul_(2.0).sub_(1.0))]
        found += _read(maps, views[start], threshold)
    return distinct(found)


def _read(maps: Sequence[NDArray[np.float64]], view: View, threshold: float) -> list[Detection]:
    """The people whose middles are peaks of the first map.

    maps : (h, w, C) a cell: middle (logit), height and width, offset of the box's middle, and of 17 keypoints, (y, x).
    """
    heat, extent, offset, regress = maps
    score = 1 / (1 + np.exp(-np.clip(heat[..., 0], -50, 50)))
    peak = score == cv2.dilate(score, np.ones((_PEAK, _PEAK)))
    cells = np.argwhere(peak & (score > threshold))
    rows, columns = cells.T

    def place(points: NDArray) -> NDArray[np.float64]:
        """(..., 2) cells, (y, x), to the photo's pixels, (x, y)."""
        return points[..., ::-1] * _CELL / view.scale + (view.left, view.top)

    middles = place(cells + offset[rows, columns])
    sizes = np.maximum(extent[rows, columns], 0)[:, ::-1] * _CELL / view.scale
    keypoints = place(cells[:, None] + regress[rows, columns].reshape(-1, 17, 2))
    return [
        Detection(float(score[row, column]), middle, size, points)
        for (row, column), middle, size, points in zip(cells, middles, sizes, keypoints, strict=True)
    ]


def distinct(detections: Sequence[Detection]) -> list[Detection]:
    """Of detections of one person the best; best first."""
    kept: list[Detection] = []
    for one in sorted(detections, key=lambda detection: -detection.score):
        if not any(_alike(one, other) for other in kept):
            kept.append(one)
    return kept


def _alike(one: Detection, other: Detection) -> bool:
    apart = np.median(np.linalg.norm(one.keypoints - other.keypoints, axis=1))
    return bool(apart < _SAME * max(one.size.max(), other.size.max()))


def region_of(detection: Detection) -> Region:
    """The crop that shows the landmark network the person: about the hips, the shoulders above them."""
    hips, shoulders = (detection.keypoints[pair].mean(0) for pair in (_HIPS, _SHOULDERS))
    trunk = np.linalg.norm(shoulders - hips)
    reach = max(_REACH * float(np.linalg.norm(detection.keypoints - hips, axis=1).max()), _TRUNKS * float(trunk), 1.0)
    up = (shoulders - hips) / max(float(trunk), 1e-6)
    return region_between(hips, hips + up * reach, 2.5, detection.score)


def vouched(person: PoseLandmarks, detections: Sequence[Detection]) -> float:
    """How much of the best detection's score goes to somebody, 0..1, as the landmarks seen lie on its keypoints.

    Where people touch, the landmark network may read the neighbour of whom a crop was cut for.
    """
    seen = person.visibility[LANDMARKS] > 0.5
    seen = seen if seen.sum() >= 4 else np.ones(len(LANDMARKS), bool)
    points, reach = person.points[LANDMARKS][seen], _VOUCHED * person.region.size
    apart = [float(np.median(np.linalg.norm(points - one.keypoints[seen], axis=1))) / reach for one in detections]
    return max((one.score * math.exp(-(far**2)) for one, far in zip(detections, apart, strict=True)), default=0.0)


def view_of(region: Region) -> View:
    """An upright region as the network's smallest picture."""
    side = load_network("people_detection").size
    half = region.size / 2
    return View(region.cx - half, region.cy - half, side / region.size, (side, side))
