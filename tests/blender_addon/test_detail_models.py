# SPDX-License-Identifier: GPL-3.0-or-later
"""A diffusion model with random weights through the operator: it paints, stops, and follows a control image."""

from __future__ import annotations

import json
import shutil
import sys

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.core import jobs
from maquette.blender_addon.tasks.detail import models as detail_models
from maquette.installer.models import store

pytestmark = pytest.mark.usefixtures("addon")

QUICK = {"mask_name": "mask", "steps": 2, "guide_size": 64.0, "max_size": 64.0, "crop_factor": 1.2, "denoise": 1.0}


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory, tiny_pipeline):
    """A models' folder with one pipeline, as a folder and as a single file, and its ControlNet."""
    from safetensors.torch import load_file, save_file

    root = tmp_path_factory.mktemp("models")
    place = root / "detailer"
    shutil.copytree(tiny_pipeline("cn") / "cn", place / "tiny")
    shutil.copyfile(tiny_pipeline("cn") / "cn.safetensors", place / "tiny.safetensors")
    (place / "controlnet").mkdir()
    weights = place / "tiny" / "controlnet" / "diffusion_pytorch_model.safetensors"
    random = np.random.default_rng(0)
    changed = load_file(weights)
    for name, tensor in changed.items():  # a new ControlNet says nothing: its last layers are zero
        if name.startswith(("controlnet_down_blocks", "controlnet_mid", "controlnet_cond_embedding.conv_out")):
            changed[name] = tensor + tensor.new_tensor(random.normal(size=tuple(tensor.shape)))
    save_file(changed, weights)
    (place / "tiny" / "controlnet").rename(place / "controlnet" / "depth")
    index = json.loads((place / "tiny" / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionInpaintPipeline"
    del index["controlnet"]
    (place / "tiny" / "model_index.json").write_text(json.dumps(index))
    store.set_models_root(root)
    yield place
    store.set_models_root(None)
    inference.free_memory()


@pytest.fixture(autouse=True)
def photo():
    """160 x 120 bytes of smooth colours, and a mask with two squares."""
    rows, columns = np.mgrid[:120, :160] / 160
    made = new_image("photo.png", np.stack([rows, columns, 0 * rows + 0.5], -1))
    values = np.zeros((120, 160))
    values[10:40, 10:40] = values[70:100, 100:130] = 1
    new_image("mask", values)
    return made


def new_image(name: str, values: np.ndarray):
    if values.ndim == 2:
        values = np.dstack([values] * 3)
    values = np.dstack([values, np.ones(values.shape[:2])])
    made = bpy.data.images.new(name, values.shape[1], values.shape[0], alpha=True)
    made.pixels.foreach_set(values[::-1].astype(np.float32).ravel())
    made.update()
    return made


def run(**options) -> np.ndarray:
    """The result (H, W, 4)."""
    before = {image.name for image in bpy.data.images}
    assert bpy.ops.maquette.detail_mask(image="photo.png", **{**QUICK, "model": "tiny", **options}) == {"FINISHED"}
    (made,) = (one for one in bpy.data.images if one.name not in before and one.name.startswith("photo.detail"))
    return images.image_array(made)


def test_what_lies_in_the_models_folder_is_found_by_name():
    assert detail_models.found("checkpoint") == ["builtin", "tiny", "tiny.safetensors"]
    assert detail_models.found("controlnet") == ["depth"] and detail_models.found("lora") == []


def test_shared_folders_are_looked_into_too(models, tmp_path):
    (tmp_path / "detailer" / "loras").mkdir(parents=True)
    shared = tmp_path / "detailer" / "loras" / "brush.safetensors"
    shared.write_bytes(b"")
    store.set_shared_roots([tmp_path])
    try:
        assert detail_models.found("lora") == ["brush.safetensors"]
        assert detail_models.located("brush.safetensors", "lora") == str(shared)
        assert detail_models.located("tiny", "checkpoint") == str(models / "tiny")
        assert detail_models.located("/elsewhere/tiny", "checkpoint") == "/elsewhere/tiny"
    finally:
        store.set_shared_roots([])


def test_it_paints_under_the_mask_alone_and_the_same_again(photo):
    before, made = images.image_array(photo), run(seed=3, prompt="a wall")
    changed = (made != before).any(-1)
    assert changed[20:30, 20:30].all() and changed[80:90, 110:120].all() and not changed[:, 60:85].any()
    np.testing.assert_array_equal(made, run(seed=3, prompt="a wall"))
    assert (made != run(seed=4, prompt="a wall")).any()
    assert json.loads(bpy.data.images["photo.detail"]["maquette_detail"])["model"] == "tiny"


def test_a_control_image_is_followed_as_strongly_as_asked(photo):
    new_image("control", np.tile(np.linspace(0, 1, 160), (120, 1)))
    control = {"control": "IMAGE", "control_image": "control", "controlnet": "depth"}
    plain, followed = run(), run(**control)
    assert (followed != plain).any()
    np.testing.assert_array_equal(run(**control, control_strength=0.0), plain)
    new_image("control two", np.tile(np.linspace(1, 0, 160), (120, 1)))
    assert (run(**{**control, "control_image": "control two"}) != followed).any()


def test_what_the_model_has_to_say_is_in_the_closing_line(models, tmp_path):
    """Here a LoRA that fits only in part."""
    import torch
    from safetensors.torch import save_file

    ends = {".lora_down.weight": (2, 16), ".lora_up.weight": (16, 2)}
    names = ("lora_unet_no_such_layer", "lora_te_text_model_encoder_layers_0_self_attn_q_proj")
    tensors = {name + end: torch.ones(shape) for name in names for end, shape in ends.items()}
    save_file(tensors, tmp_path / "half.safetensors")
    run(lora=str(tmp_path / "half.safetensors"))
    assert jobs.outcome().line.endswith("1 of 2 layers of the LoRA half.safetensors have no place in this model.")


def test_steps_are_told_and_cancelling_inside_a_part_keeps_the_finished_one(photo, monkeypatch):
    said, report = [], jobs.Job.report

    def reported(self, fraction, message):
        said.append((fraction, message))
        if "part 2" in message:
            self.cancel_at_step = True
        if getattr(self, "cancel_at_step", False) and "Step 2" in message:
            self.cancel()
        report(self, fraction, message)

    monkeypatch.setattr(jobs.Job, "report", reported)
    changed = (run() != images.image_array(photo)).any(-1)
    assert changed[20:30, 20:30].all() and not changed[60:].any()
    assert "cancelled" in jobs.outcome().line
    assert sum("Step" in message for _, message in said) >= 3
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions)


def test_a_single_file_and_files_that_are_none(tmp_path, blocks):
    run(model="tiny.safetensors", config=str(detail_models.store.models_root() / "detailer" / "tiny"))
    (tmp_path / "not.safetensors").write_bytes(b"no model")
    before = blocks()
    for options, message in (
        ({"model": str(tmp_path / "not.safetensors")}, "not.safetensors"),
        ({"model": "unheard of"}, "There is no model"),
        ({"lora": "unheard of"}, "There is no LoRA"),
        ({"control": "IMAGE", "control_image": "mask", "controlnet": "unheard of"}, "There is no ControlNet"),
    ):
        with pytest.raises(RuntimeError, match=message):
            run(**options)
        assert jobs.outcome().remedy
    assert blocks() == before


def test_missing_packages_are_named_with_the_operator_that_installs_them(monkeypatch, blocks):
    from maquette.inference.errors import MissingPackages

    inference.free_memory()
    for name in [name for name in sys.modules if name.split(".")[0] == "diffusers" or ".diffusion.load" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    before = blocks()
    with pytest.raises(RuntimeError, match="diffusers"):
        run()
    assert jobs.outcome().operator == MissingPackages("", "", "maquette.install_packages").operator
    assert blocks() == before
