# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth Anything 3 with made-up weights, against what its own package (`depth-anything-3` 0.1.1, in 32 bits) made with
the same of the photo of golden/moge2_vits_a.npz: golden/da3.npz.

"cut" is the metric network with the encoder of the small one, so that what it alone does is tested in every run.
"""

from pathlib import Path

import numpy as np
import pytest
from maquette import inference
from maquette.inference.errors import BadModelFile
from maquette.inference.models import da3
from maquette.inference.models.da3.network import SIZES, Size
from maquette.inference.photo import Clip
from maquette.inference.registry import find_model
from maquette.inference.runtime import start

GOLDEN = np.load(Path(__file__).parent / "golden" / "da3.npz")
IMAGE = np.load(Path(__file__).parent / "golden" / "moge2_vits_a.npz")["image"]
PHOTOS = {
    "wide": IMAGE[:98, :252].repeat(2, 0).repeat(2, 1),  # 504 x 196, as the network sees it
    "tall": IMAGE[:, :77].repeat(3, 0).repeat(3, 1),
    "other": IMAGE[100:198, :252].repeat(2, 0).repeat(2, 1),
}
MODELS = {"da3-small": "da3-small", "da3-base": "da3-base", "cut": "da3-metric", "da3metric-large": "da3-metric"}
FULL = pytest.mark.full
#: Every so many pixels of the maps are kept.
STEP = 7


@pytest.fixture(scope="module", autouse=True)
def _forget():
    yield
    inference.free_memory()


@pytest.fixture
def models(synthetic, monkeypatch):
    """A function: a name of `MODELS` -> root of its file."""

    def root(name):
        if name != "cut":
            return synthetic(name)
        monkeypatch.setitem(
            SIZES, "large", Size("vit_small_patch14_dinov2", (2, 5, 8, 11), (48, 96, 192, 384), 64, None)
        )
        return synthetic("small/da3") / "small"

    return root


def run_of(name, root):
    return start("cpu", models_dir=root, model=find_model("depth", MODELS[name]))


@pytest.mark.parametrize(
    ("name", "photo"),
    [
        ("da3-small", "wide"), ("da3-small", "tall"), ("cut", "tall"), pytest.param("da3-base", "wide", marks=FULL),
        pytest.param("da3-base", "tall", marks=FULL), pytest.param("da3metric-large", "wide", marks=FULL),
    ],
)  # fmt: skip
def test_what_the_network_says(name, photo, models) -> None:
    want = {key.rsplit("_", 1)[1]: GOLDEN[key] for key in GOLDEN if key.startswith(f"{name}_{photo}_")}
    picture = da3.network_picture(PHOTOS[photo])
    assert list(picture.shape[1:]) == list(want["size"])
    np.testing.assert_allclose(picture[:, ::31, ::31], want["picture"][0], atol=1e-6)
    (answer,) = da3.answers([inference.Photo(PHOTOS[photo])], run_of(name, models(name)))
    np.testing.assert_allclose(answer.depth[::STEP, ::STEP], want["depth"][0], rtol=1e-5)
    if "sky" in want:
        assert answer.sky is not None and answer.angles is None
        np.testing.assert_allclose(answer.sky[::STEP, ::STEP], want["sky"][0], atol=1e-5)
    else:
        assert answer.sky is None and answer.angles is not None
        np.testing.assert_allclose(answer.angles, want["camera"][0, 7:], rtol=1e-5)


def test_metres_are_in_proportion_to_the_lens_and_sky_is_no_surface(models) -> None:
    options = {"models_dir": models("cut"), "device": "cpu"}
    found = inference.estimate_depth(PHOTOS["wide"], "da3-metric", fx=400, fy=440, **options)
    depth, sky = GOLDEN["cut_wide_depth"][0], GOLDEN["cut_wide_sky"][0]
    ground = sky < 0.3
    assert 0.1 < ground.mean() < 0.9 and found.metric and found.camera.source == "given"
    np.testing.assert_array_equal(found.valid[::STEP, ::STEP], ground)
    np.testing.assert_allclose(found.depth[::STEP, ::STEP], np.where(ground, depth * 420 / 300, 0), rtol=1e-5)
    # the same photo at twice the size: its lens has twice the pixels, what is seen lies as far
    twice = inference.estimate_depth(PHOTOS["wide"].repeat(2, 0).repeat(2, 1), "da3-metric", fx=800, fy=880, **options)
    both = twice.valid[::2, ::2] & found.valid
    assert (twice.valid[::2, ::2] == found.valid).mean() > 0.99
    assert np.median(twice.depth[::2, ::2][both] / found.depth[both]) == pytest.approx(1, rel=5e-3)


def test_a_relative_depth_is_its_inverse_as_a_height(models) -> None:
    options = {"models_dir": models("cut"), "device": "cpu"}
    found = inference.estimate_depth(PHOTOS["wide"], "da3-mono", **options)
    depth, ground = GOLDEN["cut_wide_depth"][0], GOLDEN["cut_wide_sky"][0] < 0.3
    assert not found.metric and found.camera.source == "default"
    np.testing.assert_array_equal(found.valid[::STEP, ::STEP], ground)
    height = found.depth[::STEP, ::STEP]
    assert found.depth.max() == 1 and (height[~ground] == 0).all()
    share = height[ground] * depth[ground]  # the sky is at infinity, so that heights are in proportion to 1 / depth
    np.testing.assert_allclose(share, share[0], rtol=1e-5)


def test_the_lens_of_a_photo_that_does_not_say_its_own(models) -> None:
    options = {"models_dir": models("da3-small"), "device": "cpu"}
    found = inference.estimate_depth(PHOTOS["wide"], "da3-small", **options)
    matrix = GOLDEN["da3-small_wide_intrinsics"][0]
    assert found.camera.source == "model" and not found.metric and found.valid.all()
    assert found.camera.fx == found.camera.fy == pytest.approx((matrix[0, 0] + matrix[1, 1]) / 2, rel=1e-5)
    camera = inference.Camera(700, 700, 252, 98, 504, 196, "exif")
    own = inference.estimate_depth(inference.Photo(PHOTOS["wide"], camera), "da3-small", **options)
    assert own.camera == camera
    np.testing.assert_array_equal(own.depth, found.depth)
    frames = [inference.Photo(PHOTOS[name], name=name) for name in ("wide", "other")]
    clip = Clip("clip", 2, 24.0, lambda: iter(frames))
    assert [one.camera.fx for one in inference.batch.estimate_depth(clip, "da3-small", **options)] == [
        found.camera.fx
    ] * 2


def test_metres_through_the_lens_that_a_smaller_network_finds(models, synthetic, tmp_path) -> None:
    (tmp_path / "da3metric-large").symlink_to(models("cut") / "da3metric-large")
    options = {"models_dir": tmp_path, "device": "cpu"}
    guessed = inference.estimate_depth(PHOTOS["wide"], "da3-metric", **options)
    assert guessed.camera.source == "default"
    (tmp_path / "da3-small").symlink_to(synthetic("da3-small") / "da3-small")
    camera = inference.Camera(700, 700, 252, 98, 504, 196, "exif")
    photos = [inference.Photo(PHOTOS["wide"], camera), inference.Photo(PHOTOS["wide"])]
    own, found = inference.batch.estimate_depth(photos, "da3-metric", **options)
    matrix = GOLDEN["da3-small_wide_intrinsics"][0]
    assert own.camera == camera and found.camera.source == "model" and found.model == "da3-metric"
    assert found.camera.fx == pytest.approx((matrix[0, 0] + matrix[1, 1]) / 2, rel=1e-5)
    np.testing.assert_allclose(found.depth / found.camera.fx, guessed.depth / guessed.camera.fx, rtol=1e-5)


@pytest.mark.parametrize("angles", [(0.0, 1.0), (1.0, 3.2)])
def test_a_lens_that_nobody_has_is_not_believed(angles, models, monkeypatch) -> None:
    answer = da3.Answer(np.ones((14, 28), np.float32), None, np.array(angles, np.float32))
    monkeypatch.setattr("maquette.inference.depth.da3.answers", lambda photos, run: [answer])
    found = inference.estimate_depth(IMAGE[:14, :28], "da3-small", models_dir=models("da3-small"), device="cpu")
    assert found.camera.source == "default"


@pytest.mark.parametrize("sky", [0.0, 5.0])
def test_a_photo_of_sky_alone_and_one_without_any(sky, models, monkeypatch) -> None:
    depth = np.linspace(1, 2, 14 * 28, dtype=np.float32).reshape(14, 28)
    answer = da3.Answer(depth, np.full((14, 28), sky, np.float32), None)
    monkeypatch.setattr("maquette.inference.depth.da3.answers", lambda photos, run: [answer])
    for model in ("da3-metric", "da3-mono"):
        found = inference.estimate_depth(IMAGE[:60, :120], model, models_dir=models("cut"), device="cpu")
        assert np.isfinite(found.depth).all() and found.valid.mean() == (sky == 0)


def test_sizes_of_the_networks_picture() -> None:
    assert da3.network_picture(np.zeros((3000, 4000, 3), np.uint8)).shape == (3, 378, 504)
    assert da3.network_picture(np.zeros((1, 1, 3), np.uint8)).shape == (3, 504, 504)
    assert da3.network_picture(np.zeros((4000, 10, 3), np.uint8)).shape == (3, 504, 14)


@pytest.mark.parametrize(
    ("file", "words"),
    [("da3-small", "another size"), ("small/da3metric-large", "lacks"), ("cut off", "cut|damaged|whole")],
)
def test_a_wrong_file_is_named(file, words, synthetic, tmp_path) -> None:
    place = tmp_path / "da3-base" / "model.safetensors"
    place.parent.mkdir()
    if file == "cut off":
        source = synthetic("da3-small") / "da3-small" / "model.safetensors"
        with source.open("rb") as whole:
            place.write_bytes(whole.read(1 << 20))
    else:
        place.symlink_to(synthetic(file) / file / "model.safetensors")
    with pytest.raises(BadModelFile, match=words) as told:
        inference.estimate_depth(IMAGE, "da3-base", models_dir=tmp_path, device="cpu")
    assert str(place) in told.value.message and told.value.remedy
