# SPDX-License-Identifier: GPL-3.0-or-later
"""The detailer as it is used: what it keeps, what it does by default, plans, bad input, cancelling, and the filling."""

import struct
import subprocess
import sys
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import detailer
from maquette.inference.detailer import hooks
from maquette.inference.detailer.fill import contour, structure
from maquette.inference.detailer.source import source_of
from maquette.inference.photo import exr
from PIL import Image

PHOTO = inference.load_photo(sample_photo("brick")).pixels[:160, :200]


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


@pytest.mark.parametrize("feather", [0, 1, 2, 5, 21])
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("compatibility", [False, True])
def test_the_feather_reaches_no_further_than_it_says(mask, feather, native, compatibility):
    """Of 8 bits and floats; what is under the mask is wholly gone where an engine closes it from around."""
    model = "builtin" if native else Painter()
    given = {"feather": feather, "compatibility": compatibility, "denoise": 1.0, "guide_size": 64, "drop_size": 1}
    reach = np.ones((2 * feather + 1,) * 2, np.uint8)
    for photo in (PHOTO, PHOTO.astype(np.float32) / 100 - 0.2):
        found = detail(mask, model, photo=photo, **given)
        before = photo / np.float32(255) if photo.dtype == np.uint8 else photo
        changed = (found.image[0] != before).any(-1)
        assert changed[mask == 1].mean() > 0.8
        assert not changed[cv2.dilate((mask > 0).astype(np.uint8), reach) == 0].any()
    if native and not compatibility:
        strengths = np.zeros(mask.shape, np.float32)
        for one in found.segments:
            x0, y0, x1, y1 = one.crop
            strengths[y0:y1, x0:x1] = np.maximum(strengths[y0:y1, x0:x1], one.alpha[..., 3])
        assert strengths[mask == 1].min() > 0.98


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
        {"mask_mode": "whole"},
        {"linear": 2},
        {"sampler": np.arange(2)},
        {"model": detailer.Checkpoint("")},
        {"model": detailer.Checkpoint(".", loras=["detail.safetensors"])},
        {"model": detailer.Checkpoint(".", loras=[("detail.safetensors", float("nan"))])},
        {"model": detailer.Checkpoint(".", controlnet=5)},
        {"refiner": 7},
        {"hook": SimpleNamespace(touch_scaled_size=lambda width, height: None)},
        {"hook": SimpleNamespace(touch_scaled_size=lambda width, height: (0, height))},
        {"hook": SimpleNamespace(post_paste=lambda picture: None)},
        {"model": SimpleNamespace(repaint=lambda crop, noise_mask, **_: "a picture")},
    ],
    ids=str,
)
def test_bad_input_is_one_clear_sentence(mask, wrong):
    given = {"photo": PHOTO, "mask": mask, "model": Painter(), **wrong}
    with pytest.raises(inference.MaquetteError) as raised:
        detailer.detail_mask(given.pop("photo"), given.pop("mask"), given.pop("model"), device="cpu", **given)
    assert raised.value.remedy


def test_a_plan_refuses_what_detailing_would(mask, tmp_path):
    for model in (7, None, tmp_path, detailer.Checkpoint("")):
        with pytest.raises(inference.MaquetteError):
            detailer.plan(PHOTO, mask, model)


def test_what_the_filling_does_not_use_is_said(mask):
    given = {"refiner": "nothing of this name", "control": PHOTO, "device": "cpu"}
    said = ("builtin uses no refiner.", "builtin uses no control picture.")
    assert detailer.detail_mask(PHOTO, mask, **given).notes[:2] == said
    assert detailer.plan(PHOTO, mask, **given).notes[:2] == said


@pytest.mark.parametrize("part", [np.s_[40:41, 60:61], np.s_[40:80, 60:61], np.s_[40:41, 30:90]])
def test_all_parts_as_one_that_is_one_pixel_wide(part):
    """The reference's box of it is empty."""
    mask = np.zeros((160, 200), np.float32)
    mask[part] = 1
    found = detail(mask, combined=True, compatibility=True)
    assert found.segments[0].skipped
    np.testing.assert_array_equal(found.image[0], PHOTO / np.float32(255))


