# SPDX-License-Identifier: GPL-3.0-or-later
"""The lens and the way up from straight lines: what is parallel in the world meets in one point of the picture.

Vanishing points of directions at right angles to each other tell the focal length, and so how the camera was turned
(Caprile and Torre 1990). The middle of the picture is taken for the middle of the lens. Lines are given by hand, a
group for each direction, or found: then three directions are sought that hold most of their length (RANSAC over
pairs of pairs), and there is no answer unless many lines agree and the lens follows from them sharply.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ..camera import Camera
from ..errors import BadInput, NothingFound

#: Long side at which lines are sought, the shortest line as a share of it, and how many of the longest are looked at.
_SIDE, _SHORTEST, _MOST = 1024, 0.03, 250
#: Radians between a line and the way to its vanishing point, up to which it counts.
_TOLERANCE = math.radians(1.5)
#: Focal lengths in long sides of the picture that are believed: 14 to 150 mm on full frame.
_FOCAL = 0.39, 4.2
#: Hypotheses drawn; lines of each direction, and share of all lines' length, that must agree.
_DRAWS, _LEAST_LINES, _LEAST_SHARE = 3000, 6, 0.6
#: Standard deviations that are accepted of the log of the focal length, and of the way up in radians.
_SHARP_FOCAL, _SHARP_UP = 0.03, math.radians(0.7)
#: Degrees between a vertical of the world and the picture's own, beyond which no line is taken for a vertical.
_UPRIGHT = 50.0
#: Photos whose lens is remembered.
_REMEMBERED = 64
#: Pixels at `_SIDE` by which the ends of a line drawn by hand are taken to miss.
_DRAWN = 1.5
_REMEDY = "Draw two or three pairs of lines that are parallel in the world, or give the focal length."


@dataclass(frozen=True)
class Directions:
    """camera : the lens, with the way up where one of the directions is upright.
    axes : (3, 3) float64, columns x, y, z of the scene in camera axes: unit vectors at right angles.
    groups : of each line given or found, (N,) the direction that it belongs to, -1 for none.  lines : (N, 4) pixels.
    focal_error, up_error : one standard deviation, of the focal length as a share and of the way up in radians.
    """

    camera: Camera
    axes: NDArray[np.float64]
    lines: NDArray[np.float64]
    groups: NDArray[np.int64]
    focal_error: float
    up_error: float


def from_drawn(groups: Mapping[str, Sequence[Sequence[float]]], width: int, height: int) -> Directions:
    """The lens by lines that an artist drew.

    groups : "x", "y" and "z" (upright) -> lines (u0, v0, u1, v1) in pixels, two or more; two groups are enough. Each
    group's lines are parallel in the world, and the groups at right angles to each other. Raises `BadInput` for lines
    of which no lens follows.
    """
    unknown = set(groups) - set("xyz")
    if unknown:
        raise BadInput(f"There is no direction {min(unknown)!r}.", "Name the groups of lines x, y and z (upright).")
    given = {"xyz".index(name): np.asarray(lines, np.float64).reshape(-1, 4) for name, lines in groups.items() if lines}
    if len(given) < 2 or any(len(lines) < 2 for lines in given.values()):
        raise BadInput("The lens needs two lines or more in each of two directions.", _REMEDY)
    lines = np.concatenate(list(given.values()))
    belongs = np.repeat(list(given), [len(some) for some in given.values()])
    if not np.isfinite(lines).all() or (np.hypot(*(lines[:, 2:] - lines[:, :2]).T) < 2).any():
        raise BadInput("One of the lines has no length.", "Draw it anew, from one end of an edge to the other.")
    scaled = _normal_lines(lines, width, height)
    points = {axis: _meeting(scaled[belongs == axis]) for axis in given}
    focal = _focal_of(list(points.values()))
    if focal is None:
        raise BadInput("No lens follows from these lines: in the picture they are as good as parallel.", _REMEDY)
    axes = _axes_of(points, focal)
    found = _refined(lines, belongs, axes, focal, width, height, _DRAWN, robust=False)
    if not found.focal_error < 0.5 or not _FOCAL[0] / 2 < found.camera.fx / max(width, height) < _FOCAL[1] * 3:
        raise BadInput("No lens follows from these lines: in the picture they are as good as parallel.", _REMEDY)
    return found


def found(pixels: NDArray[np.uint8]) -> Directions:
    """The lens by the straight edges of a photo (H, W, 3) uint8. Raises `NothingFound` where they are not clear."""
    height, width = pixels.shape[:2]
    lines = straight_edges(pixels)
    if len(lines) < 3 * _LEAST_LINES:
        raise NothingFound("The photo has too few straight edges to tell its lens.", _REMEDY)
    guess = _searched(_normal_lines(lines, width, height))
    if guess is None:
        raise NothingFound("The straight edges of the photo do not agree on a lens.", _REMEDY)
    axes, focal = guess
    best: Directions | None = None
    for _ in range(3):
        groups = _grouped(_normal_lines(lines, width, height), axes, focal)
        if len(np.unique(groups[groups >= 0])) < 2:
            break
        best = _refined(lines, groups, axes, focal, width, height, 1.0, robust=True)
        axes, focal = best.axes, best.camera.fx / (max(width, height) / 2)
    if best is None or not _is_clear(best):
        raise NothingFound("The straight edges of the photo do not agree on a lens.", _REMEDY)
    return _with_upright_last(best)


_known: dict[str, Camera | None] = {}


def lens_of(pixels: NDArray[np.uint8], digest: str) -> Camera | None:
    """The camera by the straight edges of a photo, None where they are not clear; remembered for the latest photos.

    digest : what the pixels are known by.
    """
    if digest in _known:
        return _known[digest]
    try:
        camera = found(pixels).camera
    except NothingFound:
        camera = None
    _known[digest] = camera
    while len(_known) > _REMEMBERED:
        _known.pop(next(iter(_known)), None)
    return camera


def straight_edges(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The longest straight edges (N, 4) of a photo: ends (u0, v0, u1, v1) in its pixels, longest first."""
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if min(grey.shape) < 32:
        return np.zeros((0, 4))
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    if found is None:
        return np.zeros((0, 4))
    lines = (found.reshape(-1, 4).astype(np.float64) + 0.5) / scale
    lengths = np.hypot(*(lines[:, 2:] - lines[:, :2]).T)
    order = np.argsort(-lengths, kind="stable")[:_MOST]
    return lines[order[lengths[order] > _SHORTEST * max(pixels.shape[:2])]]


