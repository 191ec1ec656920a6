# SPDX-License-Identifier: GPL-3.0-or-later
"""The detailer's arithmetic against the reference's: segments, crops, sizes, feather, pasting, seeds, and all samplers.

golden/detailer: what the reference made of small pictures, with a stand-in for diffusion that its `notes` describe.
"""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from maquette.inference import detailer
from maquette.inference.detailer import blending, loop, segments
from maquette.inference.detailer.arithmetic import impact
from maquette.inference.detailer.sampling import masked, schedules

FOLDER = Path(__file__).parent / "golden" / "detailer"


def golden(name):
    with np.load(FOLDER / f"{name}.npz") as content:
        arrays = dict(content)
    same = json.loads(str(arrays.pop("same", "{}")))  # arrays that equal others are kept once
    return arrays | {one: arrays[other] for one, other in same.items()}


PURE, SAMPLING, WHOLE, SEGMENTS = (golden(name) for name in ("pure", "sampling", "whole", "segments"))
CASES = {
    name: json.loads(str(content["index"]))
    for name, content in (("sampling", SAMPLING), ("whole", WHOLE), ("segments", SEGMENTS))
}


@pytest.mark.parametrize("case", CASES["segments"], ids=lambda case: f"{case['case']}-{case['mask']}")
def test_segments(case):
    mask = (SEGMENTS["mask_" + case["mask"]] / np.float32(255)).astype(np.float32)
    given = {"crop_factor": case["crop_factor"], "bbox_fill": case["bbox_fill"]}
    if case["combined"]:
        found = impact.combined(mask, **given)
    else:
        given |= {"contour_fill": case["contour_fill"], "least": case["crop_min_size"]}
        found = [one for one in segments.find_segments(mask, **given) if min(one.size) > case["drop_size"]]
    assert len(found) == case["n"]
    start = f"c{case['case']:03d}_"
    for number, one in enumerate(found):
        assert one.box == tuple(SEGMENTS[start + "bbox"][number])
        assert one.crop == tuple(SEGMENTS[start + "crop"][number])
        name = f"{start}m{number:02d}"
        expected = SEGMENTS[name] / np.float32(255) if name in SEGMENTS else SEGMENTS[f"{start}f{number:02d}"]
        np.testing.assert_allclose(one.mask, expected, atol=1e-6)


def test_crop_regions():
    for (width, height, *box, factor, least), expected in zip(PURE["crop_in"], PURE["crop_out"], strict=True):
        found = segments.crop_region(box, (int(width), int(height)), factor, None if least < 0 else least)
        assert found == tuple(expected)


def test_work_sizes():
    for (w, h, bw, bh, guide, by_box, most, force), expected in zip(PURE["scale_in"], PURE["scale_out"], strict=True):
        if force:
            found = impact.work_size((int(w), int(h)), (int(bw), int(bh)), guide, bool(by_box), most)
            assert found == tuple(expected[1:])


def test_steps():
    for (steps, denoise, ratio, refined), expected in zip(PURE["steps_in"], PURE["steps_out"], strict=True):
        total, start, end = expected[:3]
        assert schedules.step_range(int(steps), denoise) == (total, start)
        if refined:
            assert schedules.steps_before_refiner(int(steps), ratio) == end - start


@pytest.mark.parametrize("case", ["match0", "match1", "match2"])
def test_masks_of_another_size(case):
    mask = (PURE[f"{case}_mask"] / 255).astype(np.float32)
    layout = loop.Layout(impact, 384, True, 1024, True, 5, 2.0, 5, 0, True)
    found, _ = impact.split_mask(mask, tuple(PURE[f"{case}_image_wh"].tolist()), layout)
    assert [one.box for one in found] == [tuple(box) for box in PURE[f"{case}_bbox"]]
    assert [one.crop for one in found] == [tuple(crop) for crop in PURE[f"{case}_crop"]]
    for number, one in enumerate(found):
        expected = PURE[f"{case}_m{number}"]
        np.testing.assert_allclose(one.mask, expected / (255 if expected.dtype == np.uint8 else 1), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in PURE if name.startswith("blur_") and "_mask_" not in name])
def test_feather(name):
    _, mask, amount = name.split("_")
    found = impact.soften((PURE[f"blur_mask_{mask}"] / 255).astype(np.float32), int(amount[1:]))
    np.testing.assert_allclose(found, PURE[name], atol=1e-5)


def test_resizing_and_pasting():
    for name in [name for name in PURE if name.startswith("resize") and name.endswith("_out")]:
        start = name.removesuffix("_out")
        found = impact.resize(PURE[start + "_in"] / np.float32(255), *map(int, PURE[start + "_wh"]))
        assert np.abs(np.rint(found * 255) - PURE[name]).max() <= 1
    base = PURE["paste_base"] / np.float32(255)
    for name in [name for name in PURE if name.startswith("paste") and name.endswith("_out")]:
        start = name.removesuffix("_out")
        found = blending.pasted(
            base, PURE[start + "_patch"], PURE[start + "_mask"], tuple(map(int, PURE[start + "_xy"]))
        )
        np.testing.assert_allclose(found, PURE[name], atol=1e-6)


@pytest.mark.parametrize("name", [name for name in SAMPLING if name.startswith("sigmas")])
def test_schedules(name):
    kind, rest = name.split("_", 1)
    scheduler, steps = rest.rsplit("_", 1)
    if (scheduler, steps) == ("kl_optimal", "1"):
        pytest.skip("the reference divides by zero")
    found = schedules.sigmas(scheduler, int(steps), "dpm_2" if kind == "sigmasdrop" else "euler")
    np.testing.assert_allclose(found, SAMPLING[name], rtol=1e-5)


