# SPDX-License-Identifier: GPL-3.0-or-later
"""A person who walks with planted feet: known motion for the tests of smoothing, contact and ground."""

import gc
from dataclasses import dataclass
from pathlib import Path

import cv2
import made_up
import numpy as np
import pytest
import torch
from maquette.inference.camera import Camera
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people.clip.motion import Motion, joint_transforms
from maquette.inference.people.fit.legs import find_legs, reach
from maquette.inference.shipped.body import load_body

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


@pytest.fixture(scope="module")
def frozen() -> None:
    """For tests that free the memory again and again: what is there by now need not be looked through each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def walk() -> Walk:
    return _walk(75)


@pytest.fixture(scope="session")
def crossing(walk):
    """Two people drawn in two colours who pass each other, one behind the other: pictures and true hips (2, T, 2)."""
    body, camera = load_body(), Camera(420, 420, 192, 144, 384, 288)
    index = body.joint_names.index
    owner = np.array([name.split(".")[0] for name in body.joint_names])[body.skin_weights.argmax(1)]
    legs = np.char.startswith(owner, ("upperleg")) | np.char.startswith(owner, "lowerleg")
    trunk = (
        np.char.startswith(owner, "spine") | np.char.startswith(owner, "upperarm") | np.char.startswith(owner, "clav")
    )
    pictures, hips = [], np.zeros((2, 36, 2))
    sun = np.array([0.4, -0.8, -0.45])
    noise = np.random.default_rng(0)
    for frame in range(36):
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


@pytest.fixture(scope="session")
def random_weights():
    """Fills a network with made-up weights of a size that keeps its signals alive."""

    def fill(network, seed):
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, tensor in (*network.named_parameters(), *network.named_buffers()):
                if not tensor.is_floating_point():
                    continue
                if name.endswith("running_var"):
                    tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.5)
                elif tensor.ndim > 1:
                    inputs = tensor[0].numel()
                    tensor.copy_(torch.randn(tensor.shape, generator=random) * (2 / max(inputs, 1)) ** 0.5)
                elif name.endswith(("weight", "lambda1", "lambda_1", "lambda_2")):
                    tensor.copy_(torch.rand(tensor.shape, generator=random) * 0.4 + 0.8)
                else:
                    tensor.copy_(torch.randn(tensor.shape, generator=random) * 0.1)
        return network.eval()

    return fill


@pytest.fixture(scope="session")
def hmr2_models(cache, tmp_path_factory) -> Path:
    """Root of model files with a small HMR 2.0 network as a training program writes it, and the made-up bodies."""
    return made_up.small_models("hmr2", cache, tmp_path_factory.mktemp("hmr2") / "models")


@pytest.fixture
def small_hmr2(hmr2_models, monkeypatch) -> Path:
    """`hmr2_models`, with a network of its size in the place of the published one's."""
    from maquette.inference.people.hmr2 import answers
    from maquette.inference.people.hmr2.network import Size

    monkeypatch.setattr(answers, "SIZE", Size(width=64, depth=2, heads=4, token=48, layers=2, head=8))
    return hmr2_models


@pytest.fixture(scope="session")
def surroundings():
    """A function: axes (4, 4) of a camera in the first one's, and its lens -> what it sees of a textured floor 1.4 m
    below the first camera, and of a wall 8 m before it."""
    random, grey = np.random.default_rng(3), np.full((1400, 1400), 127, np.float32)
    for size in (3, 8, 20):
        small = random.normal(0, 22, (1400 // size + 1, 1400 // size + 1)).astype(np.float32)
        grey += cv2.resize(small, (1400, 1400), interpolation=cv2.INTER_CUBIC)
    texture = np.clip(grey, 0, 255).astype(np.uint8)

    def draw(pose: np.ndarray, camera: Camera) -> np.ndarray:
        rays, eye = camera.rays().reshape(-1, 3) @ pose[:3, :3].T, pose[:3, 3]
        with np.errstate(divide="ignore"):
            wall, floor = (8 - eye[2]) / rays[:, 2], (1.4 - eye[1]) / rays[:, 1]
        floor[floor <= 0] = np.inf
        at = eye + rays * np.minimum(wall, floor)[:, None]
        across = (60 * at[:, 0] + 700).astype(np.float32)
        down = (60 * np.where(wall < floor, at[:, 1] - 5, at[:, 2]) + 400).astype(np.float32)
        shape = (camera.height, camera.width)
        seen = cv2.remap(
            texture, across.reshape(shape), down.reshape(shape), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        return np.repeat(seen[..., None], 3, 2)

    return draw


@pytest.fixture
def crossing_clip(crossing):
    """The two people who pass each other as a clip with its camera, the true boxes per frame in changing order, and
    which person each box is."""
    from maquette.inference import Clip, Photo

    pictures, hips = crossing
    camera = Camera(420, 420, 192, 144, 384, 288)
    photos = [Photo(picture, camera, str(number)) for number, picture in enumerate(pictures)]
    order = [np.random.default_rng(frame).permutation(2) for frame in range(len(photos))]
    boxes = [
        [(x - 40.0, y - 90.0, x + 40.0, y + 80.0) for x, y in hips[which, frame]] for frame, which in enumerate(order)
    ]
    return Clip("crossing", len(photos), FPS / 2, lambda: iter(photos)), boxes, hips
