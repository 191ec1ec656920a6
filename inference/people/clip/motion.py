# SPDX-License-Identifier: GPL-3.0-or-later
"""One person's motion over a clip, and the joints that it puts where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...geometry import rotations as quaternion
from ...results import Body, People, Person

#: One of so many vertices of the skin is looked at to see what a body rests on.
EVERY = 25


@dataclass(frozen=True)
class Motion:
    """One person over T frames, in metres and camera axes (where the camera moves, those of the clip's first frame);
    one shape for all of them.

    rotations : (T, J, 4) unit quaternions (w, x, y, z), as `results.Person.rotations`.
    translation : (T, 3) metres.       shape : (S,).
    confidence : (T, J) 0..1; 0 where a frame says nothing about a joint.
    fps : frames per second.
    attributes : as `results.Person.attributes`.
    offsets : (T, J, 3) as `results.Person.offsets`, or None.
    eyes : (T, 3) where the camera is; 0 for one that stays.
    """

    rotations: NDArray
    translation: NDArray
    shape: NDArray
    confidence: NDArray
    fps: float
    attributes: Mapping[str, float] = field(default_factory=dict)
    offsets: NDArray | None = None
    eyes: NDArray | float = 0.0

    def __len__(self) -> int:
        return len(self.rotations)


@dataclass(frozen=True)
class Spell:
    """A motion of the person `track` from the frame `first` of a clip on."""

    track: int
    first: int
    motion: Motion


def moved(body: Body, motion: Motion, poses: NDArray) -> Motion:
    """The motion carried by rigid transforms (T, 4, 4), one a frame."""
    root = rest_joints(body, motion.shape)[0]
    rotations = np.array(motion.rotations, np.float64)
    rotations[:, 0] = quaternion.multiply(quaternion.quaternions_of(poses[:, :3, :3]), rotations[:, 0])
    places = np.einsum("tij,tj->ti", poses[:, :3, :3], motion.translation + root) + poses[:, :3, 3] - root
    return replace(motion, rotations=quaternion.align_hemisphere(rotations), translation=places)


def rest_joints(body: Body, shape: NDArray) -> NDArray:
    """Joints (J, 3) float64 of the rest pose of a person of this shape."""
    return body.joints.astype(np.float64) + np.tensordot(shape, body.joint_blend_shapes, 1)


def joint_transforms(body: Body, motion: Motion) -> tuple[NDArray, NDArray]:
    """Forward kinematics: global rotations (T, J, 4) and positions (T, J, 3) of all joints, camera axes, metres."""
    rest = rest_joints(body, motion.shape)
    local = np.asarray(motion.rotations, np.float64)
    rotations, positions = np.empty_like(local), np.empty((*local.shape[:2], 3))
    for joint, parent in enumerate(body.parents):
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local[:, joint], rest[joint] + motion.translation
            continue
        rotations[:, joint] = quaternion.multiply(rotations[:, parent], local[:, joint])
        step = rest[joint] - rest[parent]
        step = step if motion.offsets is None else step + motion.offsets[:, joint]
        positions[:, joint] = positions[:, parent] + quaternion.rotate(rotations[:, parent], step)
    return rotations, positions


def skin_points(body: Body, shape: NDArray, rotations: NDArray, positions: NDArray) -> tuple[NDArray, NDArray]:
    """Points (T, S, 3) all over the skin, each carried by the joint (S,) that holds most of it, of joints that are
    turned by (T, J, 4) and lie at (T, J, 3): where a body touches what it lies on, to a centimetre."""
    some = slice(None, None, EVERY)
    rest = body.vertices[some].astype(np.float64) + np.tensordot(shape, body.shape_blend_shapes[:, some], 1)
    owners = body.skin_weights[some].argmax(axis=1)
    offsets = rest - rest_joints(body, shape)[owners]
    return positions[:, owners] + quaternion.rotate(rotations[:, owners], offsets[None]), owners


def in_first_camera(people: People) -> People:
    """The people of a clip in the camera axes of its first frame, as if that camera had seen all of it."""
    if people.travel is None:
        return people
    frames = []
    for pose, persons in zip(people.travel, people.frames, strict=True):
        turn, way = pose[:3, :3], pose[:3, 3]
        turned = quaternion.quaternions_of(turn[None])[0]
        frames.append(tuple(_carried(people.body, person, turn, way, turned) for person in persons))
    return replace(people, frames=tuple(frames), travel=None)


def _carried(body: Body, person: Person, turn: NDArray, way: NDArray, turned: NDArray) -> Person:
    rotations = person.rotations.astype(np.float64)
    rotations[0] = quaternion.multiply(turned, rotations[0])
    root = rest_joints(body, person.shape)[0]
    place = turn @ (person.translation + root) + way - root

    def carried(points: NDArray) -> NDArray[np.float32]:
        return (points @ turn.T + way).astype(np.float32)

    return replace(
        person,
        vertices=carried(person.vertices),
        joints=carried(person.joints),
        rotations=rotations.astype(np.float32),
        translation=place.astype(np.float32),
        keypoints_3d=None if person.keypoints_3d is None else carried(person.keypoints_3d),
    )
