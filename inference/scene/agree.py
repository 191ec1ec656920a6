# SPDX-License-Identifier: GPL-3.0-or-later
"""One measure for what a depth model and fitted bodies say, each by how sure it is.

Bodies know a person's size from what people are like; a depth model knows the scene from what scenes are like. Where
a body stands in the scene the two say how far it is, and where the floor is under it. The scene is scaled, and each
person about the camera (nothing moves in the picture), until both say the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..geometry.normals_from_depth import normals_from_depth
from ..geometry.rasteriser import rasterise
from ..people.clip.ground import (
    EYE_HEIGHT,
    SCALE,
    Evidence,
    Ground,
    fit_ground,
    gather_evidence,
    scaled_person,
    world_from_camera,
    world_from_ground,
)
from ..results import DepthMap, People

#: How far off a depth model's scale may be (log, one standard deviation); a person's is `SCALE`.
DEPTH = 0.1
#: Least pixels of a body that must be seen in the depth, and the most a person is scaled by (log).
_LEAST_SEEN, _MOST = 40, 0.25
#: Radians between a floor's normals and the way up, share of its distance by which a floor's points may lie off it,
#: least share of the picture that it fills, and metres under the camera at which there may be one.
_FLAT, _OFF, _LEAST_FLOOR, _BELOW = math.radians(25.0), 0.02, 0.02, (0.2, 50.0)
#: Long side at which the floor is looked for.
_SMALL = 160
#: Confidence from which on feet are seen.
_SEEN = 0.3
#: Log by which a person's own distance and the floor's may differ for the person to stand on it.
_STANDS = 0.12


@dataclass(frozen=True)
class Agreed:
    """people : scaled.  depth_scale : what metres of the depth are to be multiplied by.  person_scales : of each."""

    people: People
    depth_scale: float
    person_scales: tuple[float, ...]
    world_from_camera: NDArray[np.float64]
    notes: tuple[str, ...]


def agreed(people: People, depth: DepthMap | None) -> Agreed:
    """The people and the scene in one measure, and the world that they stand in."""
    persons = people.frames[0]
    if depth is None:
        up = np.asarray(people.camera.up) if people.camera.up is not None else _up_of(people)
        return Agreed(people, 1.0, (1.0,) * len(persons), _world(people, None, up, 1.0), ())
    up = np.asarray(depth.camera.up) if depth.camera.up is not None else _up_of(people)
    hidden = np.zeros(depth.valid.shape, bool)
    bodies = [rasterise(person.vertices, people.body.faces, depth.camera)[0] for person in persons]
    for person, body in zip(persons, bodies, strict=True):
        hidden |= (body > 0) if person.mask is None else person.mask > 0.5
    floor = _floor(depth, up, ~hidden)
    ratios = [_farther(body, bodies, depth) for body in bodies]
    evidence = gather_evidence(people)
    feet = [None if floor is None else _farther_floor(one, floor) for one in evidence]
    logs = [_mean(seen, stands) for seen, stands in zip(ratios, feet, strict=True)]
    known = [one for one in logs if one is not None]
    middle = float(np.median(known)) if known else 0.0
    doubt = SCALE**2 / max(len(known), 1)
    scale = math.exp(-middle * DEPTH**2 / (DEPTH**2 + doubt)) if known else 1.0
    scales = tuple(_scale(scale, log, stands, middle) for log, stands in zip(logs, feet, strict=True))
    moved = tuple(scaled_person(people.body, person, own) for person, own in zip(persons, scales, strict=True))
    people = replace(people, frames=(moved, *people.frames[1:]))
    return Agreed(people, scale, scales, _world(people, floor, up, scale), _notes(scale, scales, floor))


def _mean(*logs: float | None) -> float | None:
    known = [log for log in logs if log is not None]
    return float(np.mean(known)) if known else None


def _scale(scale: float, log: float | None, stands: float | None, middle: float) -> float:
    """What one person is scaled by: onto the floor where the scene agrees that the feet are there."""
    own = middle if log is None else log
    if stands is not None and abs(stands - own) < _STANDS:
        own = stands
    return math.exp(min(max(math.log(scale) + own, -_MOST), _MOST))


def _up_of(people: People) -> NDArray[np.float64]:
    return fit_ground(gather_evidence(people)).up


def _farther(body: NDArray[np.float32], bodies: Sequence[NDArray[np.float32]], depth: DepthMap) -> float | None:
    """Log of how much farther the scene says a body is, where it is not hidden by another."""
    seen = (body > 0) & depth.valid
    for other in bodies:
        seen &= (other <= 0) | (other >= body)
    if seen.sum() < _LEAST_SEEN:
        return None
    return float(np.median(np.log(depth.depth[seen] / body[seen])))


def _farther_floor(evidence: Evidence, floor: Ground) -> float | None:
    """Log of how much farther the feet would be on the floor; None where the photo does not show the feet."""
    below = -float(evidence.supports[0] @ floor.up)
    return math.log(floor.height / below) if evidence.support_weights[0] > _SEEN and below > _BELOW[0] else None


def _floor(depth: DepthMap, up: NDArray, free: NDArray[np.bool_]) -> Ground | None:
    """The largest level plane under the camera, in the depth's own metres; None where there is none."""
    camera, small, usable = _averaged(depth, free)
    normals, sharp = normals_from_depth(small, usable, camera)
    level = usable & sharp & (normals @ up.astype(np.float32) > math.cos(_FLAT))
    points = camera.unproject(small)[level].astype(np.float64)
    least = _LEAST_FLOOR * usable.size
    height = _commonest_height(points, up, least)
    away = np.linalg.norm(points, axis=1)
    for _ in range(6):
        if height is None:
            return None
        on = np.abs(-points @ up - height) < np.maximum(_OFF * away, 0.03)
        if on.sum() < least:
            return None
        weights = away[on, None] ** -2  # what is far is known less well, and may lie behind a kerb
        middle = (weights * points[on]).sum(0) / weights.sum()
        normal = np.linalg.svd(np.sqrt(weights) * (points[on] - middle), full_matrices=False)[2][-1]
        normal = normal if normal @ up > 0 else -normal
        if normal @ up < math.cos(_FLAT):
            return None
        up, height = normal, float(-middle @ normal)
    return Ground(up, height) if height is not None and height > _BELOW[0] else None


