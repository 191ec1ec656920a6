# SPDX-License-Identifier: GPL-3.0-or-later
"""Gravity and the ground, from the people who stand on it.

The camera is taken to stand still over a clip. What is solved for is the direction of up in camera axes and the
camera's height over the ground, from evidence weighed against each other: cameras are held level, more so sideways than
up and down, and at the height of a chest or an eye; people who stand or walk are upright on average; and all their feet
are on one plane, each person's distance being uncertain by a few percent (the stature is guessed), the same percent in
all frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera, level_world
from ...results import Body, People, Person
from ..fit.legs import descendants, find_legs, leg_joints, sole_points
from .motion import Motion, Spell, joint_transforms, rest_joints, skin_points

#: Height of a camera (m) that sees nobody.
EYE_HEIGHT = 1.6
#: Standard deviations in radians: the camera's pitch and roll, and how far a standing person leans.
PITCH, ROLL, LEAN = np.radians(12.0), np.radians(3.0), np.radians(5.0)
#: How far the way up may be off (radians) where straight edges tell it.
TOLD = np.radians(1.0)
#: Mean and standard deviation (m) of the height that people hold cameras at.
HELD, HELD_SPREAD = 1.5, 0.4
#: Pitches (radians) to start from: a camera that looks far down is another minimum.
STARTS = (0.0, np.radians(20.0), np.radians(45.0))
#: Feet of no more weight than this are not seen: they count where there are no others.
UNSEEN = 0.1
#: From which weight on feet tell whether somebody stands on a ground that is known.
SUPPORTS = 0.3
#: Standard deviation of a person's scale (distance and stature together), and of a foot's height in one frame (m).
SCALE, FOOT = 0.05, 0.05
#: The same of a foot that nobody sees: whose legs are hidden or cut off may sit. In 150 drawn groups of 2 to 6 half
#: figures up is 4.0 degrees off where half of them sit (6.5 with `FOOT`), 3.8 where all stand (3.6).
GUESSED_FOOT = 0.15
#: How much likelier (log) the others' ground must be without somebody for him to stand on a stage or a wall;
#: of two grounds that is more likely on which nearer people stand (a times e as near: by so much).
ELSEWHERE, NEARER = 3.0, 4.0
#: Whose body would have to be larger or smaller by this share (log) to stand on the others' ground stands elsewhere.
APART = 0.2
#: Weight of trunks that are seen to stand; a lean (radians) of which a world's up is said to be off.
UPRIGHT, LEANING = 0.3, np.radians(20.0)
#: Snapping to the ground changes a person's stature by this share at most.
MOST_SCALING = 0.08
#: What is lower than both soles by so much (m) carries the body.
LOWER = 0.06
#: Joints at the lower and upper end of the trunk, by body model.
TRUNK = (("root", "neck01"), ("pelvis", "neck"), ("root", "c_neck"))


@dataclass(frozen=True)
class Ground:
    """up : (3,) unit vector in camera axes.  height : the camera's height over the ground in metres."""

    up: NDArray
    height: float

    def heights(self, points: NDArray) -> NDArray:
        """Heights (...) in metres over the ground of points (..., 3) in camera axes."""
        return points @ self.up + self.height

    def changed(self, height: float, pitch: float, roll: float, about: NDArray) -> Ground:
        """The ground `height` metres higher, rising by `pitch` away from the camera and by `roll` to its right
        (radians), turned about the point of it below (or above) `about` (3,)."""
        right, forward, _ = level_world(self.up, self.height)[:3, :3]
        up = self.up - np.tan(pitch) * forward - np.tan(roll) * right
        up /= np.linalg.norm(up)
        return Ground(up, float(-(about + (height - self.heights(about)) * self.up) @ up))


@dataclass(frozen=True)
class Evidence:
    """What one person tells about the ground, in camera axes and metres.

    supports : (T, 3) the point that carries the body.     support_weights : (T,) 0..1.
    upright : (T, 3) unit vectors from the feet to the neck.  upright_weights : (T,) 0..1, 0 for one who does not stand.
    eyes : (T, 3) where the camera is.
    """

    supports: NDArray
    support_weights: NDArray
    upright: NDArray
    upright_weights: NDArray
    eyes: NDArray