@pytest.mark.parametrize("answer", [np.nan, None])
def test_an_answer_that_is_no_picture(mask, answer):
    class Wrong:
        def repaint(self, crop, noise_mask, *, seed, settings):
            return np.full_like(crop, answer) if answer is not None else crop[..., 0]

    with pytest.raises(inference.MaquetteError, match="returned"):
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


def test_what_cannot_be_filled_from_anything():
    """Masks that touch every border, and leave too little to take pieces from."""
    frame = np.ones(PHOTO.shape[:2])
    frame[78:82, 98:102] = 0
    for mask in (frame, np.ones(PHOTO.shape[:2])):
        found = detailer.detail_mask(PHOTO, mask, denoise=1.0, contour_fill=False, device="cpu")
        assert np.isfinite(found.image).all() and found.image.std() > 0.02


def test_the_filling_goes_on_with_what_is_around():
    """Stripes of two colours with grain: they run through the hole, at their place, and the grain is as strong."""
    rows = np.arange(200)
    picture = np.where((rows // 20 % 2)[:, None, None], [0.7, 0.3, 0.2], [0.2, 0.4, 0.7]) * np.ones((200, 240, 3))
    picture += np.random.default_rng(0).normal(0, 0.03, (200, 240, 1))
    picture = picture.clip(0, 1).astype(np.float32)
    damaged, mask = picture.copy(), np.zeros((200, 240))
    mask[70:130, 90:150] = 1
    damaged[mask > 0] = 0
    found = detailer.detail_mask(damaged, mask, denoise=1.0, device="cpu").image[0]
    inside = np.s_[72:128, 92:148]
    assert np.abs(found[inside] - picture[inside]).mean() < 0.06
    grain = found[82:98, 95:145]
    assert 0.02 < (grain - grain.mean((0, 1))).std() < 0.045


def test_less_denoise_keeps_the_forms():
    shaded = (np.linspace(0.2, 0.8, 200)[None, :, None] * np.ones((160, 200, 3))).astype(np.float32)
    shaded[60:100, 80:120] += 0.1
    mask = np.zeros((160, 200))
    mask[55:105, 75:125] = 1
    off = [
        np.abs(detailer.detail_mask(shaded, mask, denoise=denoise, device="cpu").image[0] - shaded).mean()
        for denoise in (0.0001, 0.2, 0.5, 1.0)
    ]
    assert off[0] < 1e-3 < off[3] and off == sorted(off)


def test_memory_that_runs_out_is_asked_once_more(mask):
    import torch

    class Hungry(Painter):
        def __init__(self, enough):
            super().__init__()
            self.enough, self.tiled = enough, []

        def repaint(self, crop, noise_mask, *, seed, settings):
            self.tiled.append(settings.state.tiled)
            if len(self.tiled) <= self.enough:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return super().repaint(crop, noise_mask, seed=seed, settings=settings)

    hungry = Hungry(1)
    found = detail(mask, hungry)
    assert hungry.tiled == [False, True, True] and "tiles" in found.notes[-1]
    np.testing.assert_array_equal(found.image, detail(mask).image)
    with pytest.raises(inference.OutOfMemory) as raised:
        detail(mask, Hungry(9))
    assert raised.value.remedy


def test_an_engines_own_error_is_not_taken_for_memory(mask):
    class Broken(Painter):
        def repaint(self, *arguments, **given):
            self.seeds.append(0)
            raise ZeroDivisionError

    broken = Broken()
    with pytest.raises(ZeroDivisionError):
        detail(mask, broken)
    assert len(broken.seeds) == 1


def test_a_plan_tells_what_will_be_done(mask):
    given = {"guide_size": 100, "max_size": 150, "crop_factor": 2.7}
    plan, painter = detailer.plan(PHOTO, mask, Painter(), **given), Painter()
    found = detail(mask, painter, **given)
    assert [(one.box, one.crop, one.work, one.scale, one.skipped) for one in plan.segments] == [
        (one.box, one.crop, one.work, one.scale, one.skipped) for one in found.segments
    ]
    assert [one.work[::-1] for one in plan.segments[1:]] == [crop.shape[:2] for crop in painter.crops]
    assert plan.calls == plan.weights == 0 and plan.memory > 0
    assert any("1 of 3 parts" in note for note in plan.notes) and any("below guide_size" in note for note in plan.notes)
    nothing = detailer.plan(PHOTO, None)
    assert not nothing.segments and "nothing to do" in nothing.notes[0]
    with pytest.raises(TypeError, match="stepps"):
        detailer.plan(PHOTO, mask, stepps=3)
    with pytest.raises(inference.BadInput):
        detailer.plan(PHOTO, mask, steps=0)


def test_a_plan_needs_no_torch():
    code = "import sys, numpy as np; from maquette.inference import detailer; m = np.eye(64)"
    code += "; detailer.plan(np.zeros((64, 64, 3), np.uint8), m); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_merged_parts_and_filled_boxes(mask):
    painter = Painter()
    found = detail(mask, painter, combined=True)
    done = [one for one in found.segments if not one.skipped]
    assert len(painter.crops) == 1 and done[0].box == (30, 40, 170, 140)
    np.testing.assert_allclose(found.image[0, 60, 50], 0.25, atol=1e-6)
    np.testing.assert_array_equal(found.image[0, 60, 145], PHOTO[60, 145].astype(np.float32) / 255)
    boxed = detail(mask, combined=True, bbox_fill=True)
    np.testing.assert_allclose(boxed.image[0, 60, 145], 0.25, atol=1e-6)


@pytest.mark.parametrize("fill", ["grey", "surroundings", "noise"])
def test_what_lies_under_the_mask_before(mask, fill):
    photo, painter = PHOTO.copy(), Painter()
    photo[40:80, 30:70] = 255
    detail(mask, painter, photo=photo, fill=fill, noise_mask_feather=0, guide_size=64)
    crop, under = painter.crops[0], painter.masks[0]
    inside = crop[np.rint(cv2.resize(under, crop.shape[1::-1])) > 0]
    if fill == "grey":
        np.testing.assert_allclose(np.median(inside), 0.5, atol=0.01)
    else:
        assert np.median(inside) < 0.8  # the white square is gone
    assert (fill == "noise") == (inside.std() > 0.1)
    with pytest.raises(inference.MaquetteError):
        detail(mask, fill="rainbow")


def test_colours_that_a_model_shifts_are_led_back(mask):
    class Shifting(Painter):
        def repaint(self, crop, noise_mask, *, seed, settings):
            return np.clip(crop * 0.9 + 0.06, 0, 1)

    photo = PHOTO.astype(np.float32) / 255
    plain, led = (detail(mask, Shifting(), match_colours=on).image[0] - photo for on in (False, True))
    assert np.abs(led).max() < 0.3 * np.abs(plain).max()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_light_and_grain_go_on_under_the_mask(mask, depth):
    """A model that smooths, darkens and tints from left to right: on a flat wall, mean and spread stay."""
    level = 1 / 255
    wall = 0.5 + np.random.default_rng(0).normal(0, 4 * level, (*mask.shape, 3))
    top = 1 if depth is np.float32 else np.iinfo(depth).max
    given = (wall * top).round(0 if top > 1 else 9).astype(depth)

    class Tinting:
        def repaint(self, crop, noise_mask, *, seed, settings):
            tint = np.linspace(-0.08, 0.05, crop.shape[1])[:, None] * (1, 0.6, 0.2)
            return np.full_like(crop, 0.5) + tint.astype(np.float32)

    found = detail(mask, Tinting(), photo=given, match_colours=True, grain=1.0, max_size=96, crop_factor=3.0)
    strength = np.zeros(mask.shape)
    for part in [part for part in found.segments if not part.skipped]:
        x0, y0, x1, y1 = part.crop
        strength[y0:y1, x0:x1] = np.maximum(strength[y0:y1, x0:x1], part.alpha[..., 3])
    image = found.image[0]
    np.testing.assert_array_equal(image[strength == 0], (given.astype(np.float32) / np.float32(top))[strength == 0])
    for where in (strength > 0.99, (strength > 0.2) & (strength < 0.8)):
        left = where & (np.arange(mask.shape[1]) < np.nonzero(where)[1].mean())
        for half in (left, where & ~left):
            assert np.abs(image[half].mean(0) - 0.5).max() < level
            assert np.abs(image[half].std(0) - 4 * level).max() < level
    assert len(np.unique(image[strength > 0.99])) > 1000, "no steps of 8 bits"


def test_sixteen_bits_and_linear_light_stay(mask):
    deep = (PHOTO.astype(np.uint16) << 8) + np.arange(200, dtype=np.uint16)[None, :, None]
    found = detail(mask, photo=deep)
    np.testing.assert_array_equal(np.rint(found.image[0, :20] * 65535), deep[:20])
    light = (PHOTO.astype(np.float32) / 255) ** 2.2 * 4 - 0.01
    painter = Painter(0.5)
    found = detail(mask, painter, photo=light, linear=True, feather=0)
    np.testing.assert_array_equal(found.image[0, :20], light[:20])
    np.testing.assert_allclose(found.image[0, 60, 50], 0.2140, atol=1e-3)  # sRGB 0.5 as light
    assert painter.crops[0].max() == 1


def test_files_keep_their_depth_and_alpha(mask, tmp_path):
    deep = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 77, np.uint8)]).astype(np.uint16) * 256 + 3
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., [2, 1, 0, 3]])
    found = detail(mask, photo=tmp_path / "deep.png")
    np.testing.assert_array_equal(np.rint(found.image[0, :20] * 65535), deep[:20])
    np.testing.assert_array_equal(np.rint(found.image[0, ..., 3] * 65535), deep[..., 3])
    light = (PHOTO.astype(np.float32) / 128) ** 2
    with (tmp_path / "light.exr").open("wb") as file:
        exr.write_exr(file, {"R": light[..., 0], "G": light[..., 1], "B": light[..., 2], "A": light[..., 0] * 0 + 0.5})
    found = detail(mask, photo=tmp_path / "light.exr")
    np.testing.assert_array_equal(found.image[0, :20, :, :3], light[:20])
    assert (found.image[0, ..., 3] == 0.5).all() and light[:20].max() > 1


