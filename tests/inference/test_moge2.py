# SPDX-License-Identifier: GPL-3.0-or-later
"""MoGe-2 with synthetic weights, stage by stage against what the reference made with the same.

golden/moge2_*.npz: `vits_a` square photos, `vits_b` upright ones, `vitl_l` the large network, `solver` the lens alone.
Each variant's size, tokens and strides are in `params_json`. Those that take longest are run by --full.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from maquette import inference
from maquette.inference.models import moge2
from maquette.inference.models.moge2 import lens, network
from maquette.inference.registry import find_model
from maquette.inference.runtime import start

GOLDEN = Path(__file__).parent / "golden"
MODELS = {"vits_a": "small", "vits_b": "small", "vitl_l": "large"}
FULL = pytest.mark.full
VARIANTS = [
    pytest.param("vits_a", 0, marks=FULL), pytest.param("vits_a", 1, marks=FULL), pytest.param("vits_a", 3),
    pytest.param("vits_b", 0, marks=FULL), pytest.param("vits_b", 1), pytest.param("vitl_l", 0, marks=FULL),
]  # fmt: skip


class Case:
    """A variant of a golden file: its photo, its numbers and what made them."""

    def __init__(self, name: str, number: int, synthetic) -> None:
        content = dict(np.load(GOLDEN / f"moge2_{name}.npz"))
        params = json.loads(str(content["params_json"]))["variants"][number]
        self.values = {key[3:]: value for key, value in content.items() if key.startswith(f"v{number}_")}
        self.params, self.name = params, MODELS[name]
        self.pixels = content["image"].repeat(params["repeat"], 0).repeat(params["repeat"], 1)
        self.tokens = params["num_tokens"] or int(1200 + params["resolution_level"] / 9 * 2400)
        self.models = synthetic(f"moge-2-vit{self.name[0]}")
        self.run = start("cpu", models_dir=self.models, model=find_model("depth", f"moge-2-{self.name}"))

    @property
    def fx(self) -> float | None:
        angle = self.params["fov_x"]
        return angle and self.pixels.shape[1] / 2 / math.tan(math.radians(angle) / 2)

    def close(self, key: str, found, tolerance: float) -> None:
        np.testing.assert_allclose(np.asarray(found), self.values[key], rtol=0, atol=tolerance, err_msg=key)


@pytest.fixture(scope="module", autouse=True)
def _forget():
    yield
    inference.free_memory()


@pytest.mark.parametrize(("name", "number"), VARIANTS)
def test_networks_and_maps(name, number, synthetic) -> None:
    case = Case(name, number, synthetic)
    stride = case.params["stride_head"]
    picture = moge2._picture(case.pixels, case.tokens)
    assert list(picture.shape[1:]) == case.params["net_input"]
    if "net_input" in case.values:
        case.close("net_input", picture[:, :: 2 * stride + 1, :: 2 * stride + 1], 1e-5)
    if "encoder" in case.values:
        _stages(case, picture)
    ((_, answer),) = moge2.surfaces([inference.Photo(case.pixels)], case.run, {"tokens": case.tokens, "resolution": 64})
    if "raw_points" in case.values:
        case.close("raw_points", np.moveaxis(answer.points, -1, 0)[:, ::stride, ::stride], 2e-4)
        case.close("raw_normal", np.moveaxis(answer.normals, -1, 0)[:, ::stride, ::stride], 5e-4)
        case.close("raw_mask", answer.mask[None, ::stride, ::stride], 5e-4)
    case.close("metric_scale", [math.exp(answer.scale)], 5e-5)


@torch.inference_mode()
def _stages(case: Case, picture) -> None:
    net = moge2.kept_network(case.run)
    width = net.encoder.backbone.embed_dim
    for number, tokens in enumerate(net.encoder.tokens(picture[None])):
        case.close(f"tokens_{number}", tokens[0, 1::29, :: width // 24], 5e-4)
    features, token = net.encoder(picture[None])
    case.close("cls", token[0], 5e-4)
    case.close("encoder", features[0, :: width // 12, ::5, ::5], 5e-4)
    aspect = case.pixels.shape[1] / case.pixels.shape[0]
    neck = net.neck(net.inputs(features, aspect))
    points = net.points_head(neck)
    for level in range(5):
        step = 3 * 2**level + (level > 0)
        case.close(f"neck_{level}", neck[level][0, :: neck[level].shape[1] // 8, ::step, ::step], 5e-4)
        if level < 4:
            every = points[level].shape[1] // 6
            case.close(f"points_stage_{level}", points[level][0, ::every, ::step, ::step], 5e-4)


@pytest.mark.parametrize(("name", "number"), [*VARIANTS, pytest.param("vits_b", 2)])
def test_metres_and_lens_of_a_photo(name, number, synthetic) -> None:
    """What the public function returns, with the lens found or given."""
    case = Case(name, number, synthetic)
    step = case.params["stride_image"]
    options = {"tokens": case.tokens, "device": "cpu", "models_dir": case.models}
    found = inference.estimate_depth(case.pixels, f"moge-2-{case.name}", fx=case.fx, **options)
    height, width = case.pixels.shape[:2]
    intrinsics = np.array([[found.camera.fx / width, 0, 0.5], [0, found.camera.fy / height, 0.5], [0, 0, 1]])
    case.close("intrinsics", intrinsics, 1e-3)
    assert found.camera.source == ("given" if case.fx else "model") and found.metric
    expected = np.unpackbits(case.values["mask"])[: math.prod(case.params["mask_shape"])]
    expected = expected.reshape(case.params["mask_shape"]).astype(bool)
    seen = found.valid[::step, ::step]
    assert (seen != expected).mean() <= 5e-4 and abs(found.valid.mean() - case.params["mask_share"]) < 5e-4
    depth = case.values["points"][..., 2]
    both = seen & expected
    np.testing.assert_allclose(found.depth[::step, ::step][both], depth[both], rtol=0, atol=3e-3)
    assert (found.depth[~found.valid] == 0).all()
    if "normal" in case.values and found.normals is not None:
        apart = np.abs(found.normals[::step, ::step][both] - case.values["normal"][both])
        assert apart.max() < 5e-3 and apart.mean() < 1e-5
    normals = inference.estimate_normals(case.pixels, f"moge-2-{case.name}", **options)
    np.testing.assert_array_equal(normals.normals, found.normals)


def _grid_case(case):
    """The made-up points of the solver's cases, as the golden data were made."""
    height, width = case["size"]
    u, v = lens.places(height, width).astype(np.float64).transpose(2, 0, 1)
    row, column = np.indices((height, width))
    depth = 2 + 0.5 * np.sin(5 * u + case["seed"]) + 0.4 * np.cos(7 * v) + 0.3 * v
    noise = case["noise"] * np.sin(12.9898 * row + 78.233 * column + case["seed"])
    flat = (depth / case["focal"] * (1 + noise))[..., None]
    points = np.concatenate([np.stack([u, v], -1) * flat, (depth - case["shift"])[..., None]], -1)
    masks = {0: np.ones((height, width), bool), 1: noise + depth > 1.9, 2: np.zeros((height, width), bool)}
    return points.astype(np.float32), masks[case["masked"]]