def _normal_lines(lines: NDArray, width: int, height: int) -> NDArray[np.float64]:
    """Ends (N, 2, 2) from the picture's middle, in half long sides."""
    middle = np.array([width / 2, height / 2])
    return (lines.reshape(-1, 2, 2) - middle) / (max(width, height) / 2)


def _through(ends: NDArray) -> NDArray[np.float64]:
    """The lines (N, 3) through ends (N, 2, 2), of unit normal."""
    ones = np.ones((*ends.shape[:2], 1))
    points = np.concatenate([ends, ones], -1)
    lines = np.cross(points[:, 0], points[:, 1])
    return lines / np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12)[:, None]


def _meeting(ends: NDArray) -> NDArray[np.float64]:
    """The point (3,), homogeneous, where the lines meet in the least-squares sense; longer lines count more."""
    lines = _through(ends) * np.hypot(*(ends[:, 1] - ends[:, 0]).T)[:, None]
    return np.linalg.svd(lines)[2][-1]


def _focal_of(points: Sequence[NDArray]) -> float | None:
    """Focal length that puts homogeneous vanishing points at right angles, in half long sides; None where none does."""
    pairs = [(a, b) for number, a in enumerate(points) for b in points[number + 1 :]]
    flat = np.array([a[:2] @ b[:2] for a, b in pairs], np.float64)
    deep = np.array([a[2] * b[2] for a, b in pairs], np.float64)
    squared = -float(flat @ deep) / max(float(deep @ deep), 1e-12)
    return math.sqrt(squared) if squared > 1e-4 else None


def _axes_of(points: Mapping[int, NDArray], focal: float) -> NDArray[np.float64]:
    """Unit vectors at right angles (3, 3), as columns, nearest to the directions of the vanishing points."""
    axes = np.zeros((3, 3))
    for axis, point in points.items():
        axes[:, axis] = np.array([point[0] / focal, point[1] / focal, point[2]])
        axes[:, axis] /= np.linalg.norm(axes[:, axis])
    missing = [axis for axis in range(3) if axis not in points]
    if missing:
        axis = missing[0]
        axes[:, axis] = np.cross(axes[:, (axis + 1) % 3], axes[:, (axis + 2) % 3])
    u, _, v = np.linalg.svd(axes)
    return np.asarray(u @ v, np.float64)


def _turned_away(ends: NDArray, points: NDArray) -> NDArray[np.float64]:
    """Radians (..., K, N) between each line and the way from its middle to each homogeneous point (..., K, 3)."""
    middle = ends.mean(1)
    along = ends[:, 1] - ends[:, 0]
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    way = points[..., None, :2] - points[..., None, 2:] * middle
    way = way / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-12)
    return np.arcsin(np.clip(np.abs(way[..., 0] * along[:, 1] - way[..., 1] * along[:, 0]), 0, 1))


def _projected(axes: NDArray, focal: NDArray | float) -> NDArray[np.float64]:
    """The homogeneous vanishing points (..., 3, 3), one a row, of directions that are columns (..., 3, 3)."""
    points: NDArray[np.float64] = np.swapaxes(axes, -1, -2).copy()
    points[..., :2] *= np.asarray(focal)[..., None, None]
    return points