def level_ground() -> Ground:
    """The ground under a level camera at `EYE_HEIGHT`."""
    return Ground(np.array([0.0, -1.0, 0.0]), EYE_HEIGHT)


def fit_ground(evidence: Sequence[Evidence], up: Sequence[float] | None = None) -> Ground:
    """The most likely ground under these people; under a level camera where there are none.

    up : in camera axes, where the picture's straight edges tell it.
    Where nobody's feet are seen, people are taken to stand on the feet they are given. Who can hardly stand where the
    others do is left out: he may be on a stage or a wall, or a figurine. In that those whose feet nobody sees have a
    say too: the only feet in a picture may be those of a poster behind the people.
    """
    standing = list(evidence)
    cost = weighed_ground(standing, up, all_count=True)[1]
    while len(standing) > 1 and cost > ELSEWHERE:
        tries = []
        for left in _who_may_stand_elsewhere(standing):
            others = [one for number, one in enumerate(standing) if number not in left]
            floor, doubts = weighed_ground(others, up, all_count=True)
            gone = [standing[number] for number in left]
            told = [one for one in gone if one.support_weights.max() > SUPPORTS]
            if cost - doubts > ELSEWHERE and told and all(standing_apart(one, floor) for one in told):
                tries.append((doubts - NEARER * math.log(min(map(_distance, gone))), doubts, others))
        if not tries:
            break
        _, cost, standing = min(tries, key=lambda one: one[0])
    return weighed_ground(standing, up)[0]


def _who_may_stand_elsewhere(standing: Sequence[Evidence]) -> list[tuple[int, ...]]:
    """Each one whose feet are seen, and all who are farthest away together: the figurines of a shelf, on one floor of
    their own, may be more than the people before it, of whom two at least are to be left."""
    order = sorted(range(len(standing)), key=lambda number: -_distance(standing[number]))
    alone = [(number,) for number in order if standing[number].support_weights.max() > UNSEEN]
    return [*alone, *(tuple(order[:count]) for count in range(2, len(order) - 1))]


def _distance(one: Evidence) -> float:
    return float(np.median(np.linalg.norm(one.supports - one.eyes, axis=1)))


def weighed_ground(
    evidence: Sequence[Evidence], up: Sequence[float] | None = None, all_count: bool = False
) -> tuple[Ground, float]:
    """The ground of all of them, and how unlikely it is: half the sum of squared standard deviations.

    all_count : feet that nobody sees count, a little, beside those that are seen.
    """
    from scipy.optimize import least_squares

    if not evidence:
        return level_ground() if up is None else Ground(np.array(up), EYE_HEIGHT), 0.0
    seen = [one for one in evidence if one.support_weights.max() > UNSEEN]
    if all_count or not seen:
        seen = [one if one.support_weights.max() > UNSEEN else _guessed(one) for one in evidence]
    evidence, tries = seen, []
    tilt = (0.0, 0.0, PITCH, ROLL) if up is None else (math.asin(-up[2]), math.atan2(up[0], -up[1]), TOLD, TOLD)
    misfit = _Misfit(evidence, tilt)
    for pitch in STARTS if up is None else tilt[:1]:
        height = float(np.median(np.concatenate([-one.supports @ _up(pitch, 0.0) for one in evidence])))
        unknowns = np.concatenate([[pitch, tilt[1], height], np.zeros(len(evidence))])
        tries.append(least_squares(misfit, unknowns))
    best = min(tries, key=lambda one: one.cost)
    pitch, roll, height = best.x[:3]
    return Ground(_up(pitch, roll), float(height)), float(best.cost)


def _trusted(evidence: Evidence) -> Evidence:
    """The same, of one who is taken to stand on the feet that are given where they are not seen."""
    seen = evidence.support_weights.max() > UNSEEN
    return evidence if seen else replace(evidence, support_weights=np.ones(len(evidence.supports)))


