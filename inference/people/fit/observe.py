# SPDX-License-Identifier: GPL-3.0-or-later
"""From the pose network's landmarks to what the fit works on: camera rays, weights, standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .hands import KNUCKLES, palm_directions
from .skeleton import LANDMARKS

if TYPE_CHECKING:
    from ...camera import Camera
    from ...shipped.pose import PoseLandmarks
    from .hands import BodyHands

#: Standard deviation of a landmark in the picture, in metres at the person's distance, and across the viewing ray in
#: the world landmarks. To be added (squared) to what the augmentations spread. Measured on rendered people.
_SPREAD = {
    "face": (0.006, 0.03),
    "ears": (0.018, 0.05),
    "shoulders": (0.012, 0.03),
    "arms": (0.006, 0.04),
    "hands": (0.022, 0.06),
    "hips": (0.012, 0.02),
    "legs": (0.006, 0.04),
    "heels": (0.009, 0.055),
    "toes": (0.010, 0.05),
}
_PART = (
    dict.fromkeys((0, 2, 5), "face")
    | dict.fromkeys((7, 8), "ears")
    | dict.fromkeys((11, 12), "shoulders")
    | dict.fromkeys((13, 14, 15, 16), "arms")
    | dict.fromkeys(range(17, 23), "hands")
    | dict.fromkeys((23, 24), "hips")
    | dict.fromkeys(range(25, 29), "legs")
    | dict.fromkeys((29, 30), "heels")
    | dict.fromkeys((31, 32), "toes")
)
#: The first of these for knuckles that the hand network shows.
_HAND_SPREAD = 0.012
#: How the augmentations' spread tells the true one, in the picture and across the ray.
_JITTER, _WORLD_JITTER = 1.25, 0.65
#: Depth along the viewing ray, by part of the body: from -> to (means of landmarks). The network plays safe: it shows
#: `share` of a limb's true depth, plus `bias` m, give or take `spread` m. Measured on rendered people.
_DEPTH = (
    # from, to, share, bias, spread
    ((23, 24), (11, 12), 0.62, -0.006, 0.055),
    ((24,), (23,), 1.0, 0.0, 0.033),
    ((12,), (11,), 0.87, 0.0, 0.053),
    ((11, 12), (0,), 1.1, -0.078, 0.047),
    ((7, 8), (0,), 1.3, 0.0, 0.031),
    ((8,), (7,), 1.0, 0.0, 0.030),
    ((23,), (25,), 0.54, -0.039, 0.069),
    ((24,), (26,), 0.54, -0.039, 0.069),
    ((25,), (27,), 0.49, 0.078, 0.058),
    ((26,), (28,), 0.49, 0.078, 0.058),
    ((29,), (31,), 0.28, -0.026, 0.031),
    ((30,), (32,), 0.28, -0.026, 0.031),
    ((11,), (13,), 0.51, -0.043, 0.050),
    ((12,), (14,), 0.51, -0.043, 0.050),
    ((13,), (15,), 0.45, -0.001, 0.063),
    ((14,), (16,), 0.45, -0.001, 0.063),
    ((15,), (19,), 0.25, -0.027, 0.020),
    ((16,), (20,), 0.25, -0.027, 0.020),
)
#: Landmarks closer than this share of the short side to the picture's edge, or beyond it, are guesses.
EDGE = 0.005
INDEX = {landmark: k for k, landmark in enumerate(LANDMARKS)}
#: Of half figures, below whose hips the picture has less room than so many metres (none, enough): a leg of which
#: neither knee nor ankle is more certain than the first is invented, from the second on it is not.
_NO_ROOM, _ROOM, _LEG_UNSEEN, _LEG_SEEN = 0.6, 0.75, 0.2, 0.4
#: Who sits, each from not at all to surely: cosines of the thighs' way, as the network shows it, with plumb and with
#: the trunk's; with the trunk's front (what is drawn sideways or back is no lap); metres of the picture below the hips;
#: certainty of the better knee, in the picture or not. Of 100 rendered people, half of them cut between hips and knees,
#: the first is 0.9 to 1 where they stand and mostly 0.8 at most where they sit; a table can hide that.
_RAISED, _AHEAD, _LAP, _KNEE = (0.88, 0.75), (0.15, 0.35), (0.05, 0.15), (0.02, 0.06)
#: Cosine of the trunk's way down in the picture with the picture's: who lies is no half figure, who is upright may be.
_LYING, _UPRIGHT = 0.5, 0.75
SHOULDERS, HIPS = [INDEX[11], INDEX[12]], [INDEX[23], INDEX[24]]
LEGS = [[INDEX[k] for k in (25, 27, 29, 31)], [INDEX[k] for k in (26, 28, 30, 32)]]
#: Where the picture ends at the hips the network draws them into it, a little, and bends the trunk to match: in the
#: picture hips are so much too high, in space the upper body so much too far (metres, means over 41 rendered people).
HIPS_HIGH, UPPER_OFF = 0.04, np.array([0.0, 0.01, 0.03])


def _differences() -> np.ndarray:
    """(E, K): rows that take the landmarks' depths to those of `_DEPTH`."""
    rows = np.zeros((len(_DEPTH), len(LANDMARKS)))
    for row, (start, end, *_) in zip(rows, _DEPTH, strict=True):
        row[[INDEX[k] for k in start]] -= 1 / len(start)
        row[[INDEX[k] for k in end]] += 1 / len(end)
    return rows


