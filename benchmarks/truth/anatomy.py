# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses in the words of a movement laboratory (flexion, abduction, twist), turned into rotations of the built-in body.

A body at rest stands with its arms spread and its elbows bent. Every joint therefore first gets a *neutral* turn N,
which brings it to the anatomical standing position (arms hanging, legs straight); the angles of a pose turn E are
counted from there, in the axes of the standing person: left, up and forward. The rotation of joint j relative to its
parent p, in the axes of the rest pose, is then ``inverse(N[p]) @ E[j] @ N[j]``.

All arrays are float64, in the body's own camera axes (x = the person's left, y down, z = backward), metres, degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from maquette.inference.geometry.skinning import pose_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maquette.inference.results import Body
    from numpy.typing import NDArray

LEFT, UP, FORWARD = np.eye(3) * (1.0, -1.0, -1.0)

#: Spine and neck bend over several joints; the shares add up to one.
SPINE = {"spine05": 0.15, "spine04": 0.2, "spine03": 0.2, "spine02": 0.25, "spine01": 0.2}
NECK = {"neck01": 0.3, "neck02": 0.2, "neck03": 0.1, "head": 0.4}

#: Joints whose skin an arm cannot pass through.
_SOLID = ("root", "spine", "pelvis", "neck", "head", "clavicle", "shoulder01", "upperleg", "lowerleg")

#: Degrees that each joint of a finger (knuckle first) bends in a relaxed hand, from the index to the little finger.
RELAXED_FINGERS = {2: (12, 22, 14), 3: (18, 26, 16), 4: (22, 28, 18), 5: (24, 30, 18)}


def turn(axis: NDArray, degrees: float) -> NDArray[np.float64]:
    """Rotation matrix (3, 3) about `axis`, right-handed (Rodrigues' formula)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def shortest_turn(start: NDArray, end: NDArray) -> NDArray[np.float64]:
    """The smallest rotation that takes the direction `start` to `end`."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(start, end)
    if np.linalg.norm(axis) < 1e-9:
        return np.eye(3)
    return turn(axis, float(np.degrees(np.arctan2(np.linalg.norm(axis), start @ end))))


def frame(along: NDArray, side: NDArray) -> NDArray[np.float64]:
    """Right-handed axes (3, 3) in columns: the first along `along`, the second as near to `side` as can be."""
    first = along / np.linalg.norm(along)
    second = side - (side @ first) * first
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def quaternions(matrices: NDArray) -> NDArray[np.float64]:
    """Rotation matrices (..., 3, 3) -> unit quaternions (..., 4) w x y z, w >= 0."""
    from scipy.spatial.transform import Rotation

    xyzw = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat()
    wxyz = xyzw[:, [3, 0, 1, 2]]
    wxyz *= np.where(wxyz[:, :1] < 0, -1, 1)
    return wxyz.reshape(*matrices.shape[:-2], 4)


def outward(side: str) -> NDArray[np.float64]:
    """The direction away from the body's middle."""
    return LEFT if side == "L" else -LEFT


