# SPDX-License-Identifier: GPL-3.0-or-later
"""Gravity and the ground, from the people who stand on it.

The camera is taken to stand still over a clip. What is solved for is the direction of up in camera axes and the
camera's height over the ground, from three pieces of evidence weighed against each other: cameras are held level, more
so sideways than up and down; people who stand or walk are upright on average; and all their feet are on one plane,
each person's distance being uncertain by a few percent (the stature is guessed), the same percent in all frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..results import Body, People, Person
from .legs import find_legs, sole_points
from .motion import Motion, joint_transforms

#: Height of a camera (m) that sees nobody.
EYE_HEIGHT = 1.6
#: Standard deviations in radians: the camera's pitch and roll, and how far a standing person leans.
PITCH, ROLL, LEAN = np.radians(12.0), np.radians(3.0), np.radians(6.0)
#: Standard deviation of a person's scale (distance and stature together), and of one frame's besides.
SCALE, FRAME_SCALE = 0.05, 0.05
#: Standard deviation (m) of the height of a support point, whatever the distance.
SUPPORT = 0.03
#: Snapping to the ground changes a person's stature by this share at most.
MOST_SCALING = 0.08
#: Joints at the lower and upper end of the trunk and the legs, by body model.
TRUNK = (("root", "neck01"), ("pelvis", "neck"))
ANKLES = (("foot.L", "foot.R"), ("left_ankle", "right_ankle"))


@dataclass(frozen=True)
class Ground:
    """up : (3,) unit vector in camera axes.  height : the camera's height over the ground in metres."""

    up: NDArray
    height: float

    def heights(self, points: NDArray) -> NDArray:
        """Heights (...) in metres over the ground of points (..., 3) in camera axes."""
        return points @ self.up + self.height


@dataclass(frozen=True)
class Evidence:
    """What one person tells about the ground, in camera axes and metres.

    supports : (T, 3) the point that carries the body.     support_weights : (T,) 0..1.
    upright : (T, 3) unit vectors from the feet to the neck.  upright_weights : (T,) 0..1, 0 for one who does not stand.
    """

    supports: NDArray
    support_weights: NDArray
    upright: NDArray
    upright_weights: NDArray


def level_ground() -> Ground:
    """The ground under a level camera at `EYE_HEIGHT`."""
    return Ground(np.array([0.0, -1.0, 0.0]), EYE_HEIGHT)


def fit_ground(evidence: Sequence[Evidence]) -> Ground:
    """The most likely ground under these people; under a level camera where there are none.

    Where nobody's feet are seen, the camera is taken to be level, and people to stand on the feet they are given.
    """
    from scipy.optimize import least_squares

    level = level_ground()
    if not evidence:
        return level
    if all(one.support_weights.sum() <= 1e-3 for one in evidence):
        return Ground(level.up, float(np.median(np.concatenate([-one.supports @ level.up for one in evidence]))))
    evidence = [one for one in evidence if one.support_weights.sum() > 1e-3]
    start = float(np.median(np.concatenate([-one.supports @ level.up for one in evidence])))
    unknowns = np.zeros(3 + len(evidence))
    unknowns[2] = start
    solved = least_squares(_residuals, unknowns, args=(evidence, abs(start)), loss="soft_l1").x
    return Ground(_up(solved[0], solved[1]), float(solved[2]))


def _up(pitch: float, roll: float) -> NDArray:
    """Up in the axes of a camera that looks down by `pitch` and is turned clockwise by `roll` (radians)."""
    return np.array([np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)])