def test_masks_of_all_kinds(mask, tmp_path):
    expected = detail(mask > 0.4).image
    eight = (mask > 0.4).astype(np.uint8) * 255
    cv2.imwrite(str(tmp_path / "grey.png"), eight)
    white = np.full((*mask.shape, 4), 255, np.uint8)
    white[..., 3] = eight
    cv2.imwrite(str(tmp_path / "alpha.png"), white)
    kinds = (eight, eight.astype(np.uint16) * 257, eight[None], eight[..., None], eight / 255, white)
    for kind in (*kinds, tmp_path / "grey.png", str(tmp_path / "alpha.png")):
        np.testing.assert_array_equal(detail(kind).image, expected)


def test_no_mask_and_nothing_large_enough(mask):
    for nothing, parts in ((None, 0), (mask * (np.arange(160) < 10)[:, None], 1)):
        painter = Painter()
        found = detail(nothing, painter, batch_size=2)
        assert not painter.seeds and len(found.segments) == parts
        np.testing.assert_array_equal(found.image, np.stack([PHOTO.astype(np.float32) / 255] * 2))
        assert bool(found.notes) == bool(parts)


def test_a_mask_that_touches_every_border():
    cross = np.zeros(PHOTO.shape[:2])
    cross[70:90], cross[:, 90:110] = 1, 1
    for compatibility in (False, True):
        found = detail(cross, compatibility=compatibility, crop_factor=1.0)
        assert found.segments[0].crop[:2] <= (0, 0) and np.abs(found.image[0, 80] - 0.25).max() < 0.02
        np.testing.assert_array_equal(found.image[0, :40, :60], PHOTO[:40, :60].astype(np.float32) / 255)