def _averaged(depth: DepthMap, free: NDArray[np.bool_]) -> tuple[Camera, NDArray[np.float32], NDArray[np.bool_]]:
    """The depth made small, its noise averaged (as inverse depth, in which planes are linear): camera, depth, and what
    of it is known and free."""
    height, width = depth.valid.shape
    scale = min(1.0, _SMALL / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    known = depth.valid & free & (depth.depth > 0)
    inverse = np.divide(1, depth.depth, out=np.zeros_like(depth.depth), where=known)
    inverse, share = (
        cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (inverse, known.astype(np.float32))
    )
    usable = (share > 0.9) & (inverse > 0)
    small = np.divide(share, inverse, out=np.zeros_like(inverse), where=usable)
    return depth.camera.resized(*size), small, usable


def _commonest_height(points: NDArray[np.float64], up: NDArray, least: float) -> float | None:
    """How far under the camera most of the points (N, 3) lie; None where there are fewer than `least`."""
    below = -points @ up
    heights = below[(below > _BELOW[0]) & (below < _BELOW[1])]
    if len(heights) < max(least, 1):
        return None
    counts, edges = np.histogram(np.log(heights), bins=200)
    most = int(np.convolve(counts, np.ones(5), "same").argmax())
    return math.exp(float(edges[most] + edges[most + 1]) / 2)


def _world(people: People, floor: Ground | None, up: NDArray, scale: float) -> NDArray[np.float64]:
    """The world: on the scene's floor, else on the people's ground, else under a camera at eye height."""
    persons = people.frames[0]
    if floor is None:
        return world_from_camera(people) if persons else world_from_ground(Ground(up, EYE_HEIGHT))
    origin = np.asarray(persons[0].joints[0], np.float64) if persons else None
    return world_from_ground(Ground(floor.up, floor.height * scale), origin)


def _notes(scale: float, scales: Sequence[float], floor: Ground | None) -> tuple[str, ...]:
    told = []
    if abs(scale - 1) > 0.005 or any(abs(one - 1) > 0.005 for one in scales):
        each = ", ".join(f"{one:.3g}" for one in scales)
        told.append(f"To agree, the scene was scaled by {scale:.3g} and the people by {each}")
    if floor is None:
        told.append("No floor was seen in the depth")
    return tuple(told)