def _residuals(unknowns: NDArray, evidence: Sequence[Evidence], scale: float) -> NDArray:
    """Residuals in standard deviations, for unknowns pitch, roll, camera height and one log scale a person."""
    up, height, scales = _up(unknowns[0], unknowns[1]), unknowns[2], unknowns[3:]
    residuals = [np.array([unknowns[0] / PITCH, unknowns[1] / ROLL]), scales / SCALE]
    spread = np.hypot(FRAME_SCALE * scale, SUPPORT)
    for one, log_scale in zip(evidence, scales, strict=True):
        # Neighbouring frames err alike: a person counts like a few frames at most, however long the clip.
        share = np.sqrt(one.support_weights / max(one.support_weights.sum() / 4, 1))
        residuals.append(share * (height + np.exp(log_scale) * (one.supports @ up)) / spread)
        if one.upright_weights.sum() > 1e-3:
            mean = one.upright_weights @ one.upright
            share = np.sqrt(min(one.upright_weights.max(), 1.0))
            residuals.append(share * np.cross(mean / np.linalg.norm(mean), up) / LEAN)
    return np.concatenate(residuals)


def gather_evidence(people: People) -> list[Evidence]:
    """The evidence of each track of a result, from its vertices and joints."""
    return [_of_track(people.body, [person for _, person in track]) for track in people.tracks().values()]


def gather_motion_evidence(body: Body, motion: Motion) -> Evidence:
    """The evidence of one motion, from its joints and the soles of its feet."""
    turned, placed = joint_transforms(body, motion)
    upright, upright_weights = posture(body, placed, motion.confidence)
    soles = [sole_points(leg, turned, placed).mean(axis=1) for leg in find_legs(body, motion.shape)]
    if not soles:
        return Evidence(placed[:, 0], np.zeros(len(motion)), upright, upright_weights)
    feet = np.stack(soles, axis=1)
    lower = feet[..., 1].argmax(axis=1)
    ankles = np.array([leg.ankle for leg in find_legs(body, motion.shape)])
    seen = motion.confidence[np.arange(len(motion)), ankles[lower]]
    return Evidence(feet[np.arange(len(motion)), lower], seen, upright, upright_weights)


def _of_track(body: Body, persons: Sequence[Person]) -> Evidence:
    supports, weights = zip(*(_support(body, person) for person in persons), strict=True)
    joints = np.stack([person.joints for person in persons]).astype(np.float64)
    confidence = np.stack([person.confidence for person in persons]).astype(np.float64)
    upright, upright_weights = posture(body, joints, confidence)
    return Evidence(np.stack(supports), np.array(weights), upright, upright_weights)


def _support(body: Body, person: Person) -> tuple[NDArray, float]:
    """The lowest part of a body (3,), seen from a level camera, and how well its joints are seen."""
    vertices = np.asarray(person.vertices, np.float64)
    lowest = np.argpartition(vertices[:, 1], -40)[-40:]
    owners = body.skin_weights[lowest].sum(axis=0)
    return vertices[lowest].mean(axis=0), float(owners @ person.confidence / owners.sum())


def posture(body: Body, joints: NDArray, confidence: NDArray) -> tuple[NDArray, NDArray]:
    """Directions (T, 3) from feet to neck, and how far (T,) 0..1 they tell up: legs and trunk in one line, and seen."""
    index = {name: number for number, name in enumerate(body.joint_names)}
    trunk = next((names for names in TRUNK if all(name in index for name in names)), None)
    ankles = next((names for names in ANKLES if all(name in index for name in names)), None)
    if trunk is None or ankles is None:
        return np.tile(level_ground().up, (len(joints), 1)), np.zeros(len(joints))
    hip, neck = (index[name] for name in trunk)
    feet = [index[name] for name in ankles]
    base = joints[:, feet].mean(axis=1)
    whole, legs, spine = joints[:, neck] - base, joints[:, hip] - base, joints[:, neck] - joints[:, hip]
    straight = _cosine(legs, spine)
    seen = confidence[:, [*feet, hip, neck]].mean(axis=1)
    weights = seen * np.clip((straight - np.cos(np.radians(40))) / (1 - np.cos(np.radians(40))), 0, 1)
    return whole / np.linalg.norm(whole, axis=1, keepdims=True), weights


def _cosine(first: NDArray, second: NDArray) -> NDArray:
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return (first * second).sum(-1) / np.maximum(lengths, 1e-9)