@dataclass(frozen=True)
class Figure:
    """One person's body: the model and its shape, with what posing needs to know of the rest pose."""

    body: Body
    shape: NDArray[np.float32]

    @cached_property
    def rest_vertices(self) -> NDArray[np.float64]:
        """(V, 3)."""
        return self.body.vertices + np.tensordot(self.shape, self.body.shape_blend_shapes, 1)

    @cached_property
    def rest_joints(self) -> NDArray[np.float64]:
        """(J, 3)."""
        return self.body.joints + np.tensordot(self.shape, self.body.joint_blend_shapes, 1)

    def index(self, name: str) -> int:
        return self.body.joint_names.index(name)

    def rest(self, name: str) -> NDArray[np.float64]:
        """Rest position of a joint."""
        return self.rest_joints[self.index(name)]

    @cached_property
    def neutral(self) -> NDArray[np.float64]:
        """N: (J, 3, 3), the turn of every joint from the rest pose to standing with hanging arms."""
        given: dict[str, NDArray] = {}
        for side in "LR":
            upper = shortest_turn(self.rest(f"lowerarm01.{side}") - self.rest(f"upperarm01.{side}"), -UP)
            forearm = upper @ (self.rest(f"wrist.{side}") - self.rest(f"lowerarm01.{side}"))
            given[f"upperarm01.{side}"] = upper
            given[f"lowerarm01.{side}"] = shortest_turn(forearm, -UP) @ upper
            thigh = shortest_turn(self.rest(f"lowerleg01.{side}") - self.rest(f"upperleg01.{side}"), -UP)
            shin = thigh @ (self.rest(f"foot.{side}") - self.rest(f"lowerleg01.{side}"))
            given[f"upperleg01.{side}"] = thigh
            given[f"lowerleg01.{side}"] = shortest_turn(shin, -UP) @ thigh
            given[f"foot.{side}"] = np.eye(3)
        neutral = np.empty((len(self.rest_joints), 3, 3))
        for joint, (name, parent) in enumerate(zip(self.body.joint_names, self.body.parents, strict=True)):
            neutral[joint] = given.get(name, neutral[parent] if parent >= 0 else np.eye(3))
        return neutral

    def local(self, turns: Mapping[str, NDArray]) -> NDArray[np.float64]:
        """Turns E of named joints (standing person's axes) -> rotations (J, 3, 3) relative to the parents."""
        rotations = np.empty((len(self.rest_joints), 3, 3))
        for joint, (name, parent) in enumerate(zip(self.body.joint_names, self.body.parents, strict=True)):
            before = self.neutral[parent].T if parent >= 0 else np.eye(3)
            rotations[joint] = before @ turns.get(name, np.eye(3)) @ self.neutral[joint]
        return rotations

    def placed(self, rotations: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotations (J, 3, 3) -> joint positions (J, 3) and global turns (J, 3, 3) with the root at its rest place."""
        joints = self.rest_joints.copy()
        turns = rotations.copy()
        for joint, parent in enumerate(self.body.parents):
            if parent >= 0:
                turns[joint] = turns[parent] @ rotations[joint]
                joints[joint] = joints[parent] + turns[parent] @ (self.rest_joints[joint] - self.rest_joints[parent])
        return joints, turns

    def skin(self, rotations: NDArray, translation: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotations (J, 3, 3), translation (3,) -> vertices (V, 3), joints (J, 3), as `pose_body` gives them."""
        vertices, joints = pose_body(
            self.body, self.shape, quaternions(rotations).astype(np.float32), translation.astype(np.float32)
        )
        return np.asarray(vertices, np.float64), np.asarray(joints, np.float64)

    def set_global(self, rotations: NDArray, name: str, target: NDArray) -> None:
        """Change the rotation of one joint so that its global turn becomes `target`; in place."""
        _, turns = self.placed(rotations)
        joint = self.index(name)
        rotations[joint] = turns[self.body.parents[joint]].T @ target

    def reach(self, rotations: NDArray, side: str, ankle: NDArray, knee_towards: NDArray) -> None:
        """Bend one leg so that its ankle comes to `ankle`; the knee points towards the direction given. In place.

        Two bones, law of cosines. A target out of reach is approached with the leg straight.
        """
        joints, _ = self.placed(rotations)
        names = (f"upperleg01.{side}", f"lowerleg01.{side}", f"foot.{side}")
        hip, knee, foot = (self.rest(name) for name in names)
        thigh_length, shin_length = np.linalg.norm(knee - hip), np.linalg.norm(foot - knee)
        start = joints[self.index(names[0])]
        span = ankle - start
        distance = min(np.linalg.norm(span), 0.9995 * (thigh_length + shin_length))
        along = span / np.linalg.norm(span)
        cosine = (thigh_length**2 + distance**2 - shin_length**2) / (2 * thigh_length * distance)
        bend = frame(along, knee_towards)
        middle = start + thigh_length * (cosine * bend[:, 0] + np.sqrt(max(0.0, 1 - cosine**2)) * bend[:, 1])
        hinge = bend[:, 2]
        # At rest the knee's axis is the line from side to side, square to the leg.
        rest_hinge = np.cross(foot - hip, FORWARD)
        self.set_global(rotations, names[0], frame(middle - start, hinge) @ frame(knee - hip, rest_hinge).T)
        end = start + distance * along
        self.set_global(rotations, names[1], frame(end - middle, hinge) @ frame(foot - knee, rest_hinge).T)


def arm_turns(side: str, shoulder: Mapping[str, float], elbow: Mapping[str, float]) -> dict[str, NDArray]:
    """Shoulder flexion (forward and up), abduction (sideways and up), twist (inward); elbow flexion, pronation."""
    out = outward(side)
    sign = 1.0 if side == "L" else -1.0
    upper = (
        turn(LEFT, -shoulder.get("flexion", 0))
        @ turn(FORWARD, sign * shoulder.get("abduction", 0))
        @ turn(UP, -sign * shoulder.get("twist", 0))
    )
    # Part of a raised arm's turn happens in the collar bone.
    lift = 0.25 * max(0.0, max(shoulder.get("flexion", 0), shoulder.get("abduction", 0)) - 60)
    lift += shoulder.get("shrug", 0)
    collar = turn(np.cross(out, UP), lift)
    return {
        f"clavicle.{side}": collar,
        f"upperarm01.{side}": collar.T @ upper,
        f"lowerarm01.{side}": turn(LEFT, -elbow.get("flexion", 0)),
        f"lowerarm02.{side}": turn(UP, -sign * elbow.get("pronation", 0)),
    }


def axial_turn(flexion: float, abduction: float, twist: float) -> float:
    """Degrees that an upper arm at these angles is turned inward about itself, against the shortest way there."""
    upper = turn(LEFT, -flexion) @ turn(FORWARD, abduction) @ turn(UP, -twist)
    w, *vector = quaternions(upper)
    return float(-2 * np.degrees(np.arctan2(UP @ vector, w)))


def deepest_inside(figure: Figure, vertices: NDArray, joints: NDArray) -> float:
    """Metres that the axes of forearms and hands lie inside of the trunk, the head or the legs."""
    from scipy.spatial import KDTree

    body = figure.body
    names = [body.joint_names[joint] for joint in body.skin_weights.argmax(1)]
    solid = np.flatnonzero([name.startswith(_SOLID) for name in names])
    first, second = (vertices[body.faces[:, k]] - vertices[body.faces[:, 0]] for k in (1, 2))
    around = np.cross(first, second)
    normals = np.zeros_like(vertices)
    for corner in body.faces.T:
        np.add.at(normals, corner, around)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    axes = []
    for side in "LR":
        elbow, wrist, hand = (joints[figure.index(f"{name}.{side}")] for name in ("lowerarm01", "wrist", "finger3-1"))
        axes += [elbow + share * (wrist - elbow) for share in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
        axes += [wrist + share * (hand - wrist) for share in (0.4, 0.8, 1.2, 1.6)]
    points = np.stack(axes)
    nearest = solid[KDTree(vertices[solid]).query(points)[1]]
    return float(-((points - vertices[nearest]) * normals[nearest]).sum(1).min())


def leg_turns(side: str, hip: Mapping[str, float], knee: float, ankle: float) -> dict[str, NDArray]:
    """Hip flexion (forward), abduction (sideways), twist (inward); knee flexion; ankle flexion (toes up)."""
    sign = 1.0 if side == "L" else -1.0
    thigh = (
        turn(LEFT, -hip.get("flexion", 0))
        @ turn(FORWARD, sign * hip.get("abduction", 0))
        @ turn(UP, -sign * hip.get("twist", 0))
    )
    return {
        f"upperleg01.{side}": thigh,
        f"lowerleg01.{side}": turn(LEFT, knee),
        f"foot.{side}": turn(LEFT, -ankle),
    }


def trunk_turns(shares: Mapping[str, float], bend: Mapping[str, float]) -> dict[str, NDArray]:
    """Flexion (forward), side (to the person's left), twist (to the person's left), spread over several joints."""
    return {
        name: turn(UP, share * bend.get("twist", 0))
        @ turn(FORWARD, -share * bend.get("side", 0))
        @ turn(LEFT, share * bend.get("flexion", 0))
        for name, share in shares.items()
    }


def finger_turns(figure: Figure, side: str, curl: float) -> dict[str, NDArray]:
    """A relaxed hand (curl = 1); 0 is the flat hand, about 3.3 a fist."""
    wrist = figure.rest(f"wrist.{side}")
    index, little = figure.rest(f"finger2-1.{side}") - wrist, figure.rest(f"finger5-1.{side}") - wrist
    palm = np.cross(little, index) if side == "L" else np.cross(index, little)
    neutral = figure.neutral[figure.index(f"wrist.{side}")]
    turns = {}
    for finger, bends in RELAXED_FINGERS.items():
        along = figure.rest(f"finger{finger}-2.{side}") - figure.rest(f"finger{finger}-1.{side}")
        axis = neutral @ np.cross(along, palm)
        for joint, degrees in enumerate(bends, start=1):
            turns[f"finger{finger}-{joint}.{side}"] = turn(axis, curl * degrees)
    along = figure.rest(f"finger1-3.{side}") - figure.rest(f"finger1-2.{side}")
    axis = neutral @ np.cross(along, index - little)
    turns[f"finger1-2.{side}"] = turn(axis, -5 * curl)
    return turns
