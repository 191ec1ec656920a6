# SPDX-License-Identifier: GPL-3.0-or-later
"""Square, turned regions of a photo: where they lie, and their pixels at a network's input size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..errors import BadInput

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ..runtime.run import Run
    from .networks import Network

#: Crops that pass through a network at once; more gain nothing and cost memory, and on a CPU time: its cache is small.
BATCH, BATCH_CPU = 16, 4
#: Windows of fewer pixels across show a detector nothing, and a thin strip of a photo would have thousands of them.
SMALLEST_WINDOW = 48
#: The detectors' coarsest stride, and how long a view of theirs may be: longer ones are looked over in pieces.
_STRIDE, _LONGEST_VIEW = 32, 1280
#: Longest side that OpenCV's warp can address, less a margin.
_LONGEST_SIDE = 32_000


@dataclass(frozen=True)
class Region:
    """A square of a photo, turned about its centre.

    cx, cy, size : pixels (pixel centres at +0.5).
    rotation : radians, positive from x to y (clockwise as seen): the crop's "up" is the photo's (sin, -cos).
    score : of the detection that gave it, 0..1.
    """

    cx: float
    cy: float
    size: float
    rotation: float = 0.0
    score: float = 1.0

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3) float64: crop coordinates (u, v, 1), 0..1 from edge to edge, to the photo's pixels."""
        cos, sin = math.cos(self.rotation) * self.size, math.sin(self.rotation) * self.size
        return np.array([[cos, -sin, self.cx - (cos - sin) / 2], [sin, cos, self.cy - (sin + cos) / 2]])


def region_between(foot: NDArray, head: NDArray, scale: float, score: float = 1.0) -> Region:
    """The region about `foot` (2,) whose up direction points to `head` (2,); side = `scale` times their distance."""
    along = np.asarray(head, np.float64) - foot
    size = max(scale * float(np.hypot(*along)), 1.0)
    return Region(float(foot[0]), float(foot[1]), size, math.atan2(along[0], -along[1]), score)


def tile_regions(height: int, width: int, levels: Sequence[float], step: float = 0.5) -> list[Region]:
    """The whole photo, then for each level overlapping windows of so many short sides, `step` of a window apart."""
    tiles = [Region(width / 2, height / 2, float(max(height, width)))]
    for level in levels:
        size = level * min(height, width)
        if size < SMALLEST_WINDOW:
            continue
        columns, rows = (max(1, math.ceil((span - size) / (size * step) - 1e-6) + 1) for span in (width, height))
        if columns * rows == 1 and size >= tiles[0].size:
            continue
        xs = np.linspace(size / 2, width - size / 2, columns) if columns > 1 else [width / 2]
        ys = np.linspace(size / 2, height - size / 2, rows) if rows > 1 else [height / 2]
        tiles += [Region(float(x), float(y), size) for y in ys for x in xs]
    return tiles


@dataclass(frozen=True)
class View:
    """An upright rectangle of a photo at one scale, which a detector looks over in one piece.

    left, top : pixels of the photo, or outside of it.  scale : of the view's pixels, to one of the photo's.
    shape : (height, width) of the view in its own pixels, multiples of the detector's coarsest stride.
    """

    left: float
    top: float
    scale: float
    shape: tuple[int, int]

    @property
    def size(self) -> float:
        """Its width in pixels of the photo."""
        return self.shape[1] / self.scale

    @property
    def matrix(self) -> NDArray[np.float64]:
        """As `Region.matrix`."""
        return np.array([[self.size, 0.0, self.left], [0.0, self.shape[0] / self.scale, self.top]])


def views_of(height: int, width: int, levels: Sequence[float], side: int, beyond: float) -> list[View]:
    """All of the photo in `side` pixels, then so large, for each level, that windows of so many short sides are.

    The detectors are convolutions: what windows that overlap would show them again and again they see at once.
    beyond : share of a window by which a view reaches out of the photo: who is cut by its edge is not at its edge.
    """
    longest = max(height, width)
    views = [View((width - longest) / 2, (height - longest) / 2, side / longest, (side, side))]
    for level in levels:
        window = level * min(height, width)
        if window < SMALLEST_WINDOW:
            continue
        scale = side / window
        tops, rows = _pieces(height, scale, side, beyond)
        lefts, columns = _pieces(width, scale, side, beyond)
        views += [View(left, top, scale, (rows, columns)) for top in tops for left in lefts]
    return views


def _pieces(length: int, scale: float, side: int, beyond: float) -> tuple[list[float], int]:
    """Where along a photo's side its views begin, and their length in their own pixels; several overlap."""
    whole = max(side, length * scale + 2 * beyond * side)
    count = max(1, math.ceil((whole - side) / (_LONGEST_VIEW - side)))
    piece = math.ceil(((whole - side) / count + side) / _STRIDE) * _STRIDE
    starts = np.linspace(0.0, whole - piece, count) if count > 1 else np.array([(whole - piece) / 2])
    return ((starts - whole / 2) / scale + length / 2).tolist(), piece


def clip_box(box: Sequence[float], height: int, width: int, what: str) -> tuple[float, float, float, float]:
    """A given box cut to the photo. Raises `BadInput` where nothing of it is left."""
    try:
        x0, y0, x1, y1 = (float(value) for value in box)
    except (TypeError, ValueError):
        raise BadInput(
            f"The {what} box {box!r} is not four numbers.", "Give (x0, y0, x1, y1) in pixels of the photo."
        ) from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise BadInput(f"The {what} box {box!r} is not finite.", "Give (x0, y0, x1, y1) in pixels of the photo.")
    x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if x1 - x0 < 1 or y1 - y0 < 1:
        raise BadInput(
            f"The {what} box {box!r} holds no pixel of the photo, which has {width} x {height}.",
            "Give (x0, y0, x1, y1) with x0 < x1 and y0 < y1, inside the photo.",
        )
    return x0, y0, x1, y1


