# SPDX-License-Identifier: GPL-3.0-or-later
"""The legs of a body: which joints they are, where the sole is, and analytic inverse kinematics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geometry import rotations as quaternion
from ...results import Body
from ..clip.motion import rest_joints

#: hip, knee and ankle joints of the bodies that we know.
NAMES = (
    ("upperleg01.L", "lowerleg01.L", "foot.L"),
    ("upperleg01.R", "lowerleg01.R", "foot.R"),
    ("left_hip", "left_knee", "left_ankle"),
    ("right_hip", "right_knee", "right_ankle"),
    ("l_upleg", "l_lowleg", "l_foot"),
    ("r_upleg", "r_lowleg", "r_foot"),
)
#: The way that a knee points in the rest pose, which faces the viewer.
KNEE_FORWARD = np.array([0.0, 0.0, -1.0])
#: A leg is never stretched beyond this share of its length: the knee of a straight leg has no bending plane.
LONGEST = 0.999


@dataclass(frozen=True)
class Leg:
    """hip, knee, ankle : joint indices.  sole : (2, 3) metres, heel and ball of the foot from the ankle, rest axes."""

    hip: int
    knee: int
    ankle: int
    sole: NDArray


def find_legs(body: Body, shape: NDArray) -> tuple[Leg, ...]:
    """The legs of a person of this shape; none for a body whose joint names are not in `NAMES`."""
    joints = rest_joints(body, shape)
    return tuple(Leg(*leg, _sole(body, shape, leg[2]) - joints[leg[2]]) for leg in leg_joints(body))


def leg_joints(body: Body) -> list[tuple[int, int, int]]:
    """Hip, knee and ankle of each leg; none for a body whose joint names are not in `NAMES`."""
    index = {name: number for number, name in enumerate(body.joint_names)}
    return [(index[a], index[b], index[c]) for a, b, c in NAMES if {a, b, c} <= index.keys()]


def _sole(body: Body, shape: NDArray, ankle: int) -> NDArray:
    """Heel and ball (2, 3) on the sole of the rest pose: 10 % and 70 % of the way from the heel to the toes."""
    owned = np.isin(np.arange(len(body.parents)), descendants(body.parents, ankle))
    picked = body.skin_weights[:, owned].sum(axis=1) > 0.5
    foot = body.vertices[picked].astype(np.float64) + np.tensordot(shape, body.shape_blend_shapes[:, picked], 1)
    back, front, floor = foot[:, 2].max(), foot[:, 2].min(), foot[:, 1].max()
    near = foot[:, 1] > floor - 0.02
    points = []
    for share in (0.1, 0.7):
        z = back + share * (front - back)
        band = near & (np.abs(foot[:, 2] - z) < 0.12 * (back - front))
        x = foot[band if band.any() else near, 0].mean()
        points.append([x, floor, z])
    return np.array(points)


def descendants(parents: NDArray, joint: int) -> list[int]:
    """`joint` and every joint below it."""
    found = [joint]
    for child in range(joint + 1, len(parents)):
        if parents[child] in found:
            found.append(child)
    return found


def sole_points(leg: Leg, rotations: NDArray, positions: NDArray) -> NDArray:
    """Heel and ball (T, 2, 3) from the global joint rotations (T, J, 4) and positions (T, J, 3)."""
    return positions[:, leg.ankle, None] + quaternion.rotate(rotations[:, leg.ankle, None], leg.sole[None])


def reach(
    leg: Leg, parents: NDArray, local: NDArray, rotations: NDArray, positions: NDArray, ankles: NDArray, feet: NDArray
) -> None:
    """Bend knee and hip so that the ankle comes to `ankles` (T, 3) and the foot is turned as `feet` (T, 4) says.

    local : (T, J, 4) rotations relative to the parents, changed in place at hip, knee and ankle.
    rotations, positions : the global rotations and positions that belong to `local`.
    The knee stays in its bending plane; a target out of reach is approached as far as the leg goes. Joints between hip
    and knee, and knee and ankle, keep their angles.
    """
    hip, knee, ankle = positions[:, leg.hip], positions[:, leg.knee], positions[:, leg.ankle]
    thigh, shank = knee - hip, ankle - knee
    upper, lower = np.linalg.norm(thigh, axis=1), np.linalg.norm(shank, axis=1)
    aim = quaternion.between(ankle - hip, ankles - hip)
    line = quaternion.rotate(aim, _unit(ankle - hip))
    forward = quaternion.rotate(rotations[:, leg.hip], np.broadcast_to(KNEE_FORWARD, line.shape))
    pole = quaternion.rotate(aim, thigh / upper[:, None] + 0.05 * forward)
    pole = _unit(pole - (pole * line).sum(axis=1, keepdims=True) * line)

    longest, shortest = LONGEST * (upper + lower), np.abs(upper - lower) + 0.05 * lower
    distance = np.clip(np.linalg.norm(ankles - hip, axis=1), shortest, longest)
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    aside = np.sqrt(np.maximum(upper**2 - along**2, 0))
    new_thigh = along[:, None] * line + aside[:, None] * pole
    new_shank = distance[:, None] * line - new_thigh
    at_hip = quaternion.between(thigh, new_thigh)
    below_knee = quaternion.multiply(quaternion.between(quaternion.rotate(at_hip, shank), new_shank), at_hip)

    for joint, above, own in (
        (leg.hip, None, quaternion.multiply(at_hip, rotations[:, leg.hip])),
        (leg.knee, at_hip, quaternion.multiply(below_knee, rotations[:, leg.knee])),
        (leg.ankle, below_knee, feet),
    ):
        parent = rotations[:, parents[joint]]
        parent = parent if above is None else quaternion.multiply(above, parent)
        local[:, joint] = quaternion.normalise(quaternion.multiply(quaternion.conjugate(parent), own))


def _unit(vectors: NDArray) -> NDArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
