# SPDX-License-Identifier: GPL-3.0-or-later
"""People found by a YOLO detector of the user's: boxes as ultralytics' own prediction gives them, and soft masks.

The package ultralytics builds and runs the network, from a file that is read as numbers: see `network`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from ....runtime.memory import keep
from ....runtime.passes import by_shape
from ..find import Detection, Finder, Thresholds
from .network import Detector, load_detector
from .package import ultralytics

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ....photo import Photo
    from ....runtime.run import Run
    from .network import Prediction

#: Long side of the picture that the network sees, its grey border, and how many people it may find at most.
SIDE, _GREY, _MOST = 640, 114, 300


def yolo_finder(path: Path, run: Run, thresholds: Thresholds) -> Finder:
    """A finder with this detector. Raises `BadModelFile`."""
    detector = _detector(path, run)

    def find(photos: Sequence[Photo], part: Run) -> list[list[Detection]]:
        """Photos of one size pass through the network together."""
        found: dict[int, list[Detection]] = {}
        for alike in by_shape([photo.pixels for photo in photos]):
            part.report(len(found) / len(photos), "Looking for people")
            pictures = [photos[index].pixels for index in alike]
            found |= zip(alike, _find(pictures, detector, part, thresholds), strict=True)
        return [found[index] for index in range(len(photos))]

    return find


def _detector(path: Path, run: Run) -> Detector:
    stat = path.stat()
    state: Hashable = (path, stat.st_mtime_ns, stat.st_size)
    return keep(("yolo", state, run.device), lambda: load_detector(path, run.torch_device))


@dataclass(frozen=True)
class Letterbox:
    """A photo of width x height laid into the network's picture: scaled, then moved by `left` and `top` pixels."""

    width: int
    height: int
    scaled_width: int
    scaled_height: int
    left: int
    top: int
    full_width: int
    full_height: int

    @classmethod
    def of(cls, width: int, height: int, stride: int) -> Letterbox:
        """The photo's long side becomes `SIDE`; sides are rounded up to the stride with as much grey on both ends."""
        ratio = min(SIDE / height, SIDE / width)
        scaled_width, scaled_height = max(round(width * ratio), 1), max(round(height * ratio), 1)
        aside, above = ((SIDE - side) % stride / 2 for side in (scaled_width, scaled_height))
        left, top = round(aside - 0.1), round(above - 0.1)
        right, bottom = round(aside + 0.1), round(above + 0.1)
        full_width, full_height = left + scaled_width + right, top + scaled_height + bottom
        return cls(width, height, scaled_width, scaled_height, left, top, full_width, full_height)

    def fill(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The network's picture (h, w, 3) of a photo's pixels."""
        picture = np.full((self.full_height, self.full_width, 3), _GREY, np.uint8)
        if (self.width, self.height) != (self.scaled_width, self.scaled_height):
            size = (self.scaled_width, self.scaled_height)
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        rows, columns = slice(self.top, self.top + self.scaled_height), slice(self.left, self.left + self.scaled_width)
        picture[rows, columns] = pixels
        return picture

    def boxes(self, boxes: NDArray) -> NDArray[np.float32]:
        """Boxes (N, 4) of the network's picture in pixels of the photo, cut to it."""
        gain = np.array([self.scaled_width / self.width, self.scaled_height / self.height] * 2)
        moved = (boxes - np.array([self.left, self.top] * 2)) / gain
        return moved.clip(0, [self.width, self.height] * 2).astype(np.float32)


def _find(
    pictures: Sequence[NDArray[np.uint8]], detector: Detector, run: Run, thresholds: Thresholds
) -> list[list[Detection]]:
    height, width = pictures[0].shape[:2]
    letterbox = Letterbox.of(width, height, detector.stride)
    filled = torch.from_numpy(np.stack([letterbox.fill(pixels) for pixels in pictures])).to(run.torch_device)
    with torch.inference_mode():
        predicted = detector(filled.permute(0, 3, 1, 2).float().div_(255))
        return people(predicted, detector.person, detector.classes, letterbox, thresholds)


def people(
    predicted: Prediction, person: int, classes: int, letterbox: Letterbox, thresholds: Thresholds
) -> list[list[Detection]]:
    """The people of each picture, the surest first. person : the number of their class among `classes`."""
    confidence, overlap = thresholds.confidence, thresholds.overlap
    kept = ultralytics("utils.nms").non_max_suppression(
        predicted.rows, confidence, overlap, [person], max_det=_MOST, nc=classes, max_time_img=math.inf
    )
    prototypes = predicted.prototypes if predicted.prototypes is not None else [None] * len(kept)
    return [_detections(rows, own, letterbox) for rows, own in zip(kept, prototypes, strict=True)]


def _detections(rows: Tensor, prototypes: Tensor | None, letterbox: Letterbox) -> list[Detection]:
    """rows (N, 6 + M): corners in the network's picture, score, class, and coefficients of the prototypes (M, h, w)."""
    found = []
    in_photo = letterbox.boxes(rows[:, :4].numpy())
    for row, box in zip(rows, in_photo, strict=True):
        if box[2] - box[0] < 1 or box[3] - box[1] < 1:
            continue
        mask = None
        if prototypes is not None:
            levels = torch.einsum("m,mhw->hw", row[6:], prototypes)
            mask = partial(draw_mask, _cut(levels.numpy(), row[:4].numpy(), letterbox), box)
        found.append(Detection(box, float(row[4]), mask))
    return found


@dataclass(frozen=True)
class _Levels:
    """Logits (h, w) float16 of a mask, and the affine map (2, 3) from the photo's pixel centres to theirs."""

    values: NDArray[np.float16]
    matrix: NDArray[np.float64]


def _cut(levels: NDArray[np.float32], box: NDArray[np.float32], letterbox: Letterbox) -> _Levels:
    """The part of a mask (of the network's picture) around a box in that picture."""
    height, width = levels.shape
    shrink = np.array([width / letterbox.full_width, height / letterbox.full_height])
    low = np.floor(box[:2] * shrink).astype(int) - 2
    high = np.ceil(box[2:] * shrink).astype(int) + 3
    low, high = low.clip(0, [width - 1, height - 1]), high.clip(1, [width, height])
    gain = shrink * (letterbox.scaled_width / letterbox.width, letterbox.scaled_height / letterbox.height)
    offset = shrink * (letterbox.left, letterbox.top) + 0.5 * gain - 0.5 - low
    matrix = np.array([[gain[0], 0, offset[0]], [0, gain[1], offset[1]]])
    part = levels[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    return _Levels(part.clip(-20, 20).astype(np.float16), matrix)


def draw_mask(levels: _Levels, box: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The mask (H, W) float32 0..1 in the photo, nothing outside of the box."""
    mask = np.zeros((height, width), np.float32)
    x0, y0 = np.floor(box[:2]).astype(int)
    x1, y1 = np.ceil(box[2:]).astype(int)
    matrix = levels.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ (x0, y0)
    size = (int(x1 - x0), int(y1 - y0))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(
        levels.values.astype(np.float32), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    mask[y0:y1, x0:x1] = 1 / (1 + np.exp(-values))
    return mask