def test_lens_and_shift() -> None:
    golden = np.load(GOLDEN / "moge2_solver.npz")
    for number, case in enumerate(json.loads(str(golden["params_json"]))):
        points, mask = _grid_case(case)
        if f"c{number}_points" in golden:
            np.testing.assert_allclose(points[::7, ::7], golden[f"c{number}_points"], rtol=0, atol=1e-6)
        focal, shift = lens.solve(points, mask, case["given"])
        assert focal == pytest.approx(float(golden[f"c{number}_focal"]), abs=1e-4), number
        assert shift == pytest.approx(float(golden[f"c{number}_shift"]), abs=1e-4), number


def test_the_shift_leaves_every_point_in_front() -> None:
    """Where the solver steps over the nearest point it starts again from the near side."""
    u, v = lens.places(64, 64).astype(np.float64).transpose(2, 0, 1)
    depth = 0.3 + 8 * (u + 0.8) ** 2
    points = np.stack([u * depth / 0.8, v * depth / 0.8, depth + 4.0], -1).astype(np.float32)
    focal, shift = lens.solve(points, np.ones((64, 64), bool))
    assert (points[..., 2] + shift > 0).all() and focal == pytest.approx(0.8, rel=0.02)


def test_many_photos_and_both_tasks_use_one_pass(synthetic) -> None:
    """An own lens is kept, and depth scales with nothing but the points."""
    models = synthetic("moge-2-vits")
    generator = np.random.default_rng(5)
    photos = [generator.integers(0, 255, (48, 96, 3), np.uint8), generator.integers(0, 255, (96, 48, 3), np.uint8)]
    options = {"tokens": 256, "device": "cpu", "models_dir": models}
    maps = list(inference.batch.estimate_depth(photos, "moge-2-small", **options))
    assert [one.depth.shape for one in maps] == [(48, 96), (96, 48)]
    alone = inference.estimate_depth(photos[1], "moge-2-small", **options)
    np.testing.assert_allclose(alone.depth, maps[1].depth, atol=1e-4)
    camera = inference.Camera(70, 70, 24, 48, 48, 96, "exif")
    own = inference.estimate_depth(inference.Photo(photos[1], camera), "moge-2-small", **options)
    assert own.camera == camera
    with pytest.raises(inference.MaquetteError, match="tokens must be"):
        inference.estimate_depth(photos[0], "moge-2-small", tokens=10)


def test_sizes_of_the_networks_picture() -> None:
    photo = torch.zeros(3, 540, 405)
    assert network.network_picture(photo, 2533).shape == (3, 58 * 14, 44 * 14)
    assert network.network_picture(torch.zeros(3, 10, 4000), 256).shape[1:] == (14, 14 * 320)