@pytest.mark.parametrize("scheduler", list(schedules.SCHEDULES))
def test_the_end_of_a_very_long_schedule(scheduler):
    """Most steps at the least denoise are the end of 100 million; in full the same as where there are fewer."""
    long = schedules.sigmas_from(scheduler, 10_000, 0.0001)
    assert 999 <= len(long) - 1 <= 10_000
    assert (np.diff(long) <= 0).all() and long[-1] == 0
    for steps, denoise, sampler in ((7, 0.3, "euler"), (40, 0.02, "dpm_2"), (3, 0.001, "euler")):
        total = schedules.step_range(steps, denoise)[0]
        whole = schedules.sigmas(scheduler, total, sampler)
        np.testing.assert_array_equal(schedules.sigmas_from(scheduler, steps, denoise, sampler), whole[-steps - 1 :])


@pytest.mark.parametrize("sampler", list(masked.SAMPLERS))
def test_samplers(sampler):
    """Every schedule, whole and half, without a mask and with hard, soft and differential ones."""
    latent, noise = torch.tensor(SAMPLING["latent"]), torch.tensor(SAMPLING["noise"])
    pattern = torch.tensor(np.sin(0.37 * np.arange(latent.numel())).astype(np.float32).reshape(latent.shape))
    cases = [case for case in CASES["sampling"] if case["sampler"] == sampler]
    assert len(cases) == 24
    for case in cases:
        levels = schedules.sigmas_from(case["scheduler"], case["steps"], case["denoise"], sampler)
        calls = []

        def denoise(x, sigma, calls=calls):
            calls.append(sigma)
            return x - sigma * torch.tanh(0.8 * x / math.sqrt(1 + sigma * sigma) + 0.15 * pattern)

        drawn = iter(range(10000, 20000))

        def draw(drawn=drawn):
            values = np.random.default_rng(next(drawn)).standard_normal(latent.shape)
            return torch.tensor(values.astype(np.float32))

        kept = None
        if case["mask"] != "none":
            mask = torch.tensor(SAMPLING["mask_hard" if case["mask"] == "hard" else "mask_soft"])[None, None]
            again = torch.randn(latent.shape, generator=torch.Generator().manual_seed(12))
            kept = masked.InpaintContext(mask, latent, again if sampler == "ddim" else noise, case["mask"] == "dd")
        start = masked.noised(latent, noise, float(levels[0]))
        found = masked.sample(sampler, denoise, start, levels, draw, kept)
        assert len(calls) == case["model_calls"]
        tolerance = 1e-3 if sampler == "lms" or sampler.startswith("uni_pc") else 1e-4
        torch.testing.assert_close(found, torch.tensor(SAMPLING[f"o{case['case']:04d}"]), rtol=0, atol=tolerance)


class StandIn:
    """The golden data's stand-in for diffusion: an inverted picture, tinted by the seed, under the mask."""

    def __init__(self, ratio, binary):
        self.ratio, self.binary, self.calls, self.told = ratio, binary, [], []

    def repaint(self, crop, noise_mask, *, seed, settings):
        height, width = (side // self.ratio * self.ratio for side in crop.shape[:2])
        top, left = (crop.shape[0] - height) // 2, (crop.shape[1] - width) // 2
        seen = crop[top : top + height, left : left + width]
        self.calls.append((seed, [height, width]))
        painted = 0.75 * (1 - seen) + 0.25 * ((seed % 11) / 10)
        if noise_mask is None:
            return painted
        if settings.inpaint_model:
            grey, noise_mask = blending.with_hole(crop, noise_mask)
            self.told.append((grey.sum(dtype=np.float64), noise_mask.sum(dtype=np.float64)))
        mask = cv2.resize(noise_mask, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
        mask = (mask >= 0.5).astype(np.float32) if self.binary else mask
        return seen * (1 - mask) + painted * mask


@pytest.mark.parametrize("case", CASES["whole"], ids=lambda case: case["name"])
def test_the_whole_way(case):
    start, given = f"e{case['case']:02d}_", dict(case["params"])
    engine = StandIn(given.pop("vae_ratio"), given["noise_mask_feather"] > 0)
    given["guide_size_for"] = "bbox" if given["guide_size_for"] else "crop_region"
    photo = WHOLE[start + "image"] / np.float32(255)
    mask = None if case["name"] == "mask_none" else WHOLE[start + "mask"] / np.float32(255)
    found = detailer.detail_mask(photo, mask, engine, compatibility=True, device="cpu", **given)
    error = np.abs(found.image - photo - WHOLE[start + "delta"] / 32767.0)
    assert error.mean() < 1e-4 and error.max() < 1.2e-2
    assert engine.calls == [(call["seed"], call["latent_hw"]) for call in case["calls"]]
    told = [(call["concat_image_sum"], call["concat_mask_sum"]) for call in case["calls"] if call["concat"]]
    np.testing.assert_allclose(np.reshape(engine.told, (-1, 2)), np.reshape(told, (-1, 2)), rtol=1e-4)
    done = [one for one in found.segments if not one.skipped]
    assert len(done) == (0 if case["fallback"] else case["n_crops"])
    expected = [WHOLE[f"{start}crop{number:02d}"] for number in range(len(done))]
    for one in done:  # the reference sorts its list by size; here the records keep their order
        match = min(expected, key=lambda crop, one=one: _unlike(crop, one.refined))
        assert _unlike(match, one.refined) <= 3
        np.testing.assert_array_equal(one.alpha[..., :3], one.refined)


def _unlike(crop, refined):
    if crop.shape != refined.shape:
        return math.inf
    return np.percentile(np.abs(crop - refined * 255.0), 99)
