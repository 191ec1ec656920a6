# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted feet: found by their speed and height, then kept where they stand.

A foot that stands still tells more about the true path of a body than its distance does, which a single camera hardly
sees. So the path of the root is solved for together with the places where feet stand (one linear least-squares
problem), and only what is left of the slide is taken out by bending the legs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from ...geometry import planted
from ...geometry import rotations as quaternion
from ...results import Body
from ..fit.legs import Leg, find_legs, reach, sole_points
from .ground import LOWER, Ground, carriers
from .motion import Motion, joint_transforms
from .smooth import ORDER, penalty, whittaker

#: How much of the speed along the viewing ray counts: distance is what one camera sees worst.
ALONG_RAY = 0.3
#: Standard deviations of the path across and along the viewing ray, as shares of the distance; of a planted point, and
#: of its height over the ground (m).
ACROSS, ALONG, PLANTED, LEVEL = 0.0025, 0.014, 0.006, 0.001
#: A point that stands so much (m) above or below the ground stands on something else.
STEP = 0.4
#: Contacts are found again in the motion that the first ones have steadied.
ROUNDS = 3
#: A foot turns by this (radians) at most to come to where it is held.
MOST_ROLL = 1.0
#: Half-power frequency (Hz) of the root's path.
ROOT_CUTOFF = 2.0


@dataclass(frozen=True)
class Contact:
    """A sole point that stands still: leg and point (0 heel, 1 ball) over the frames start..stop - 1."""

    leg: int
    point: int
    start: int
    stop: int


def plant_feet(body: Body, motion: Motion, ground: Ground, strength: float = 1.0) -> Motion:
    """The motion without sliding feet: root path from the planted feet, legs bent to keep them in place.

    strength : 0 leaves the motion as it is; between 0 and 1 the feet are held less and less exactly.
    Raises nothing: a body without known legs, or a motion without contact, comes back as it is.
    """
    legs = find_legs(body, motion.shape)
    if strength <= 0 or len(motion) <= ORDER or not legs:
        return motion
    held = motion
    for last in (*[False] * (ROUNDS - 1), True):
        contacts = find_contacts(body, held, ground, legs)
        if not contacts:
            return motion
        path, anchors = solve_path(body, motion, ground, legs, contacts)
        moved = replace(motion, translation=motion.translation + strength * (path - motion.translation))
        held = lock_legs(body, moved, legs, contacts, anchors, ground.up, strength)
        if last:
            sunk = _sunk(body, held, ground, legs, contacts, anchors)
            held = lock_legs(body, sunk, legs, contacts, anchors, ground.up, strength)
    return held


def _sunk(
    body: Body, motion: Motion, ground: Ground, legs: tuple[Leg, ...], contacts: list[Contact], anchors: NDArray
) -> Motion:
    """The motion brought lower where a leg is too short for its place (K, 3)."""
    rotations, positions = joint_transforms(body, motion)
    soles = [ground.heights(sole_points(leg, rotations, positions)) for leg in legs]
    above, held = np.zeros(len(motion)), np.zeros(len(motion))
    for one, place in zip(contacts, ground.heights(anchors), strict=True):
        span = slice(one.start, one.stop)
        above[span] = np.maximum(above[span], soles[one.leg][span, one.point] - place)
        held[span] = np.maximum(held[span], _edge_weights(one.stop - one.start))
    return replace(motion, translation=motion.translation - _faded(above[:, None] * ground.up, held, motion.fps))


def find_contacts(body: Body, motion: Motion, ground: Ground, legs: tuple[Leg, ...]) -> list[Contact]:
    """All intervals in which a heel or a ball of the foot stands still on the ground."""
    rotations, positions = joint_transforms(body, motion)
    contacts = []
    for number, leg in enumerate(legs):
        points = sole_points(leg, rotations, positions)
        seen = motion.confidence[:, leg.ankle]
        for point in range(2):
            odds = planted_odds(points[:, point], seen, positions[:, 0], ground, motion)
            contacts += [Contact(number, point, *span) for span in planted.intervals(odds, motion.fps)]
    return contacts


def planted_odds(points: NDArray, confidence: NDArray, root: NDArray, ground: Ground, motion: Motion) -> NDArray:
    """Log odds (T,) that a sole point (T, 3) stands still on the ground, of a body with its root at (T, 3)."""
    speeds = transverse_speed(points, motion), transverse_speed(root, motion)
    odds = planted.odds(speeds[0], ground.heights(points), speeds[1], motion.fps)
    return np.where(confidence > 0.05, odds, np.minimum(odds, -0.5))