def _searched(ends: NDArray) -> tuple[NDArray, float] | None:
    """The directions (3, 3) and the focal length, in half long sides, that hold most of the lines' length."""
    random = np.random.default_rng(0)
    lines, lengths = _through(ends), np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    chosen = random.choice(len(lines), (_DRAWS, 4), p=lengths / lengths.sum())
    first = np.cross(lines[chosen[:, 0]], lines[chosen[:, 1]])
    second = np.cross(lines[chosen[:, 2]], lines[chosen[:, 3]])
    flat, deep = (first[:, :2] * second[:, :2]).sum(1), first[:, 2] * second[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        focal = np.sqrt(np.where(deep != 0, -flat / deep, np.nan))
    usable = (focal > 2 * _FOCAL[0]) & (focal < 2 * _FOCAL[1])
    if not usable.any():
        return None
    first, second, focal = first[usable], second[usable], focal[usable]
    rays = [np.concatenate([one[:, :2] / focal[:, None], one[:, 2:]], 1) for one in (first, second)]
    x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in rays)
    axes = np.stack([x, y, np.cross(x, y)], -1)
    away = _turned_away(ends, _projected(axes, focal)).min(1)
    score = (np.maximum(0, 1 - (away / _TOLERANCE) ** 2) * lengths).sum(1)
    best = int(score.argmax())
    return axes[best], float(focal[best])


def _grouped(ends: NDArray, axes: NDArray, focal: float) -> NDArray[np.int64]:
    """The direction (N,) of each line, -1 for none."""
    away = _turned_away(ends, _projected(axes, focal))
    return np.where(away.min(0) < _TOLERANCE, away.argmin(0), -1)


def _refined(
    lines: NDArray,
    groups: NDArray,
    axes: NDArray,
    focal: float,
    width: int,
    height: int,
    pixels: float,
    *,
    robust: bool,
) -> Directions:
    """The lens and directions that the lines' ends miss least, and how sharply they are known.

    pixels : at `_SIDE`, by which ends are taken to miss at least.
    """
    half = max(width, height) / 2
    ends = _normal_lines(lines, width, height)
    used = groups >= 0
    middle, reach, belongs = ends[used].mean(1), (ends[used][:, 1] - ends[used][:, 0]) / 2, groups[used]
    noise = pixels / (_SIDE / 2)

    def misses(unknowns: NDArray) -> NDArray:
        """How far the ends lie beside the way from the line's middle to its vanishing point, in deviations."""
        points = _projected(axes @ cv2.Rodrigues(unknowns[1:])[0], np.exp(unknowns[0]))[belongs]
        way = points[:, :2] - points[:, 2:] * middle
        way = way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
        return (way[:, 0] * reach[:, 1] - way[:, 1] * reach[:, 0]) / noise

    start = np.array([math.log(focal), 0.0, 0.0, 0.0])
    solved = least_squares(misses, start, loss="soft_l1" if robust else "linear", method="trf")
    spread = max(1.0, float(np.sqrt(2 * solved.cost / max(len(belongs) - 4, 1))))
    certain = np.linalg.pinv(solved.jac.T @ solved.jac + 1e-9 * np.eye(4)) * spread**2
    turned = axes @ cv2.Rodrigues(solved.x[1:])[0]
    pixels_long = math.exp(min(solved.x[0], 20)) * half
    camera = Camera(pixels_long, pixels_long, width / 2, height / 2, width, height, "lines")
    up_error = math.sqrt(float(np.trace(certain[1:, 1:])) * 2 / 3)
    found = Directions(camera, turned, lines, groups, math.sqrt(float(certain[0, 0])), up_error)
    return replace(found, camera=replace(camera, up=_up(turned[:, 2]))) if not robust else found


def _up(direction: NDArray) -> tuple[float, float, float]:
    """The way up along an upright direction: towards the picture's top."""
    x, y, z = (-direction if direction[1] > 0 else direction).tolist()
    return x, y, z


def _is_clear(found: Directions) -> bool:
    """Whether many lines agree, in each of three directions, and the lens follows from them sharply."""
    lengths = np.hypot(*(found.lines[:, 2:] - found.lines[:, :2]).T)
    counts = np.bincount(found.groups[found.groups >= 0], minlength=3)  # two: a wall or a page, whichever way it lies
    share = lengths[found.groups >= 0].sum() / lengths.sum()
    long_side = max(found.camera.width, found.camera.height)
    return bool(
        counts.min() >= _LEAST_LINES
        and share >= _LEAST_SHARE
        and _FOCAL[0] < found.camera.fx / long_side < _FOCAL[1]
        and found.focal_error < _SHARP_FOCAL
        and found.up_error < _SHARP_UP
    )


def _with_upright_last(found: Directions) -> Directions:
    """The directions with the upright one as z, which tells the way up; without one, as they are."""
    steep = np.abs(found.axes[1])
    upright = int(steep.argmax())
    if steep[upright] < math.cos(math.radians(_UPRIGHT)):
        return found
    order = [(upright + 1) % 3, (upright + 2) % 3, upright]
    places: Any = np.argsort(order)
    groups = np.where(found.groups >= 0, places[found.groups], -1)
    camera = replace(found.camera, up=_up(found.axes[:, upright]))
    return replace(found, camera=camera, axes=found.axes[:, order], groups=groups)