def world_from_ground(ground: Ground, origin: NDArray | None = None) -> NDArray[np.float64]:
    """The rigid transform (4, 4) from camera axes to a world in metres with z up and the ground at z = 0.

    The camera looks along +y, so that x is to its right. origin : (3,) the point, in camera axes, above or below which
    the world's origin lies; None for the camera itself.
    """
    forward = np.array([0.0, 0.0, 1.0]) - ground.up[2] * ground.up
    if np.linalg.norm(forward) < 1e-3:  # looking straight down: the picture's top is ahead
        forward = np.array([0.0, -1.0, 0.0]) + ground.up[1] * ground.up
    forward /= np.linalg.norm(forward)
    world = np.eye(4)
    world[:3, :3] = np.stack([np.cross(forward, ground.up), forward, ground.up])
    world[2, 3] = ground.height
    if origin is not None:
        world[:2, 3] = -(world[:2, :3] @ origin)
    return world


def world_from_camera(people: People) -> NDArray[np.float64]:
    """The rigid transform (4, 4) from camera axes to the world these people stand in: metres, z up, ground at z = 0.

    The first person of the first frame stands over the origin, the camera looks along +y (x is to its right). Without
    people: a level camera at `EYE_HEIGHT` over the origin. The camera is taken to stand still over a clip.
    """
    ground = fit_ground(gather_evidence(people))
    first = next((persons[0] for persons in people.frames if persons), None)
    return world_from_ground(ground, None if first is None else np.asarray(first.joints[0], np.float64))


def snap_feet(people: People, world: NDArray) -> People:
    """People whose feet stand on the ground of `world` (z = 0), the same in the picture.

    Each track is scaled about the camera's centre by one factor, body and distance alike: nothing moves in the
    picture, and a person too near becomes a taller one farther away. The stature changes by `MOST_SCALING` at most;
    the body grows through its shape coefficients, so that the result stays one of the body model.
    """
    from ..mesh.skinning import pose_body

    up, height = world[2, :3], world[2, 3]
    ground = Ground(up, height)
    changed: dict[int, dict[int, Person]] = {}
    for track_id, track in people.tracks().items():
        factor = _snap_factor(_of_track(people.body, [person for _, person in track]), ground)
        if abs(factor - 1) < 1e-3:
            continue
        shape = scaled_shape(people.body, track[0][1].shape, factor)
        for index, person in track:
            translation = (factor * person.translation).astype(np.float32)
            vertices, joints = pose_body(people.body, shape, person.rotations, translation)
            changed.setdefault(index, {})[track_id] = replace(
                person, shape=shape, translation=translation, vertices=vertices, joints=joints
            )
    frames = tuple(
        tuple(changed.get(index, {}).get(person.track_id, person) for person in persons)
        for index, persons in enumerate(people.frames)
    )
    return replace(people, frames=frames)


def _snap_factor(evidence: Evidence, ground: Ground) -> float:
    """The scaling about the camera that brings a person's support points to the ground, in the median."""
    depths = -np.asarray(evidence.supports @ ground.up)
    usable = (evidence.support_weights > 0.3) & (depths > 0.3)
    if not usable.any() or ground.height < 0.3:
        return 1.0
    return float(np.clip(np.median(ground.height / depths[usable]), 1 - MOST_SCALING, 1 + MOST_SCALING))


def scaled_shape(body: Body, shape: NDArray, factor: float) -> NDArray[np.float32]:
    """The shape coefficients of the body that is `factor` times as large, as well as the model can say it."""
    size = len(body.shape_blend_shapes)
    basis = body.shape_blend_shapes.reshape(size, -1).astype(np.float64)
    rest = body.vertices.reshape(-1).astype(np.float64) + shape @ basis
    change, *_ = np.linalg.lstsq(basis @ basis.T, basis @ ((factor - 1) * rest), rcond=None)
    return (shape + change).astype(np.float32)