def transverse_speed(points: NDArray, motion: Motion) -> NDArray:
    """Speed (T,) in m/s of a point (T, 3) of a motion, the part along the viewing ray counted by `ALONG_RAY`."""
    slope = planted.velocities(points, motion.fps)
    ray = points - motion.eyes
    ray = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    along = (slope * ray).sum(axis=1, keepdims=True) * ray
    return np.linalg.norm(slope - (1 - ALONG_RAY) * along, axis=1)


def solve_path(
    body: Body, motion: Motion, ground: Ground, legs: tuple[Leg, ...], contacts: list[Contact]
) -> tuple[NDArray, NDArray]:
    """The root's path (T, 3) and the places (K, 3) of the contacts that agree best.

    Least squares over both: the path stays near the measured one (`ACROSS` and `ALONG` the viewing ray), is smooth,
    keeps planted points in place (`PLANTED`), and these lie on the ground (`LEVEL`), if they are not on a step, nor
    above other parts of a body that lies.
    """
    rotations, positions = joint_transforms(body, motion)
    length, points = len(motion), len(motion) + len(contacts)
    ray = positions[:, 0] - motion.eyes
    distance = np.linalg.norm(ray, axis=1)
    ray = ray / distance[:, None]
    seen = np.sqrt(np.maximum(motion.confidence.mean(axis=1), 1e-3))
    shrink = (1 / ALONG - 1 / ACROSS) * ray[:, :, None] * ray[:, None, :] + np.eye(3) / ACROSS
    shrink = shrink * (seen / distance)[:, None, None]
    near = sparse.bsr_matrix((shrink, np.arange(length), np.arange(length + 1)), shape=(3 * length, 3 * points))

    stiffness = np.sqrt(penalty(ROOT_CUTOFF, motion.fps)) / ACROSS * np.median(seen / distance)
    bands = np.repeat([[-1.0], [3.0], [-3.0], [1.0]], points, axis=1)
    jerk = sparse.dia_matrix((bands, np.arange(ORDER + 1)), shape=(length - ORDER, points))

    spans = [np.arange(contact.start, contact.stop) for contact in contacts]
    frames, owners = np.concatenate(spans), np.repeat(np.arange(len(spans)), [len(span) for span in spans])
    soles = np.stack([sole_points(leg, rotations, positions) for leg in legs]) - motion.translation[:, None]
    relative = np.concatenate([soles[one.leg, span, one.point] for one, span in zip(contacts, spans, strict=True)])
    weights = np.concatenate([_edge_weights(len(span)) for span in spans]) / PLANTED
    rows = np.arange(len(frames))
    ends = np.append(rows, rows), np.append(frames, length + owners)
    still = sparse.csr_matrix((np.append(weights, -weights), ends), shape=(len(rows), points))

    heights = np.split(ground.heights(relative + motion.translation[frames]), np.cumsum([len(span) for span in spans]))
    lowest = ground.heights(carriers(body, motion.shape, rotations, positions).points).min(axis=1)
    level = [
        abs(np.median(one)) < STEP and np.median(one - lowest[span]) < LOWER
        for one, span in zip(heights[:-1], spans, strict=True)
    ]
    planted = sparse.diags(np.array(level, float)) @ sparse.eye(len(contacts), points, k=length)
    matrix = sparse.vstack(
        [
            near,
            stiffness * sparse.kron(jerk, np.eye(3)),
            sparse.kron(still, np.eye(3)),
            sparse.kron(planted, ground.up[None] / LEVEL),
        ]
    )
    right = [
        np.einsum("tij,tj->ti", shrink, motion.translation).ravel(),
        np.zeros(3 * (length - ORDER)),
        (-weights[:, None] * relative).ravel(),
        np.where(level, -ground.height / LEVEL, 0.0),
    ]
    solved = np.asarray(spsolve((matrix.T @ matrix).tocsc(), matrix.T @ np.concatenate(right))).reshape(-1, 3)
    return solved[:length], solved[length:]


def _edge_weights(length: int) -> NDArray:
    """Weights (length,) that are lower at the ends of a contact, where a foot is still landing or already leaving."""
    ramp = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) / 2.5
    return np.minimum(1.0, ramp)


