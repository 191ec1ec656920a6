# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion of all frames at once: nearer to the truth than the frames' own fits, calm, and quick where it must be."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from maquette.inference import Camera, runtime
from maquette.inference.geometry.rotations_torch import exponential, logarithm
from maquette.inference.people.clip import temporal
from maquette.inference.people.fit import observe as observation
from maquette.inference.people.fit import skeleton
from maquette.inference.people.fit.prior import attribute_prior, pose_prior
from maquette.inference.people.fit.solve import Problem, State, minimise
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.pose import PoseLandmarks

FPS, FRAMES = 25.0, 50
CAMERA = Camera(700, 700, 320, 240, 640, 480)
LANDMARKS = list(skeleton.LANDMARKS)
HIPS = [LANDMARKS.index(23), LANDMARKS.index(24)]
WRIST = LANDMARKS.index(15)


def _places(state: State) -> np.ndarray:
    """Landmarks (T, K, 3) from the hips."""
    posed = skeleton.pose_skeleton(state.rotations, state.translation, state.attributes)
    points = skeleton.place_markers(skeleton.landmark_markers(), posed, slopes=False)[0].numpy()
    return points - points[:, HIPS].mean(1, keepdims=True)


def _waving(frequency: float) -> State:
    """A left arm and a right leg that swing at `frequency` (Hz)."""
    swing = np.sin(2 * np.pi * frequency * np.arange(FRAMES) / FPS)
    turns = {"shoulder.L": 0.7 * swing, "elbow.L": 0.5 + 0.35 * swing}
    return _turned(turns | {"hip.R": 0.3 + 0.3 * swing, "knee.R": 0.5 + 0.3 * swing})


def _turned(turns: dict[str, np.ndarray]) -> State:
    """Groups of joints that turn about their first axis, by angles (FRAMES,)."""
    groups, axes = list(skeleton.GROUPS), pose_prior().axes.numpy()
    vectors = np.zeros((FRAMES, len(groups), 3))
    for group, angles in turns.items():
        axis = axes[groups.index(group)][0] * (-1 if group == "hip.R" else 1)
        vectors[:, groups.index(group)] = np.outer(angles, axis)
    translation = torch.zeros(FRAMES, 3, dtype=torch.float64)
    translation[:, 2] = 4
    attributes = attribute_prior()[0].expand(FRAMES, -1)
    return State(exponential(torch.from_numpy(vectors)), translation, attributes, torch.zeros(FRAMES).double())


def _observed(truth: State, seed: int = 0, noise: float = 3.0) -> observation.Observations:
    """What a network would see of it: `noise` px and 4 to 6 cm of noise, and of depth as little as it shows."""
    rng = np.random.default_rng(seed)
    posed = skeleton.pose_skeleton(truth.rotations, truth.translation, truth.attributes)
    points = skeleton.place_markers(skeleton.landmark_markers(), posed, slopes=False)[0].numpy()
    seen = []
    ones, zeros = np.ones(39), np.zeros(39)
    for places in points:
        pixels, world = np.zeros((39, 2)), np.zeros((39, 3))
        middle = places[HIPS].mean(0)
        pixels[33] = CAMERA.project(middle)
        ray = observation.viewing_ray((pixels[33] - [CAMERA.cx, CAMERA.cy]) / CAMERA.fx)
        pixels[LANDMARKS] = CAMERA.project(places) + rng.normal(0, noise, (len(LANDMARKS), 2))
        world[LANDMARKS] = (places - middle) @ ray + rng.normal(0, [0.04, 0.04, 0.06], (len(LANDMARKS), 3))
        region = Region(*pixels[33], 380.0)
        scores = {"score": 1.0, "score_min": 1.0, "spread": 0.0}
        spreads = {"sigma": zeros, "world_sigma": zeros, "agreement": ones}
        seen.append(
            PoseLandmarks(
                points=pixels,
                world=world,
                visibility=0.97 * ones,
                presence=ones,
                region=region,
                matrix=region.matrix,
                mask_logits=np.zeros((256, 256)),
                **scores,
                **spreads,
            )
        )
    observed = observation.observe(seen, [CAMERA] * len(seen))
    along = (torch.from_numpy(points) @ observed.ray[:, :, 2:])[..., 0] @ observation.DIFFERENCES.T
    off = torch.from_numpy(rng.normal(0, 1, along.shape)) * observed.depth_spread
    return replace(observed, depths=observation.DEPTH_SHARE * along + off)