class Pyramid:
    """A photo and its reductions by powers of two, made when first asked for.

    Shrinking by more than two with bilinear sampling skips pixels, and blurring the whole of a large photo for each
    crop is slow: a crop is sampled from the level that is at most twice too fine.
    """

    def __init__(self, pixels: NDArray[np.uint8], batch: int = BATCH) -> None:
        """batch : crops that pass through a network at once."""
        self.height, self.width = pixels.shape[:2]
        self.batch = batch
        self._levels = {0: np.ascontiguousarray(pixels)}
        self._coarsest = max(0, int(math.log2(max(1, min(self.height, self.width)))))
        self._finest = max(0, math.ceil(math.log2(max(self.height, self.width) / _LONGEST_SIDE)))

    def level(self, number: int) -> NDArray[np.uint8]:
        """The photo reduced 2 ** number times, by area, from the nearest finer level there is."""
        if number not in self._levels:
            size = (max(1, self.width >> number), max(1, self.height >> number))
            finer = self._levels[max(n for n in self._levels if n < number)]
            self._levels[number] = np.asarray(cv2.resize(finer, size, interpolation=cv2.INTER_AREA), np.uint8)
        return self._levels[number]

    def crop(self, region: Region | View, side: int, replicate: bool = False) -> NDArray[np.uint8]:
        """Pixels (side, side, 3) uint8 of a region, or of a view in its own shape; outside of the photo black, or its
        edge repeated.

        The pose and palm detectors were trained on black borders, the landmark networks on repeated ones.
        """
        rows, columns = _shape(region, side)
        number = int(math.log2(max(region.size / columns, 1.0)))
        number = max(min(number, self._coarsest), self._finest)
        source = self.level(number)
        matrix = region.matrix
        matrix[:, :2] /= (columns, rows)
        matrix[0] *= source.shape[1] / self.width
        matrix[1] *= source.shape[0] / self.height
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from the pixel centres
        border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(source, matrix, (columns, rows), flags=flags, borderMode=border)
        return np.asarray(crop, np.uint8)

    def batches(
        self,
        regions: Sequence[Region] | Sequence[View],
        side: int,
        device: str,
        replicate: bool = False,
        mirror: Sequence[bool] = (),
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """(number of the first region, pictures (B, 3, side, side) float32 0..1 on `device`), `batch` crops at a time;
        a view comes alone, in its own shape.

        mirror : which crops are turned left to right, where any are.
        """
        import torch

        most = min(self.batch, BATCH_CPU) if device == "cpu" else self.batch
        most = 1 if any(isinstance(region, View) for region in regions) else most
        for start in range(0, len(regions), most):
            crops = [self.crop(region, side, replicate) for region in regions[start : start + most]]
            for index, turned in enumerate(mirror[start : start + most]):
                if turned:
                    crops[index] = crops[index][:, ::-1]
            pictures = torch.from_numpy(np.stack(crops)).to(device)
            yield start, pictures.permute(0, 3, 1, 2).float().div_(255.0)


def _shape(region: Region | View, side: int) -> tuple[int, int]:
    """Height and width of a region's picture in pixels."""
    return region.shape if isinstance(region, View) else (side, side)


def anchor_centres(height: int, width: int, strides: Sequence[int]) -> NDArray[np.float32]:
    """Centres (A, 2) float32, in pixels, of a single-shot detector's anchors: two a cell and layer.

    The layers of one stride lie together, cell by cell.

    Liu et al., "SSD: Single Shot MultiBox Detector", 2016, with the fixed anchor size of the Blaze detectors.
    """
    centres = []
    for stride in dict.fromkeys(strides):
        columns, rows = (np.arange(side // stride, dtype=np.float32) * stride + stride / 2 for side in (width, height))
        grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
        centres.append(np.repeat(grid, 2 * list(strides).count(stride), axis=0))
    return np.concatenate(centres)


@dataclass(frozen=True)
class Detection:
    """score 0..1.  centre (2,), size (2,), keypoints (K, 2): float64 pixels of the photo."""

    score: float
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    keypoints: NDArray[np.float64]


def run_detector(
    pyramid: Pyramid,
    regions: Sequence[Region] | Sequence[View],
    network: Network,
    strides: Sequence[int],
    threshold: float,
    run: Run,
) -> list[Detection]:
    """Everything that a Blaze detector scores above `threshold` in regions and views, best first, repeats included."""
    import torch

    found = []
    for start, pictures in pyramid.batches(regions, network.size, run.device):
        run.report(start / len(regions), "Looking for hands")
        regressors, logits = network(pictures)
        scores = torch.sigmoid(logits[..., 0].clamp(-100.0, 100.0)).cpu().numpy()
        boxes = regressors.cpu().numpy().astype(np.float64)
        rows, columns = _shape(regions[start], network.size)
        anchors = anchor_centres(rows, columns, strides)
        for number, anchor in np.argwhere(scores > threshold):
            region = regions[start + number]
            points = boxes[number, anchor].reshape(-1, 2)
            points[[0, *range(2, len(points))]] += anchors[anchor]
            places = points / (columns, rows) @ region.matrix[:, :2].T + region.matrix[:, 2]
            score = float(scores[number, anchor])
            found.append(Detection(score, places[0], points[1] * region.size / columns, places[2:]))
    return sorted(found, key=lambda detection: -detection.score)