def test_edges_go_on_through_a_hole():
    rows, columns = np.mgrid[:120, :120]
    across = columns + 0.5 * rows - 90  # a dark bar that runs through the hole aslant
    picture = np.where(np.abs(across) < 5, 0.1, 0.6)[..., None] * np.ones(3)
    picture = (picture + np.random.default_rng(0).normal(0, 0.02, picture.shape)).astype(np.float32)
    hole = np.hypot(rows - 60, columns - 60) < 24
    filled, inside = np.where(hole[..., None], np.float32(0.9), picture), np.zeros_like(hole)
    inside[4:-4, 4:-4] = True
    offsets = structure.continued(filled, hole, inside & (np.hypot(rows - 60, columns - 60) > 31), 4)
    off = np.abs(filled - picture).mean(-1)[hole & (np.abs(np.abs(across) - 5) > 2)]
    assert (off < 0.1).mean() > 0.97
    came = np.stack([rows, columns], -1)[hole] + offsets[hole]
    np.testing.assert_array_equal(picture[tuple(came.T)], filled[hole])


def test_the_outline_of_a_thing_goes_on_before_a_smooth_background():
    rows, columns = np.mgrid[:140, :140].astype(np.float32)
    thing = np.hypot(rows - 70, columns - 30) < 45
    grain = np.random.default_rng(0).normal(0, 0.05, (140, 140)).astype(np.float32)
    grey = np.where(thing, 0.25 + grain, 0.7 + rows / 1000 + grain / 20).astype(np.float32)
    photo, hole = np.repeat(grey[..., None], 3, -1), np.hypot(rows - 75, columns - 76) < 16
    sides = contour.background(np.where(hole[..., None], 0, photo), hole)
    assert sides is not None and np.abs(sides - ~thing)[hole].mean() < 0.1
    filled = detailer.detail_mask(photo, hole, denoise=1.0, feather=1, device="cpu").image[0].mean(-1)
    assert ((filled > 0.5) == ~thing)[hole].mean() > 0.9, "0.74 by patches alone"
    stripes = np.repeat((columns % 20 < 10)[..., None], 3, -1).astype(np.float32)
    faint = 0.7 + (photo - 0.7) * np.float32(0.2)
    for other in (photo * 0 + 0.7, stripes, np.repeat(0.5 + grain[..., None], 3, -1), faint):
        assert contour.background(other.astype(np.float32), hole) is None
    coin = np.where(np.hypot(rows - 70, columns - 60) < 20, 0.25, 0.7)[..., None].repeat(3, -1).astype(np.float32)
    assert contour.background(coin, np.hypot(rows - 70, columns - 74) < 24) is None, "too little of it is seen"