def _fitted(truth: State, frames: np.ndarray, calm: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (T, K, 3) of the frames' own fits, bridged, and of the motion."""
    observed = _observed(truth).take(frames.tolist())
    own, _ = minimise(Problem(observed), truth.take(frames.tolist()), 6)
    start = temporal.bridge(own, frames, int(frames[0]), int(frames[-1]))
    motion = temporal.fit_motion(observed, start, frames, FPS, runtime.start("cpu"), calm)
    return _places(start), _places(motion)


def _error(places: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(places - truth, axis=-1).mean())


@pytest.mark.parametrize("frequency", [0.5, 2.0])
def test_the_motion_is_nearer_the_truth_and_keeps_its_swing(frequency):
    truth = _waving(frequency)
    own, motion = _fitted(truth, np.arange(FRAMES))
    places = _places(truth)
    assert _error(motion, places) < 0.7 * _error(own, places)
    swing = [np.linalg.norm(one[:, WRIST] - one[:, WRIST].mean(0), axis=-1).mean() for one in (motion, places)]
    assert swing[0] == pytest.approx(swing[1], rel=0.15)
    moving, moved = (one - one.mean(0) for one in (motion, places))  # where it is off throughout tells of no lag
    errors = [_error(np.roll(moving, -shift, 0)[5:-5], moved[5:-5]) for shift in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(errors)) == 2


def test_a_camera_that_shakes_shakes_nobody():
    """The path of somebody who stands and waves, in the axes of the first frame."""
    truth, time = _waving(0.5), np.arange(FRAMES) / FPS
    shaken = np.stack([np.sin(2 * np.pi * rate * time) for rate in (3.1, 4.7, 6.3)], 1)
    eyes = torch.eye(4).double().repeat(FRAMES, 1, 1)
    eyes[:, :3, :3] = exponential(torch.from_numpy(np.radians(1.5) * shaken))
    seen = temporal._carried(truth, torch.linalg.inv(eyes))
    assert torch.allclose(temporal._carried(seen, eyes).translation, truth.translation)
    observed, frames = _observed(seen, noise=1.0), np.arange(FRAMES)
    shakes = []
    for known in (None, eyes.numpy()):
        motion = temporal.fit_motion(observed, seen, frames, FPS, runtime.start("cpu"), 1.0, known)
        there = temporal._carried(motion, eyes)
        shakes.append(float(torch.diff(there.translation, dim=0).norm(dim=1).mean()) * FPS)
    assert shakes[1] < 0.06 and shakes[1] < 0.3 * shakes[0], "as little as before a camera that stands"
    assert _error(_places(motion), _places(seen)) < 0.02


def test_a_kick_goes_where_it_is_seen():
    """From the fits of every third frame, as a clip's motion is begun."""
    kick = np.exp(-(((np.arange(FRAMES) - 25) / FPS / 0.06) ** 2) / 2)
    truth = _turned({"hip.R": 1.3 * kick, "knee.R": 0.3 + 0.8 * np.roll(kick, -2)})
    observed, keys = _observed(truth, noise=1.0), np.arange(0, FRAMES, 3)
    own, _ = minimise(Problem(observed.take(keys.tolist())), truth.take(keys.tolist()), 6)
    start = temporal.bridge(own, keys, 0, FRAMES - 1)
    motion = temporal.fit_motion(observed, start, np.arange(FRAMES), FPS, runtime.start("cpu"))
    ankle = LANDMARKS.index(28)
    off = [np.linalg.norm(_places(one) - _places(truth), axis=-1)[15:35, ankle].mean() for one in (start, motion)]
    assert off[1] < 0.05 < 0.08 < off[0]


def test_a_hand_that_is_seen_does_not_hang_with_a_wrist_out_of_the_picture():
    observed = _observed(_turned({"elbow.L": np.full(FRAMES, 2.2)}).take(range(5)), noise=1.0)
    shown, hand = [LANDMARKS.index(k) for k in (0, 2, 5, 7, 8, 11, 12)], [LANDMARKS.index(k) for k in (17, 19, 21)]
    inside = torch.zeros_like(observed.inside)
    inside[:, shown + hand] = True
    observed = replace(observed, inside=inside, legs=0 * observed.legs)
    start = _turned({"elbow.L": np.full(FRAMES, 0.3)}).take(range(5))
    one, _ = minimise(Problem(observed), start, 1)
    assert ((one.translation - start.translation).abs() <= 0.1001 * start.translation[:, 2:]).all()
    fitted, _ = minimise(Problem(observed), start, 20)
    posed = skeleton.pose_skeleton(fitted.rotations, fitted.translation, fitted.attributes)
    places = skeleton.place_markers(skeleton.landmark_markers(), posed, slopes=False)[0].numpy()
    off = np.stack([CAMERA.project(one) for one in places])[:, hand] - observed.points.numpy()[:, hand]
    assert np.linalg.norm(off, axis=-1).mean() < 5


def _too_calm(frequency: float, frames: np.ndarray) -> float:
    """By how much more jerk than `temporal._JERK` is to be expected of somebody."""
    observed, rows = _observed(_waving(frequency), noise=1.0).take(frames.tolist()), torch.from_numpy(frames)
    spread, pace = temporal._spread(FPS, 1.0), np.ones((FRAMES - temporal.ORDER, 1))
    _, now = temporal._settled(observed, _waving(frequency), rows, spread, pace, 100, runtime.start("cpu"))
    return float(now.too_calm(100, FPS).mean())


def test_who_hardly_moves_is_expected_to_jerk_less_than_who_waves():
    every = np.arange(FRAMES)
    calm, lively = (_too_calm(frequency, every) for frequency in (0.3, 3.0))
    assert calm < 0.5 and lively > 0.9
    gap = _too_calm(0.3, np.setdiff1d(every, np.arange(20, 26)))
    assert gap == pytest.approx(calm, rel=0.15)


def test_more_calm_is_less_acceleration():
    truth = _waving(0.5)
    shaking = [
        np.linalg.norm(np.diff(_fitted(truth, np.arange(FRAMES), calm)[1], 2, axis=0), axis=-1).mean()
        for calm in (0.1, 1.0, 10.0)
    ]
    assert shaking[0] > shaking[1] > shaking[2]


def test_a_long_motion_is_solved_for_in_windows_as_in_one(monkeypatch):
    long = [_waving(0.5), _waving(2.0), _waving(0.5), _waving(2.0)]
    truth = State(*(torch.cat(parts) for parts in zip(*(vars(one).values() for one in long), strict=True)))
    frames = np.setdiff1d(np.arange(len(truth.rotations)), np.arange(70, 90))
    observed = _observed(truth).take(frames.tolist())
    now = temporal._Linear(observed, truth, torch.from_numpy(frames), temporal._spread(FPS, 1.0))
    whole = now.solve(now.gradient, 1e-3, 100)
    monkeypatch.setattr(temporal, "WINDOW", 40)
    assert np.abs(now.solve(now.gradient, 1e-3, 80) - whole).max() < 1e-9
    assert np.abs(now.solve(now.gradient, 1e-3, 5) - whole).max() > 1e-6


def test_a_gap_is_bridged_by_the_motion():
    truth = _waving(0.5)
    frames = np.setdiff1d(np.arange(FRAMES), np.arange(20, 28))
    bridged, motion = _fitted(truth, frames)
    places, gap = _places(truth), slice(20, 28)
    assert len(motion) == FRAMES
    assert _error(motion[gap], places[gap]) < 0.9 * _error(bridged[gap], places[gap])


def test_bridging_takes_the_shortest_way():
    truth = _waving(0.5)
    frames = np.array([10, 14, 20])
    poses = temporal.bridge(truth.take(frames.tolist()), frames, 8, 22)
    assert len(poses.rotations) == 15
    assert torch.equal(poses.rotations[6], truth.rotations[14])
    assert torch.equal(poses.rotations[0], truth.rotations[10])
    assert torch.equal(poses.rotations[14], truth.rotations[20])
    halfway = logarithm(poses.rotations[4].transpose(-1, -2) @ truth.rotations[14])
    whole = logarithm(truth.rotations[10].transpose(-1, -2) @ truth.rotations[14])
    assert torch.allclose(2 * halfway, whole, atol=1e-9)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_motion_of_few_frames_stays_as_it_is(frames):
    truth = _waving(0.5).take(range(frames))
    observed = _observed(truth)
    fitted = temporal.fit_motion(observed, truth, np.arange(frames), FPS, runtime.start("cpu"))
    assert fitted is truth


@pytest.mark.parametrize("frames", [4, 6, 11])
def test_the_coupled_system_is_solved_as_a_dense_one_is(frames):
    rng, size = np.random.default_rng(frames), 5
    factors = rng.normal(size=(frames, size, size))
    blocks = factors @ factors.transpose(0, 2, 1) + 8 * np.eye(size)
    coupling = rng.uniform(-1, 1, (3, frames, size))
    dense = np.zeros((frames, size, frames, size))
    for t in range(frames):
        dense[t, :, t] = blocks[t]
        for lag in range(1, min(3, t) + 1):
            dense[t, np.arange(size), t - lag, np.arange(size)] = coupling[lag - 1, t]
            dense[t - lag, np.arange(size), t, np.arange(size)] = coupling[lag - 1, t]
    right = rng.normal(size=(frames, size))
    expected = np.linalg.solve(dense.reshape(frames * size, -1), right.ravel()).reshape(frames, size)
    assert np.allclose(temporal.solve_coupled(blocks, coupling, right), expected)
