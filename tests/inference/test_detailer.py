# SPDX-License-Identifier: GPL-3.0-or-later
"""The detailer as it is used: what it keeps, what it does by default, bad input, cancelling, and real pipelines."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import detailer
from maquette.inference.detailer import hooks
from maquette.inference.detailer.sampling.masked import SAMPLERS

PHOTO = inference.load_photo(sample_photo("brick")).pixels[:160, :200]
QUICK = {"steps": 2, "guide_size": 64, "max_size": 96, "crop_factor": 1.3, "device": "cpu"}


@pytest.fixture
def mask():
    """Two parts and a crumb."""
    mask = np.zeros(PHOTO.shape[:2], np.float32)
    mask[40:80, 30:70] = 1
    mask[100:140, 120:170] = 0.5
    mask[5:8, 5:8] = 1
    return mask


class Painter:
    """Paints everything in one colour, and remembers what it was asked."""

    def __init__(self, value=0.25):
        self.value, self.crops, self.masks, self.seeds = value, [], [], []

    def repaint(self, crop, noise_mask, *, seed, settings):
        self.crops.append(crop)
        self.masks.append(noise_mask)
        self.seeds.append(seed)
        return np.full_like(crop, self.value)


def detail(mask, model=None, photo=PHOTO, **given):
    return detailer.detail_mask(photo, mask, model or Painter(), **{"device": "cpu", **given})


def test_outside_the_feather_every_pixel_stays(mask):
    found = detail(mask, feather=3)
    same = (found.image[0] == PHOTO.astype(np.float32) / 255).all(axis=2)
    assert same[:30].all() and same[:, :20].all() and not same[60, 50]
    np.testing.assert_allclose(found.image[0, 60, 50], 0.25, atol=1e-6)


def test_alpha_and_floats_beyond_white_stay(mask):
    photo = np.dstack([PHOTO.astype(np.float32) / 60, np.linspace(0, 1, PHOTO[..., 0].size).reshape(PHOTO.shape[:2])])
    photo = photo.astype(np.float32)
    found = detail(mask, photo=photo)
    assert found.image.shape == (1, *photo.shape)
    np.testing.assert_array_equal(found.image[0, ..., 3], photo[..., 3])
    np.testing.assert_array_equal(found.image[0, :20], photo[:20])
    assert photo[:20, :, :3].max() > 1


def test_crops_are_multiples_of_eight_and_no_larger_than_asked(mask):
    painter = Painter()
    found = detail(mask, painter, guide_size=100, max_size=150, crop_factor=2.7)
    for crop in painter.crops:
        assert crop.shape[0] % 8 == crop.shape[1] % 8 == 0 and max(crop.shape) <= 150
    done = [one for one in found.segments if not one.skipped]
    assert [one.refined.shape[:2] for one in done] == [(c[3] - c[1], c[2] - c[0]) for c in (one.crop for one in done)]


def test_what_is_larger_than_max_size_is_worked_on_smaller():
    painter = Painter()
    found = detail(np.ones(PHOTO.shape[:2]), painter, max_size=64)
    assert max(painter.crops[0].shape) <= 64 and found.segments[0].scale < 0.5
    np.testing.assert_allclose(found.image, 0.25, atol=1e-5)


def test_a_crumb_is_left_out_and_said_so(mask):
    skipped = [one for one in detail(mask).segments if one.skipped]
    assert len(skipped) == 1 and "9 pixels" in skipped[0].skipped


def test_a_thin_stroke_is_no_crumb():
    mask = np.zeros(PHOTO.shape[:2])
    mask[50:54, 10:190] = 1
    assert not detail(mask).segments[0].skipped


def test_a_soft_mask_stays_soft(mask):
    found = detail(mask, feather=0, mask_mode=False)
    expected = 0.5 * 0.25 + 0.5 * PHOTO[120, 145].astype(np.float32) / 255
    np.testing.assert_allclose(found.image[0, 120, 145], expected, atol=0.01)


def test_no_seam_where_the_mask_fills_its_crop():
    mask = np.zeros(PHOTO.shape[:2])
    mask[60:100, 60:100] = 1
    found = detail(mask, crop_factor=1.0, feather=8, guide_size=64)
    edge = found.segments[0].alpha[..., 3]
    assert edge[0].max() < 0.1 and edge[:, -1].max() < 0.1 and edge.max() > 0.9


def test_seeds_follow_the_place(mask):
    both, alone = Painter(), Painter()
    detail(mask, both, seed=5)
    only = mask.copy()
    only[:90] = 0
    detail(only, alone, seed=5)
    assert len(set(both.seeds)) == 2 and alone.seeds[0] in both.seeds
    other = Painter()
    detail(mask, other, seed=6, batch_size=2)
    assert len(set(other.seeds) | set(both.seeds)) == 6


def test_several_pictures_and_cycles(mask):
    painter = Painter()
    found = detail(mask, painter, batch_size=2, cycle=3)
    assert found.image.shape[0] == 2 and len(painter.seeds) == len(set(painter.seeds)) == 12
    assert sorted({one.batch for one in found.segments}) == [0, 1]


def test_a_hook_is_asked_in_its_order(mask):
    said = []

    class Tell:
        def __getattr__(self, name):
            if name.startswith("_") or not hasattr(hooks.Hook, name):
                raise AttributeError(name)

            def method(*arguments):
                said.append(name)
                return arguments if len(arguments) > 1 else arguments[0]

            return method

    mask[90:] = 0
    detail(mask, hook=Tell(), cycle=2)
    once = ["set_steps", "cycle_latent", "pre_ksample"]
    assert said == ["touch_scaled_size", "post_encode", *once, *once, "pre_decode", "post_decode", "post_paste"]


@pytest.mark.parametrize("empty", [np.zeros((160, 200)), np.zeros((160, 200), bool), np.full((160, 200), 1e-4)])
def test_nothing_to_do(empty):
    painter = Painter()
    found = detail(empty, painter)
    assert not painter.seeds and not found.segments
    np.testing.assert_array_equal(found.image[0], PHOTO.astype(np.float32) / 255)


def test_a_mask_of_another_size_is_brought_to_the_photos(mask):
    large = np.kron(mask, np.ones((2, 2), np.float32))
    np.testing.assert_allclose(detail(large).image, detail(mask).image, atol=0.06)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mask": np.zeros((160, 100))},
        {"mask": np.zeros((3, 160, 200))},
        {"mask": np.full((160, 200), 7.0)},
        {"mask": np.full((160, 200), np.nan)},
        {"photo": np.zeros((2, 160, 200, 3))},
        {"photo": np.full((160, 200, 3), np.nan, np.float32)},
        {"denoise": 0.0},
        {"denoise": 1.01},
        {"steps": 0},
        {"steps": 10001},
        {"steps": 2.5},
        {"cfg": -1},
        {"seed": -1},
        {"seed": 2**64},
        {"feather": 101},
        {"crop_factor": 0.5},
        {"batch_size": 0},
        {"cycle": 11},
        {"guide_size": float("nan")},
        {"sampler": "fastest"},
        {"scheduler": "none"},
        {"guide_size_for": "face"},
        {"model": 7},
        {"control": np.zeros((160, 100, 3), np.uint8)},
    ],
    ids=str,
)
def test_bad_input_is_one_clear_sentence(mask, wrong):
    given = {"photo": PHOTO, "mask": mask, "model": Painter(), **wrong}
    with pytest.raises(inference.MaquetteError) as raised:
        detailer.detail_mask(given.pop("photo"), given.pop("mask"), given.pop("model"), device="cpu", **given)
    assert raised.value.remedy


@pytest.mark.parametrize("answer", [np.nan, None])
def test_an_answer_that_is_no_picture(mask, answer):
    class Wrong:
        def repaint(self, crop, noise_mask, *, seed, settings):
            return np.full_like(crop, answer) if answer is not None else crop[..., 0]

    with pytest.raises(inference.MaquetteError, match="answered"):
        detail(mask, Wrong())


def test_cancelling_keeps_what_is_finished(mask):
    def stop(share, text):
        if "part 2" in text:
            raise inference.Cancelled

    with pytest.raises(inference.Cancelled) as raised:
        detail(mask, progress=stop)
    finished = raised.value.finished
    np.testing.assert_allclose(finished.image[0, 60, 50], 0.25, atol=1e-6)
    np.testing.assert_array_equal(finished.image[0, 90:], PHOTO[90:].astype(np.float32) / 255)


def test_the_built_in_filling(mask):
    mask[90:] = 0
    found = detailer.detail_mask(PHOTO, mask, denoise=1.0, feather=2, device="cpu")
    again = detailer.detail_mask(PHOTO, mask, denoise=1.0, feather=2, device="cpu")
    other = detailer.detail_mask(PHOTO, mask, denoise=1.0, feather=2, seed=1, device="cpu")
    np.testing.assert_array_equal(found.image, again.image)
    inside = found.image[0, 45:75, 35:65]
    assert not np.array_equal(inside, other.image[0, 45:75, 35:65])
    photo = PHOTO.astype(np.float32) / 255
    assert np.abs(inside.mean((0, 1)) - photo[45:75, 35:65].mean((0, 1))).max() < 0.12
    assert inside.std() > 0.5 * photo.std() * 0.3
    everything = detailer.detail_mask(PHOTO, np.ones(PHOTO.shape[:2]), device="cpu")
    assert np.isfinite(everything.image).all()


KINDS = ("sd4", "sd9", "cn", "xl4", "xl9")


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """Random pipelines of all kinds, as folder and as single file: kind -> (folder, file)."""
    root = tmp_path_factory.mktemp("pipelines")
    script = str(Path(__file__).parent / "synth" / "tiny_pipelines.py")
    run = "import runpy, sys\nfor kind in sys.argv[3:]:\n"
    run += "    sys.argv[1:3] = [kind, ROOT + kind]\n    runpy.run_path(SCRIPT, run_name='__main__')\n"
    run = run.replace("SCRIPT", repr(script)).replace("ROOT", repr(f"{root}{os.sep}"))
    subprocess.run([sys.executable, "-c", run, "", "", *KINDS], check=True, capture_output=True)
    yield {kind: (root / kind / kind, root / kind / f"{kind}.safetensors") for kind in KINDS}
    inference.free_memory()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_pipeline_from_folder_and_file(mask, pipelines, kind):
    folder, file = pipelines[kind]
    given = {**QUICK, "seed": 3, "prompt": "bricks", "control": PHOTO if kind == "cn" else None}
    found = detailer.detail_mask(PHOTO, mask, folder, **given)
    again = detailer.detail_mask(PHOTO, mask, folder, **given)
    np.testing.assert_array_equal(found.image, again.image)
    assert not np.array_equal(found.image, detailer.detail_mask(PHOTO, mask, folder, **{**given, "seed": 4}).image)
    np.testing.assert_array_equal(found.image[0, :, 190:], PHOTO[:, 190:].astype(np.float32) / 255)
    alone = detailer.Checkpoint(file, config=folder, controlnet=folder / "controlnet" if kind == "cn" else None)
    np.testing.assert_allclose(detailer.detail_mask(PHOTO, mask, alone, **given).image, found.image, atol=1e-3)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_sampler_runs_a_pipeline(mask, pipelines, sampler):
    mask[90:] = 0
    found = detailer.detail_mask(PHOTO, mask, pipelines["sd4"][0], sampler=sampler, **{**QUICK, "steps": 3})
    assert np.isfinite(found.image).all()
    assert not np.array_equal(found.image[0, 60, 50], PHOTO[60, 50].astype(np.float32) / 255)


def test_a_refiner_takes_the_last_steps(mask, pipelines):
    given = {**QUICK, "steps": 4, "noise_mask_feather": 0}  # above 0, either model has its own order of greys
    folder = pipelines["sd4"][0]
    alone = detailer.detail_mask(PHOTO, mask, folder, **given)
    refined = detailer.detail_mask(PHOTO, mask, folder, refiner=pipelines["sd9"][0], refiner_ratio=0.5, **given)
    same = detailer.detail_mask(PHOTO, mask, folder, refiner=folder, refiner_ratio=0.5, **given)
    np.testing.assert_allclose(same.image, alone.image, atol=1e-4)
    assert np.abs(refined.image - alone.image).max() > 0.01


def test_a_long_run_is_stopped_inside_a_part(mask, pipelines):
    steps = []

    def stop(share, text):
        steps.append(text)
        if text == "Step 3":
            raise inference.Cancelled

    with pytest.raises(inference.Cancelled):
        detailer.detail_mask(PHOTO, mask, pipelines["sd4"][0], progress=stop, **{**QUICK, "steps": 10000})
    assert "Step 4" not in steps


def test_files_that_are_no_model(mask, tmp_path, pipelines):
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.safetensors").write_bytes(os.urandom(100))
    (tmp_path / "model.ckpt").write_bytes(b"x")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    for model, error in (
        (tmp_path / "nowhere", inference.MissingModel),
        (tmp_path / "empty", inference.BadModelFile),
        (tmp_path / "model.ckpt", inference.BadModelFile),
        (tmp_path / "noise.safetensors", inference.BadModelFile),
        (detailer.Checkpoint(tmp_path / "noise.safetensors", config=pipelines["sd4"][0]), inference.BadModelFile),
        (broken, inference.BadModelFile),
    ):
        with pytest.raises(error) as raised:
            detailer.detail_mask(PHOTO, mask, model, **QUICK)
        assert raised.value.remedy