def lock_legs(
    body: Body,
    motion: Motion,
    legs: tuple[Leg, ...],
    contacts: list[Contact],
    anchors: NDArray,
    up: NDArray,
    strength: float = 1.0,
) -> Motion:
    """Bend the legs so that planted points stay at their anchors (K, 3), faded in and out around each contact."""
    local = np.array(motion.rotations, np.float64)
    rotations, positions = joint_transforms(body, motion)
    for number, leg in enumerate(legs):
        own = [(contact, anchors[k]) for k, contact in enumerate(contacts) if contact.leg == number]
        if not own:
            continue
        targets, weights = _targets(own, len(motion))
        current = positions[:, leg.ankle]
        turn, on_ball = _level_feet(leg, rotations, current, targets, weights, motion, up)
        feet = quaternion.multiply(quaternion.from_rotation_vector(strength * turn), rotations[:, leg.ankle])
        wanted = targets - quaternion.rotate(feet[:, None], leg.sole[None])
        held = weights.sum(axis=1)
        offset = (weights[..., None] * wanted).sum(axis=1) / np.maximum(held, 1e-9)[:, None] - current
        offset = _faded(np.where(held[:, None] > 0, offset, 0), held, motion.fps)
        reach(leg, body.parents, local, rotations, positions, current + strength * offset, feet)
        back = quaternion.from_rotation_vector(-strength * quaternion.rotate(quaternion.conjugate(feet), on_ball))
        for toe in np.flatnonzero(body.parents == leg.ankle):  # toes stay on the ground
            local[:, toe] = quaternion.multiply(back, local[:, toe])
    return replace(motion, rotations=local)


def _targets(own: list[tuple[Contact, NDArray]], length: int) -> tuple[NDArray, NDArray]:
    """Places (T, 2, 3) and weights (T, 2) for heel and ball of one foot, from its contacts."""
    targets, weights = np.zeros((length, 2, 3)), np.zeros((length, 2))
    for contact, anchor in own:
        targets[contact.start : contact.stop, contact.point] = anchor
        weights[contact.start : contact.stop, contact.point] = _edge_weights(contact.stop - contact.start)
    return targets, weights


def _level_feet(
    leg: Leg, rotations: NDArray, ankles: NDArray, targets: NDArray, weights: NDArray, motion: Motion, up: NDArray
) -> tuple[NDArray, NDArray]:
    """How (T, 3) the foot is to turn, rotation vectors: its sole lies along the line from heel to ball anchor where
    both are held. About the one that is held alone it rolls, so that the ankle stays near its place (T, 3): networks
    hardly see a heel rise, and a leg that kept the foot flat would be stretched. And how far (T, 3) it rolls on the
    ball.
    """
    current, rows = rotations[:, leg.ankle], np.arange(len(ankles))
    both, alone = weights.min(axis=1)[:, None] > 0, weights.argmax(axis=1)
    line = quaternion.rotate(current, np.broadcast_to(leg.sole[1] - leg.sole[0], (len(current), 3)))
    rolled = quaternion.between(-quaternion.rotate(current, leg.sole[alone]), ankles - targets[rows, alone])
    other = np.where(alone == 1, -1, 1) * (quaternion.rotate(rolled, line) @ up)
    flat = np.where(both, targets[:, 1] - targets[:, 0], line - (line @ up)[:, None] * up)
    rolls = ~both & (other[:, None] > 0) & (weights.max(axis=1)[:, None] > 0)
    turn = quaternion.to_rotation_vector(np.where(rolls, rolled, quaternion.between(line, flat)))
    turn *= np.minimum(1, MOST_ROLL / np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-9))
    held = weights.max(axis=1)
    turn = np.where(held[:, None] > 0, turn, 0)
    on_ball = np.where(rolls & (alone == 1)[:, None], turn, 0)
    return _faded(turn, held, motion.fps), _faded(on_ball, held, motion.fps)


def _faded(corrections: NDArray, held: NDArray, fps: float) -> NDArray:
    """Corrections (T, 3) that hold where `held` (T,) is 1 and go smoothly to nothing away from there."""
    weights = np.where(held > 0, 20 * np.minimum(held, 1), 0.05)
    return whittaker(corrections, weights, penalty(4.0, fps))