def test_the_filling_takes_nothing_from_other_parts_of_the_mask(monkeypatch):
    """The surroundings of a spot hold others: none of them may be copied, be they filled already or not."""
    from maquette.inference.detailer import fill as builtin

    photo = np.random.default_rng(0).integers(90, 160, (90, 120, 3)).astype(np.uint8)
    spots = np.zeros((90, 120), np.float32)
    spots[30:42, 30:42] = spots[30:42, 60:72] = spots[60:72, 45:57] = 1
    closed, seen = builtin.completed, []
    monkeypatch.setattr(
        builtin, "completed", lambda crop, hole, *rest: seen.append((crop, hole)) or closed(crop, hole, *rest)
    )
    photo[spots > 0] = 255, 0, 255
    made = inference.detail_mask(photo, spots, denoise=1.0, feather=0, crop_factor=9.0)
    assert len(seen) == len(made.segments) == 3
    for number, (crop, hole) in enumerate(seen):
        foreign = (crop[..., 1] < 0.2) & (crop[..., 0] > 0.9)
        assert foreign.sum() == 144 * (3 - number) and hole[foreign].all()
    assert (made.image[0][..., 1] > 0.3).all()


@pytest.mark.parametrize("kind", ["RGBA PNG", "RGBA TIFF", "16-bit PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_upright_as_load_photo_has_it(tmp_path, kind, orientation):
    picture = np.random.default_rng(0).integers(0, 255, (24, 32, 4), np.uint8)
    picture[..., 3] = 255
    path = tmp_path / ("photo.tif" if "TIFF" in kind else "photo.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind.startswith("RGBA"):
        Image.fromarray(picture).save(path, exif=exif)
    else:
        assert cv2.imwrite(str(path), picture[..., :3].astype(np.uint16) * 257)
        content = b"eXIf" + exif.tobytes()[6:]
        chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
        data = path.read_bytes()
        path.write_bytes(data[:33] + chunk + data[33:])
    expected = inference.load_photo(path).pixels
    assert expected.shape[:2] == ((32, 24) if orientation > 4 else (24, 32))
    assert np.abs(source_of(path, None).pixels * 255 - expected).max() <= 1