def _guessed(evidence: Evidence) -> Evidence:
    """The same, of one whose feet nobody sees: he may sit, in all frames, and the ground lie higher than they hang."""
    count = len(evidence.supports)
    return replace(evidence, support_weights=np.full(count, (FOOT / GUESSED_FOOT) ** 2 / count))


def _up(pitch: float, roll: float) -> NDArray:
    """Up in the axes of a camera that looks down by `pitch` and is turned clockwise by `roll` (radians)."""
    return np.array([np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)])


class _Misfit:
    """How badly people stand on a ground: residuals in standard deviations, robust, for pitch, roll, camera height and
    one log scale a person.

    tilt : the pitch and roll that are expected, and by how much they may differ.
    """

    def __init__(self, evidence: Sequence[Evidence], tilt: Sequence[float]) -> None:
        self.tilt, self.may_differ = np.array(tilt[:2]), np.array(tilt[2:])
        self.who = np.repeat(np.arange(len(evidence)), [len(one.supports) for one in evidence])
        self.eyes = np.concatenate([one.eyes for one in evidence])
        self.reach = np.concatenate([one.supports for one in evidence]) - self.eyes
        # Neighbouring frames err alike: a person counts like a few frames at most, however long the clip.
        self.shares = np.concatenate(
            [np.sqrt(one.support_weights / max(one.support_weights.sum() / 4, 1)) for one in evidence]
        )
        upright = [one for one in evidence if one.upright_weights.sum() > 1e-3]
        means = np.array([one.upright_weights @ one.upright for one in upright]).reshape(-1, 3)
        self.upright = means / np.linalg.norm(means, axis=1, keepdims=True)
        self.upright_shares = np.sqrt([min(one.upright_weights.max(), 1.0) for one in upright])

    def __call__(self, unknowns: NDArray) -> NDArray:
        up, height, scales = _up(unknowns[0], unknowns[1]), unknowns[2], unknowns[3:]
        held = (height - HELD) / HELD_SPREAD
        reach = np.exp(scales)[self.who, None] * self.reach + self.eyes
        lean = (self.upright - up) / LEAN
        length = np.linalg.norm(lean, axis=1)
        leaning = (self.upright_shares * _soft(length) / np.maximum(length, 1e-9))[:, None] * lean
        return np.concatenate(
            [
                _soft((unknowns[:2] - self.tilt) / self.may_differ),
                # A camera on a balcony is no wonder: beyond a few deviations its height is no argument any more
                # (Cauchy).
                [np.sign(held) * np.sqrt(np.log1p(held**2))],
                scales / SCALE,
                self.shares * _soft((height + reach @ up) / FOOT),
                leaning.ravel(),
            ]
        )


def _soft(residuals: NDArray) -> NDArray:
    """Residuals whose squares grow linearly beyond one (pseudo-Huber)."""
    return np.sign(residuals) * np.sqrt(2 * (np.sqrt(1 + residuals**2) - 1))


def gather_evidence(people: People) -> list[Evidence]:
    """The evidence of each track of a result, from its vertices and joints."""
    return [_of_track(people.body, [person for _, person in track]) for track in people.tracks().values()]


def joined(parts: Sequence[Evidence]) -> Evidence:
    """The evidence of one person over several times."""
    return Evidence(*(np.concatenate(one) for one in zip(*map(astuple, parts), strict=True)))


def gather_motion_evidence(body: Body, motion: Motion, up: NDArray | None = None) -> Evidence:
    """The evidence of one motion, from its joints and what of it is lowest. up : where it is known already."""
    rotations, positions = joint_transforms(body, motion)
    upright, upright_weights = posture(body, positions, motion.confidence)
    eyes = np.broadcast_to(motion.eyes, positions[:, 0].shape)
    legs = find_legs(body, motion.shape)
    if not legs:
        return Evidence(positions[:, 0], np.zeros(len(motion)), upright, upright_weights, eyes)
    up = level_ground().up if up is None else up
    every, own = np.arange(len(motion)), carriers(body, motion.shape, rotations, positions)
    lowest = lowest_carrier(own.points @ up, own.soles)
    return Evidence(
        own.points[every, lowest], motion.confidence[every, own.joints[lowest]], upright, upright_weights, eyes
    )


