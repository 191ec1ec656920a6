# SPDX-License-Identifier: GPL-3.0-or-later
"""One person's motion over a clip, and the joints that it puts where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...geometry import rotations as quaternion
from ...results import Body


@dataclass(frozen=True)
class Motion:
    """One person over T frames, in camera axes and metres; one shape for all of them.

    rotations : (T, J, 4) unit quaternions (w, x, y, z), as `results.Person.rotations`.
    translation : (T, 3) metres.       shape : (S,).
    confidence : (T, J) 0..1; 0 where a frame says nothing about a joint.
    fps : frames per second.
    attributes : as `results.Person.attributes`.
    offsets : (T, J, 3) as `results.Person.offsets`, or None.
    """

    rotations: NDArray
    translation: NDArray
    shape: NDArray
    confidence: NDArray
    fps: float
    attributes: Mapping[str, float] = field(default_factory=dict)
    offsets: NDArray | None = None

    def __len__(self) -> int:
        return len(self.rotations)


@dataclass(frozen=True)
class Spell:
    """A motion of the person `track` from the frame `first` of a clip on."""

    track: int
    first: int
    motion: Motion


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
