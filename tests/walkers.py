# SPDX-License-Identifier: GPL-3.0-or-later
"""A person who walks with planted feet, and two drawn people who pass each other: known motion, for all floors."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from maquette.demo.samples import sample_photo
from maquette.inference.camera import Camera
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people.clip.motion import Motion, joint_transforms
from maquette.inference.people.fit.legs import find_legs, reach
from maquette.inference.shipped.body import load_body
from PIL import Image

FPS, SPEED, STEP_TIME, CAMERA_HEIGHT = 25.0, 0.9, 0.5, 1.4


@dataclass(frozen=True)
class Walk:
    """motion : seen by a level camera 1.4 m over the ground.  planted : (T, 2) bool, the left and the right foot."""

    motion: Motion
    planted: np.ndarray


def drawn_walk(frames: int) -> Walk:
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


def drawn_crossing(walk: Walk, frames: range = range(36)) -> tuple[list[np.ndarray], np.ndarray]:
    """Two people drawn in two colours who pass each other, one behind the other: pictures and true hips (2, T, 2)."""
    body, camera = load_body(), Camera(420, 420, 192, 144, 384, 288)
    index = body.joint_names.index
    owner = np.array([name.split(".")[0] for name in body.joint_names])[body.skin_weights.argmax(1)]
    legs = np.char.startswith(owner, ("upperleg")) | np.char.startswith(owner, "lowerleg")
    trunk = (
        np.char.startswith(owner, "spine") | np.char.startswith(owner, "upperarm") | np.char.startswith(owner, "clav")
    )
    pictures, hips = [], np.zeros((2, frames.stop, 2))
    sun = np.array([0.4, -0.8, -0.45])
    noise = np.random.default_rng(0)
    for frame in frames:
        picture, nearest = np.full((288, 384, 3), (0.62, 0.66, 0.7)), np.full((288, 384), np.inf)
        picture[170:] = (0.45, 0.4, 0.34)
        for number, (angle, place, top, below) in enumerate(
            (
                (0.0, (0.8, 0.6), (0.75, 0.12, 0.1), (0.1, 0.15, 0.4)),
                (np.pi, (-0.6, -0.4), (0.15, 0.5, 0.25), (0.6, 0.55, 0.45)),
            )
        ):
            turn = quaternion.from_rotation_vector(np.array([0, angle, 0]))
            rotations = walk.motion.rotations[2 * frame].copy()
            rotations[0] = quaternion.multiply(turn, rotations[0])
            root = body.joints[0] + walk.motion.translation[2 * frame] - [0, 0.4, 4.5]
            root = quaternion.rotate(turn, root) + np.array([place[0], 0, 4.5 + place[1]])
            vertices, joints = pose_body(body, np.zeros(len(body.shape_blend_shapes)), rotations, root - body.joints[0])
            hips[number, frame] = camera.project(joints[[index("upperleg01.L"), index("upperleg01.R")]]).mean(0)
            corners = vertices[body.faces]
            normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            light = 0.35 + 0.6 * np.clip(normals @ sun / np.maximum(np.linalg.norm(normals, axis=1), 1e-12), 0, 1)
            paint = np.where(trunk[:, None], top, np.where(legs[:, None], below, (0.8, 0.6, 0.5)))[body.faces[:, 0]]
            depth, face = rasterise(vertices, body.faces, camera)
            hit = (depth > 0) & (depth < nearest)
            picture[hit], nearest[hit] = (paint * light[:, None])[face[hit]], depth[hit]
        picture = picture**0.8 + noise.normal(0, 0.015, picture.shape)
        pictures.append((picture.clip(0, 1) * 255).astype(np.uint8))
    return pictures, hips


def people_shot(path: Path, frames: int) -> Path:
    """A movie of so many small frames in which two people move to and fro."""
    person = Image.open(sample_photo("astronaut")).convert("RGB").crop((60, 0, 420, 512)).resize((90, 128))
    size, some = (256, 128), np.asarray(person)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 24, size)
    for number in range(frames):
        picture = np.full((128, 256, 3), 120, np.uint8)
        for left, turned, speed in ((15, some, 9.0), (150, some[:, ::-1], 7.0)):
            left = left + round(12 * np.sin(number / speed))
            picture[:, left : left + 90] = turned
        writer.write(picture[..., ::-1])
    writer.release()
    return path
