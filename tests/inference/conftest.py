# SPDX-License-Identifier: GPL-3.0-or-later
"""A person who walks with planted feet: known motion for the tests of smoothing, contact and ground."""

from dataclasses import dataclass

import numpy as np
import pytest
from maquette.inference.builtin.body import load_body
from maquette.inference.people import rotations as quaternion
from maquette.inference.people.legs import find_legs, reach
from maquette.inference.people.motion import Motion, joint_transforms

FPS, SPEED, STEP_TIME, CAMERA_HEIGHT = 25.0, 0.9, 0.5, 1.4


@dataclass(frozen=True)
class Walk:
    """motion : seen by a level camera 1.4 m over the ground.  planted : (T, 2) bool, the left and the right foot."""

    motion: Motion
    planted: np.ndarray


def _walk(frames: int) -> Walk:
    body, shape = load_body(), np.zeros(40)
    time = np.arange(frames) / FPS
    local = np.tile(quaternion.IDENTITY, (frames, len(body.parents), 1))
    heading = np.array([0.0, -np.pi / 2, 0.0])  # from facing the camera to walking to the picture's right
    local[:, 0] = quaternion.from_rotation_vector(heading)
    for side, sign in ((".L", 1), (".R", -1)):
        arm = body.joint_names.index("upperarm01" + side)
        swing = 0.4 * sign * np.sin(np.pi * time / STEP_TIME)
        local[:, arm] = quaternion.from_rotation_vector(np.stack([swing, 0 * time, np.full(frames, 0.9 * sign)], 1))
    first = find_legs(body, shape)[0]
    leg_length = np.linalg.norm(body.joints[first.ankle] - body.joints[first.hip])
    sway = CAMERA_HEIGHT - first.sole[0, 1] - 0.93 * leg_length - (body.joints[first.hip, 1] - body.joints[0, 1])
    root = np.stack([SPEED * time - 2, sway + 0.015 * np.sin(2 * np.pi * time / STEP_TIME), 4.5 + 0 * time], axis=1)
    motion = Motion(local, root - body.joints[0], shape, np.ones(local.shape[:2]), FPS)
    turned, placed = joint_transforms(body, motion)
    planted = np.zeros((frames, 2), bool)
    for number, leg in enumerate(find_legs(body, shape)):
        cycle = time / (2 * STEP_TIME) + 0.5 * number
        stride, phase = np.floor(cycle), cycle % 1
        planted[:, number] = phase < 0.6
        swing = np.clip((phase - 0.6) / 0.4, 0, 1)
        forward = (
            2 * STEP_TIME * SPEED * (stride - 0.5 * number + 0.3 + swing - np.sin(2 * np.pi * swing) / (2 * np.pi))
        )
        lift = 0.06 * (1 - np.cos(2 * np.pi * swing))
        side = placed[0, leg.hip, 2] - 4.5
        ankle = np.stack([forward - 2, CAMERA_HEIGHT - leg.sole[0, 1] - lift, 4.5 + 0.6 * side + 0 * time], axis=1)
        feet = np.tile(quaternion.from_rotation_vector(heading), (frames, 1))
        reach(leg, body.parents, local, turned, placed, ankle, feet)
    return Walk(motion, planted)


@pytest.fixture(scope="session")
def walk() -> Walk:
    return _walk(75)