@dataclass(frozen=True)
class Carriers:
    """What may carry a body: points (T, P, 3), the first `soles` of them the feet's; joints (P,) that show them."""

    points: NDArray
    joints: NDArray
    soles: int


def carriers(body: Body, shape: NDArray, rotations: NDArray, positions: NDArray) -> Carriers:
    """The middle of each sole, and points all over the skin above the ankles."""
    legs = find_legs(body, shape)
    soles = np.stack([sole_points(leg, rotations, positions).mean(axis=1) for leg in legs], axis=1)
    points, owners = skin_points(body, shape, rotations, positions)
    feet = np.concatenate([descendants(body.parents, leg.ankle) for leg in legs])
    others = ~np.isin(owners, feet)
    joints = np.concatenate([[leg.ankle for leg in legs], owners[others]])
    return Carriers(np.concatenate([soles, points[:, others]], axis=1), joints, len(legs))


def lowest_carrier(heights: NDArray, soles: int) -> NDArray:
    """Which (T,) carries a body: the lower sole, or what of the rest is clearly lower, as of who lies or kneels.

    heights : (T, P), the soles' first.
    """
    sole, other = heights[:, :soles].argmin(axis=1), soles + heights[:, soles:].argmin(axis=1)
    lower = heights.min(axis=1) < heights[:, :soles].min(axis=1) - LOWER
    return np.where(lower, other, sole)


def _of_track(body: Body, persons: Sequence[Person]) -> Evidence:
    supports, weights = zip(*(_support(body, person) for person in persons), strict=True)
    joints = np.stack([person.joints for person in persons]).astype(np.float64)
    confidence = np.stack([person.confidence for person in persons]).astype(np.float64)
    upright, upright_weights = posture(body, joints, confidence)
    return Evidence(np.stack(supports), np.array(weights), upright, upright_weights, np.zeros((len(persons), 3)))


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
    legs = leg_joints(body)
    if trunk is None or not legs:
        return np.tile(level_ground().up, (len(joints), 1)), np.zeros(len(joints))
    hip, neck = (index[name] for name in trunk)
    feet = [ankle for _, _, ankle in legs]
    base = joints[:, feet].mean(axis=1)
    whole, lower, spine = joints[:, neck] - base, joints[:, hip] - base, joints[:, neck] - joints[:, hip]
    in_line = (_cosine(lower, spine) - np.cos(np.radians(40))) / (1 - np.cos(np.radians(40)))
    # One who sits before the camera has trunk and lower legs upright too: a standing leg is stretched.
    stretched = (np.max([_stretch(joints, *leg) for leg in legs], axis=0) - 0.8) / 0.15
    seen = confidence[:, [*feet, hip, neck]].mean(axis=1)
    weights = seen * np.clip(in_line, 0, 1) * np.clip(stretched, 0, 1)
    return whole / np.linalg.norm(whole, axis=1, keepdims=True), weights


def _stretch(joints: NDArray, hip: int, knee: int, ankle: int) -> NDArray:
    """How far (T,) from hip to ankle, as a share of the leg's length: 1 for a straight leg."""
    thigh, shank = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
    length = np.linalg.norm(thigh, axis=1) + np.linalg.norm(shank, axis=1)
    return np.linalg.norm(thigh + shank, axis=1) / length


def _cosine(first: NDArray, second: NDArray) -> NDArray:
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return (first * second).sum(-1) / np.maximum(lengths, 1e-9)


def world_from_ground(ground: Ground, origin: NDArray | None = None) -> NDArray[np.float64]:
    """The rigid transform (4, 4) from camera axes to a world in metres with z up and the ground at z = 0.

    The camera looks along +y, so that x is to its right. origin : (3,) the point, in camera axes, above or below which
    the world's origin lies; None for the camera itself.
    """
    world = level_world(ground.up, ground.height)
    if origin is not None:
        world[:2, 3] = -(world[:2, :3] @ origin)
    return world


