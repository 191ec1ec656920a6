# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawn people of known motion, and model files with small networks."""

import gc
from pathlib import Path

import cv2
import made_up
import numpy as np
import pytest
import torch
from maquette.inference.camera import Camera
from walkers import FPS, Walk, drawn_crossing, drawn_walk


@pytest.fixture(scope="module")
def frozen() -> None:
    """For tests that free the memory again and again: what is there by now need not be looked through each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def walk() -> Walk:
    return drawn_walk(75)


@pytest.fixture(scope="session")
def crossing(walk):
    """Two people drawn in two colours who pass each other, one behind the other: pictures and true hips (2, T, 2)."""
    return drawn_crossing(walk)


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