DIFFERENCES = torch.from_numpy(_differences())
DEPTH_SHARE = torch.tensor([entry[2] for entry in _DEPTH], dtype=torch.float64)
_DEPTH_BIAS, _DEPTH_SPREAD = (np.array([entry[i] for entry in _DEPTH]) for i in (3, 4))


@dataclass(frozen=True)
class Observations:
    """B observations of K landmarks (in the order of `skeleton.LANDMARKS`), float64.

    points : (B, K, 2) pixels.  focal, centre : (B, 2) pixels.  world : (B, K, 3) metres from the hips, in the axes of
    the viewing ray.  ray : (B, 3, 3) rotation from these to camera axes.
    seen : (B, K) 0..1.  inside : (B, K) bool, in the picture.  legs : (B, 2) 0..1, how far the left one and the right
    one are in the picture.  half : (B,) 0..1, upright and without legs there.  sits : (B,) 0..1, upright with
    raised thighs.
    spread : (B, K) pixels.  world_spread : (B, K) metres across the ray.
    depths : (B, E) metres along the ray, one per entry of `DEPTH_SHARE`.  depth_spread : (B, E) metres.
    scale : (B,) pixels a metre at the person, as first estimated.
    palms : (B, 4, 3) unit directions, camera axes, of `hanging.PALMS`, and how sure they are, (B, 4) 0..1.
    """

    points: Tensor
    focal: Tensor
    centre: Tensor
    world: Tensor
    ray: Tensor
    seen: Tensor
    inside: Tensor
    legs: Tensor
    half: Tensor
    sits: Tensor
    spread: Tensor
    world_spread: Tensor
    depths: Tensor
    depth_spread: Tensor
    scale: Tensor
    palms: Tensor
    palms_seen: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def take(self, rows: Tensor | Sequence[int]) -> Observations:
        """Some observations, or one of them several times."""
        rows = torch.as_tensor(rows)
        return Observations(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def observe(
    landmarks: Sequence[PoseLandmarks], cameras: Sequence[Camera], hands: Sequence[BodyHands] | None = None
) -> Observations:
    """The observations of people, each in its own frame's camera.  hands : of each, where they were looked at."""
    rows = [_observe(one, camera) for one, camera in zip(landmarks, cameras, strict=True)]
    for row, own in zip(rows, hands or [{}] * len(rows), strict=True):
        row["palms"], row["palms_seen"] = palm_directions(own)
        for side, one in own.items():
            at = [INDEX[landmark] for landmark in KNUCKLES[side]]
            row["points"][at], row["seen"][at] = one.points, one.confidence[0]
            row["spread"][at] = _HAND_SPREAD * row["scale"]
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return Observations(**{name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in stacked.items()})


def _observe(one: PoseLandmarks, camera: Camera) -> dict[str, np.ndarray]:
    order = list(LANDMARKS)
    points = one.points[order].astype(np.float64)
    focal, centre = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    margin = EDGE * min(camera.width, camera.height)
    inside = ((points > margin) & (points < np.array([camera.width, camera.height]) - margin)).all(1)
    seen = (one.visibility[order] * one.presence[order] * one.agreement[order]).astype(np.float64)
    ray = viewing_ray(((one.points[33] - centre) / focal).astype(np.float64))
    world = one.world[order].astype(np.float64)
    world = world - (world[INDEX[23]] + world[INDEX[24]]) / 2
    scale = float(focal.mean() / rough_depth(points, world @ ray.T, seen * inside, focal, centre))
    trunk = points[HIPS].mean(0) - points[SHOULDERS].mean(0)
    upright = _ramp(trunk[1] / (np.linalg.norm(trunk) + 1e-9), (_LYING, _UPRIGHT))
    room = (camera.height - points[HIPS, 1].mean()) / scale
    knees = [leg[0] for leg in LEGS]
    sits = upright * (seen * inside)[HIPS].min() * _ramp(room, _LAP) * _ramp(seen[knees].max(), _KNEE)
    sits *= _thighs_raised(world @ ray.T)
    legs = _legs(seen * inside, room)
    half, legs = (1 - max(legs.max(), sits * inside[knees].max())) * upright, np.maximum(legs, sits)
    if half:
        world[[INDEX[k] for k in LANDMARKS if k < 23]] -= half * UPPER_OFF
        points[HIPS, 1] += half * HIPS_HIGH * scale
        scale = float(focal.mean() / rough_depth(points, world @ ray.T, seen * inside, focal, centre))
    spread = np.array([_SPREAD[_PART[landmark]] for landmark in order])
    jitter, world_jitter = one.sigma[order].astype(np.float64), one.world_sigma[order].astype(np.float64)
    return {
        "points": points,
        "focal": focal,
        "centre": centre,
        "world": world,
        "ray": ray,
        "seen": seen,
        "inside": inside,
        "legs": legs,
        "half": np.array(half),
        "sits": np.array(sits),
        "spread": np.hypot(spread[:, 0] * scale, _JITTER * jitter),
        "world_spread": np.hypot(spread[:, 1], _WORLD_JITTER * world_jitter),
        "depths": DIFFERENCES.numpy() @ world[:, 2] - _DEPTH_BIAS,
        "depth_spread": _DEPTH_SPREAD,
        "scale": np.array(scale),
    }


def _legs(certain: np.ndarray, room: float) -> np.ndarray:
    """`Observations.legs` of one person who stands: 1 where the picture has room for legs.

    room : metres of the picture below the hips.
    """
    best = np.array([certain[leg[:2]].max() for leg in LEGS])
    return np.maximum(_ramp(best, (_LEG_UNSEEN, _LEG_SEEN)), _ramp(room, (_NO_ROOM, _ROOM)))


def _ramp(value: Any, ends: tuple[float, float]) -> Any:
    """0 to 1 between two ends."""
    return np.clip((value - ends[0]) / (ends[1] - ends[0]), 0, 1)


def _thighs_raised(world: np.ndarray) -> float:
    """How far (0..1) the thighs (K, 3), camera axes, point neither down nor on from the trunk.

    The network knows a lap, though the knees be out of the picture; where it knows nothing it lets a leaning trunk's
    thighs go on from it, or hang.
    """
    trunk = world[HIPS].mean(0) - world[SHOULDERS].mean(0)
    thighs = np.stack([world[leg[0]] - world[hip] for hip, leg in zip(HIPS, LEGS, strict=True)])
    thighs /= np.linalg.norm(thighs, axis=1, keepdims=True) + 1e-9
    trunk /= np.linalg.norm(trunk) + 1e-9
    front = np.cross(trunk, world[HIPS[0]] - world[HIPS[1]] + world[SHOULDERS[0]] - world[SHOULDERS[1]])
    ahead = (thighs @ front).mean() / (np.linalg.norm(front) + 1e-9)
    along = np.maximum(thighs[:, 1], thighs @ trunk).mean()
    return float(_ramp(along, _RAISED) * _ramp(ahead, _AHEAD))


def viewing_ray(direction: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes the optical axis to the ray (x, y, 1) through a person's middle.

    The network sees a crop as if it lay in the middle of the picture, so its world landmarks have the ray for z.
    """
    ray = np.array([direction[0], direction[1], 1.0])
    ray /= np.linalg.norm(ray)
    axis = np.array([-ray[1], ray[0], 0.0])
    cosine = ray[2]
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def rough_depth(
    points: np.ndarray, world: np.ndarray, weights: np.ndarray, focal: np.ndarray, centre: np.ndarray
) -> float:
    """Distance (m) at which world landmarks (K, 3), camera axes, project best to points (K, 2), by least squares."""
    direction = (points - centre) / focal
    weight = np.sqrt(weights + 1e-3)[:, None]
    ones, zeros = np.ones(len(points)), np.zeros(len(points))
    rows_x = np.stack([ones, zeros, -direction[:, 0]], 1) * weight
    rows_y = np.stack([zeros, ones, -direction[:, 1]], 1) * weight
    right = (direction * world[:, 2:] - world[:, :2]) * weight
    solution = np.linalg.lstsq(np.concatenate([rows_x, rows_y]), right.T.reshape(-1), rcond=None)[0]
    return float(max(solution[2], 0.3))