def world_from_camera(people: People) -> NDArray[np.float64]:
    """The rigid transform (4, 4) from camera axes to the world these people stand in: metres, z up, ground at z = 0.

    People of a clip know theirs; else it is found from what the photo shows. The first person of the first frame stands
    over the origin, the camera looks along +y (x is to its right). Without people: a level camera at `EYE_HEIGHT` over
    the origin.
    """
    if people.world is not None:
        return people.world
    ground = fit_ground(gather_evidence(people), people.camera.up)
    return _over_first(ground, people.frames, None)


def world_of(
    ground: Ground | None, frames: Sequence[Sequence[Person]], travel: NDArray | None = None
) -> NDArray[np.float64] | None:
    """The world over a ground that is known, as `world_from_camera` lays it; None where it is not. travel : see
    `results.People`."""
    return None if ground is None else _over_first(ground, frames, travel)


def _over_first(ground: Ground, frames: Sequence[Sequence[Person]], travel: NDArray | None) -> NDArray[np.float64]:
    frame = next((frame for frame, persons in enumerate(frames) if persons), None)
    if frame is None:
        return world_from_ground(ground)
    root = frames[frame][0].joints[0].astype(np.float64)
    return world_from_ground(ground, root if travel is None else travel[frame, :3, :3] @ root + travel[frame, :3, 3])


def snap_feet(people: People, world: NDArray) -> People:
    """People whose feet stand on the ground of `world` (z = 0), the same in the picture.

    Each track is scaled about the camera's centre by one factor, body and distance alike: nothing moves in the
    picture, and a person too near becomes a taller one farther away. The stature changes by `MOST_SCALING` at most;
    the body grows through its shape coefficients, so that the result stays one of the body model.
    """
    ground = Ground(world[2, :3], float(world[2, 3]))
    factors = {
        track_id: _snap_factor(_trusted(_of_track(people.body, [person for _, person in track])), ground)
        for track_id, track in people.tracks().items()
    }
    frames = tuple(
        tuple(scaled_person(people.body, person, factors[person.track_id]) for person in persons)
        for persons in people.frames
    )
    return replace(people, frames=frames)


class Together(NamedTuple):
    """The people of one photo on one ground; how high (m) over it those stand who cannot stand there, and by how much
    (radians) the others lean on it."""

    persons: tuple[Person, ...]
    apart: tuple[float, ...]
    lean: float


def stand_together(body: Body, persons: Sequence[Person], camera: Camera) -> Together:
    """The people of one photo on one ground. What several tell about it corrects each one's guessed stature and
    distance; one alone has nobody to learn from and stays, as does who stands elsewhere."""
    alone = People((tuple(persons),), body, camera, (camera,))
    if len(persons) < 2 or len({person.track_id for person in persons}) < len(persons):
        return Together(alone.frames[0], (), 0.0)
    evidence = gather_evidence(alone)
    ground = fit_ground(evidence, camera.up)
    apart = [standing_apart(one, ground) for one in evidence]
    snapped = snap_feet(alone, world_from_ground(ground)).frames[0]
    kept = tuple(one if off else moved for one, moved, off in zip(persons, snapped, apart, strict=True))
    upright = [one for one, off in zip(evidence, apart, strict=True) if not off and one.upright_weights.max() > UPRIGHT]
    # Of one alone it may be the pose.
    leaning = lean(upright, ground) if len(upright) > 1 else 0.0
    return Together(kept, tuple(off for off in apart if off), leaning)


def lean(evidence: Sequence[Evidence], ground: Ground) -> float:
    """Angle (radians) between the ground's up and that of the people who stand; 0 where nobody does."""
    up = sum(
        (one.upright_weights @ one.upright for one in evidence if one.upright_weights.max() > UPRIGHT), np.zeros(3)
    )
    length = float(np.linalg.norm(up))
    return float(np.arccos(np.clip(up @ ground.up / length, -1, 1))) if length > 0 else 0.0


def said_apart(heights: Sequence[float], floor: str) -> tuple[str, ...]:
    """What is to be told of people who stand so many metres over a floor that others stand on, or below it."""
    heights = [height for height in heights if abs(height) >= 0.05]
    who = "One person stands" if len(heights) == 1 else f"{len(heights)} people stand"
    told = " and ".join(f"{abs(one):.1f} m {'above' if one > 0 else 'below'}" for one in heights)
    return (f"{who} {told} the floor {floor}",) if heights else ()


def snap_spells(body: Body, spells: Sequence[Spell], ground: Ground, apart: Mapping[int, float]) -> list[Spell]:
    """Motions on one ground, as `snap_feet` does it for people: one factor for all of a person's. The tracks that stand
    apart stay as they are."""
    evidence = [gather_motion_evidence(body, spell.motion, ground.up) for spell in spells]
    factors = dict.fromkeys(apart, 1.0)
    for track in {spell.track for spell in spells} - set(apart):
        own = [one for one, spell in zip(evidence, spells, strict=True) if spell.track == track]
        factors[track] = _snap_factor(joined(own), ground)
    snapped = []
    for spell in spells:
        motion = spell.motion
        shape, translation = _scaled_place(body, motion.shape, motion.translation, factors[spell.track], motion.eyes)
        snapped.append(replace(spell, motion=replace(motion, shape=shape, translation=translation)))
    return snapped


def scaled_person(body: Body, person: Person, factor: float) -> Person:
    """A person scaled about the camera's centre."""
    from ...geometry.skinning import pose_body

    if abs(factor - 1) < 1e-3:
        return person
    shape, translation = _scaled_place(body, person.shape, person.translation, factor)
    shape, translation = shape.astype(np.float32), translation.astype(np.float32)
    vertices, joints = pose_body(body, shape, person.rotations, translation)
    return replace(person, shape=shape, translation=translation, vertices=vertices, joints=joints)


def _scaled_place(
    body: Body, shape: NDArray, translation: NDArray, factor: float, eye: NDArray | float = 0.0
) -> tuple[NDArray, NDArray]:
    """Shape and translation (..., 3) of a body scaled about the camera's centre; its root lands exactly."""
    scaled = scaled_shape(body, shape, factor)
    root = rest_joints(body, shape)[0] + translation
    return scaled, factor * (root - eye) + eye - rest_joints(body, scaled)[0]


def _snap_factor(evidence: Evidence, ground: Ground) -> float:
    """The scaling about the camera that brings a person's support points to the ground, in the median."""
    heights = ground.heights(evidence.eyes)
    depths = heights - ground.heights(evidence.supports)
    usable = (evidence.support_weights > SUPPORTS) & (depths > 0.3) & (heights > 0.3)
    if not usable.any():
        return 1.0
    return float(np.clip(np.median(heights[usable] / depths[usable]), 1 - MOST_SCALING, 1 + MOST_SCALING))


def standing_apart(evidence: Evidence, ground: Ground, least: float = APART) -> float:
    """How high (m) over the ground somebody stands who can hardly stand on it; 0 where he can. least : see `APART`."""
    usable = evidence.support_weights > SUPPORTS
    if not usable.any():
        return 0.0
    eyes, soles = ground.heights(evidence.eyes)[usable], ground.heights(evidence.supports)[usable]
    fits = np.median(eyes / np.maximum(eyes - soles, 1e-3))
    return float(np.median(soles)) if eyes.min() > 0.3 and abs(np.log(fits)) > least else 0.0


def scaled_shape(body: Body, shape: NDArray, factor: float) -> NDArray[np.float32]:
    """The shape coefficients of the body that is `factor` times as large, as well as the model can say it."""
    size = len(body.shape_blend_shapes)
    basis = body.shape_blend_shapes.reshape(size, -1).astype(np.float64)
    rest = body.vertices.reshape(-1).astype(np.float64) + shape @ basis
    change, *_ = np.linalg.lstsq(basis @ basis.T, basis @ ((factor - 1) * rest), rcond=None)
    return (shape + change).astype(np.float32)
