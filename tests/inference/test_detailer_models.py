# SPDX-License-Identifier: GPL-3.0-or-later
"""The detailer with diffusion models: real pipelines of all kinds with random weights, whole, offline."""

import json
import math
import os
import shutil
import struct
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import detailer
from maquette.inference.detailer import hooks, planning
from maquette.inference.detailer.diffusion import flow as flow_models
from maquette.inference.detailer.diffusion import heads, lora, published, tokens
from maquette.inference.detailer.diffusion.families import FAMILIES
from maquette.inference.detailer.sampling.masked import SAMPLERS
from safetensors.torch import load_file, save_file

PHOTO = inference.load_photo(sample_photo("brick")).pixels[:160, :200]
SMOOTH = PHOTO.astype(np.float32) / 255
QUICK = {"steps": 2, "guide_size": 64, "max_size": 96, "crop_factor": 1.3, "device": "cpu"}
KINDS = ("sd4", "sd9", "cn", "xl4", "xl9")
#: Layers of a ControlNet that are 0 until it is trained.
_SILENT = ("controlnet_down_blocks", "controlnet_mid", "controlnet_cond_embedding.conv_out")


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory, tiny_pipeline):
    """Random pipelines of all kinds, as folder and as single file: kind -> (folder, file). A ControlNet that is new
    says nothing, so this one's last layers are made up."""
    kinds = {kind: tiny_pipeline(kind) for kind in KINDS if kind != "cn"}
    kinds["cn"] = shutil.copytree(tiny_pipeline("cn"), tmp_path_factory.mktemp("pipelines") / "cn")
    file = kinds["cn"] / "cn" / "controlnet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    chance = torch.Generator().manual_seed(0)
    for name in [name for name in tensors if name.startswith(_SILENT)]:
        tensors[name] = torch.randn(tensors[name].shape, generator=chance)
    save_file(tensors, file)
    yield {kind: (folder / kind, folder / f"{kind}.safetensors") for kind, folder in kinds.items()}
    inference.free_memory()


@pytest.fixture
def mask():
    mask = np.zeros(PHOTO.shape[:2], np.float32)
    mask[40:80, 30:70] = 1
    return mask


@pytest.fixture
def sd4(pipelines):
    return pipelines["sd4"][0]


def repainted(mask, model, **given):
    return detailer.detail_mask(PHOTO, mask, model, **{**QUICK, **given}).image[0]


def apart(one, other):
    return float(np.abs(one - other).max())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_pipeline_from_folder_and_file(mask, pipelines, kind):
    folder, file = pipelines[kind]
    given = {"seed": 3, "prompt": "bricks", "control": PHOTO if kind == "cn" else None}
    found = repainted(mask, folder, **given)
    np.testing.assert_array_equal(found, repainted(mask, folder, **given))
    assert apart(found, repainted(mask, folder, **{**given, "seed": 4})) > 0.01
    np.testing.assert_array_equal(found[:, 190:], SMOOTH[:, 190:])
    alone = detailer.Checkpoint(file, config=folder, controlnet=folder / "controlnet" if kind == "cn" else None)
    np.testing.assert_allclose(repainted(mask, alone, **given), found, atol=1e-3)


@pytest.mark.parametrize("kind", ["sd4", "xl9"])
@pytest.mark.parametrize(
    ("usual", "unusual"),
    [
        ("", "state_dict."),
        ("model.diffusion_model.", "diffusion_model."),
        ("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer."),
        ("conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.0.transformer."),
    ],
)
def test_names_that_other_programs_gave_the_tensors(mask, pipelines, tmp_path, kind, usual, unusual):
    folder, file = pipelines[kind]
    tensors = {
        unusual + name.removeprefix(usual) if name.startswith(usual) else name: tensor.bfloat16()
        for name, tensor in load_file(file).items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    found = repainted(mask, detailer.Checkpoint(tmp_path / "model.safetensors", config=folder))
    assert apart(found, repainted(mask, folder)) < 0.05


@pytest.mark.parametrize("lacking", ["unet", "vae", "text_encoder"])
def test_a_model_that_lacks_tensors(mask, pipelines, tmp_path, lacking):
    """The libraries would fill them up with chance."""
    folder = shutil.copytree(pipelines["sd4"][0], tmp_path / "folder")
    repainted(mask, folder)
    file = next((folder / lacking).glob("*.safetensors"))
    tensors = load_file(file)
    del tensors[next(name for name in tensors if name.endswith("norm.weight") or "group_norm.weight" in name)]
    save_file(tensors, file)
    with pytest.raises(inference.MaquetteError, match="lacks"):
        repainted(mask, folder)  # it was in memory, but is another one now
    part = {"unet": "out.2.bias", "vae": "decoder.conv_in.bias", "text_encoder": "final_layer_norm.bias"}[lacking]
    tensors = {name: tensor for name, tensor in load_file(pipelines["sd4"][1]).items() if not name.endswith(part)}
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(inference.MaquetteError, match="lacks"):
        repainted(mask, detailer.Checkpoint(tmp_path / "model.safetensors", config=pipelines["sd4"][0]))


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_sampler_runs_a_pipeline(mask, sd4, sampler):
    found = repainted(mask, sd4, sampler=sampler, steps=3)
    assert np.isfinite(found).all() and not np.array_equal(found[60, 50], SMOOTH[60, 50])


def test_a_refiner_takes_the_last_steps(mask, sd4, pipelines):
    given = {"steps": 4, "noise_mask_feather": 0}  # above 0, either model has its own order of greys
    alone = repainted(mask, sd4, **given)
    np.testing.assert_allclose(repainted(mask, sd4, refiner=sd4, refiner_ratio=0.5, **given), alone, atol=1e-4)
    assert apart(repainted(mask, sd4, refiner=pipelines["sd9"][0], refiner_ratio=0.5, **given), alone) > 0.01


@pytest.mark.parametrize("compatibility", [False, True])
@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_what_is_kept_while_a_refiner_works(mask, sd4, pipelines, monkeypatch, compatibility, ratio):
    """In the reference it carries no noise, and where the refiner takes all steps, nothing does."""
    from maquette.inference.detailer.diffusion import engine

    passes, really = [], engine.sample

    def sample(name, denoise, start, levels, draw, kept):
        passes.append((start, kept))
        return really(name, denoise, start, levels, draw, kept)

    monkeypatch.setattr(engine, "sample", sample)
    given = {"steps": 4, "noise_mask_feather": 0, "compatibility": compatibility}
    repainted(mask, sd4, refiner=sd4 if ratio < 1 else pipelines["xl4"][0], refiner_ratio=ratio, **given)
    start, kept = passes[-1]
    assert len(passes) == (2 if ratio < 1 else 1)
    assert ratio == 1 or passes[0][1].noise.any()
    assert bool((kept.noise == 0).all()) == compatibility
    outside = (kept.mask == 0).expand_as(start)
    assert outside.any() and torch.equal(start[outside], kept.latent[outside]) == compatibility
    inside = (kept.mask == 1).expand_as(start)
    assert torch.equal(start[inside], kept.latent[inside]) == (compatibility and ratio == 1)


@pytest.mark.parametrize("refiner", ["builtin", SimpleNamespace(repaint=print)])
def test_a_refiner_is_a_diffusion_model(mask, sd4, refiner):
    with pytest.raises(inference.MaquetteError, match="refiner"):
        repainted(mask, sd4, refiner=refiner)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_refiner_of_no_or_all_steps(mask, sd4, pipelines, ratio):
    expected = repainted(mask, sd4 if ratio == 0 else pipelines["xl4"][0], noise_mask_feather=0)
    found = repainted(mask, sd4, refiner=pipelines["xl4"][0], refiner_ratio=ratio, noise_mask_feather=0)
    if ratio == 0:
        np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all() and apart(found, SMOOTH) > 0.01


def test_a_long_run_is_stopped_inside_a_part(mask, sd4):
    steps = []

    def stop(share, text):
        steps.append(text)
        if text.startswith("Step 3 "):
            raise inference.Cancelled

    with pytest.raises(inference.Cancelled) as raised:
        repainted(mask, sd4, progress=stop, steps=10000)
    assert steps[-1] == "Step 3 of 10000"
    np.testing.assert_array_equal(raised.value.finished.image[0], SMOOTH)


@pytest.mark.parametrize(
    "given", [{"denoise": 0.0001, "steps": 1}, {"denoise": 1.0, "steps": 1}, {"cfg": 1.0}], ids=str
)
def test_the_ends_of_the_ranges(mask, sd4, given):
    assert np.isfinite(repainted(mask, sd4, **given)).all()


def test_tiles_and_offload_give_the_same_picture(mask, sd4):
    expected = repainted(mask, sd4)
    np.testing.assert_allclose(repainted(mask, sd4, offload=True), expected, atol=1e-5)
    np.testing.assert_allclose(repainted(mask, sd4, tiling=True), expected, atol=1e-5)  # smaller than a tile
    large = {"guide_size": 384, "max_size": 384, "crop_factor": 1.0, "steps": 1}
    assert 0 < apart(repainted(mask, sd4, tiling=True, **large), repainted(mask, sd4, **large)) < 0.5


def test_memory_that_runs_out_is_answered_with_tiles(mask, sd4, monkeypatch):
    from diffusers import AutoencoderKL

    tiled, decode = [], AutoencoderKL.decode

    def scarce(self, *arguments, **given):
        tiled.append(self.use_tiling)
        if not self.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return decode(self, *arguments, **given)

    monkeypatch.setattr(AutoencoderKL, "decode", scarce)
    mask[100:140, 120:170] = 1
    found = detailer.detail_mask(PHOTO, mask, sd4, **QUICK)
    assert tiled == [False, True, True]  # the second part begins with tiles
    assert len(found.notes) == 1 and "tiles" in found.notes[0]
    monkeypatch.setattr(AutoencoderKL, "decode", decode)
    assert not detailer.detail_mask(PHOTO, mask, sd4, **QUICK).notes


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_stays_near(mask, pipelines, kind, monkeypatch):
    """The CPU is never asked for it, but can do it; here it stands for a GPU."""
    from maquette.inference.runtime import run

    given = {"prompt": "a (wall:1.3)", "control": PHOTO if kind == "cn" else None}
    expected = repainted(mask, pipelines[kind][0], **given)
    monkeypatch.setattr(run, "choose_precision", lambda precision, device: "float16")
    found = repainted(mask, pipelines[kind][0], **given)
    assert 0 < apart(found, expected) < 0.03 and found.dtype == np.float32


def test_a_hook_reaches_into_the_latent(mask, sd4):
    said = []

    class Hook:
        def __getattr__(self, name):
            if name.startswith("_") or not hasattr(hooks.Hook, name):
                raise AttributeError(name)

            def method(*arguments):
                said.append((name, tuple(getattr(arguments[-1], "shape", ()))))
                if name == "get_custom_noise":
                    return torch.zeros_like(arguments[1])
                return arguments if len(arguments) > 1 else arguments[0]

            return method

    found = repainted(mask, sd4, hook=Hook(), cycle=2)
    names = [name for name, _ in said]
    once = ["set_steps", "cycle_latent", "pre_ksample", "get_custom_noise"]
    ends = ["pre_decode", "post_decode", "post_paste"]
    assert names == ["touch_scaled_size", "post_encode", *once, *once, *ends]
    shapes = dict(said)
    height, width = shapes["post_decode"][:2]
    assert shapes["cycle_latent"] == shapes["pre_decode"] == (1, 4, height // 8, width // 8)
    assert apart(found, repainted(mask, sd4, cycle=2)) > 0.001


# Prompts


def test_weights_of_words():
    assert tokens.weighted("a (cat), ((dog)) (bird:0.5)") == [
        ("a ", 1.0),
        ("cat", 1.1),
        (", ", 1.0),
        ("dog", pytest.approx(1.21)),
        (" ", 1.0),
        ("bird", 0.5),
    ]
    assert tokens.weighted("(a (b:0.5) c:2)") == [("a ", 2.0), ("b", 0.5), (" c", 2.0)]
    assert tokens.weighted(r"\(a\), 3:2 (b (c") == [("(a), 3:2 (b (c", 1.0)]
    assert tokens.weighted("") == [("", 1.0)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    published.write_tokenizer(folder, "tokenizer")
    return CLIPTokenizer.from_pretrained(folder / "tokenizer")


def test_clips_vocabulary(tokenizer):
    words = published.vocabulary()
    assert len(words) == 49408 and (words[published.START], words[published.END]) == (49406, 49407)
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]


@pytest.mark.parametrize("prompt", ["don't, it's 8k masterpiece!", "café 🎨, a.b.c", "w" * 40, "", "two  spaces\nline"])
def test_prompts_are_cut_as_the_tokenizer_does(tokenizer, prompt):
    (piece,) = tokens.pieces(prompt, tokenizer)
    assert piece.tokens == tokenizer(prompt, padding="max_length", max_length=77, truncation=True).input_ids


def test_long_prompts_are_cut_between_words(tokenizer):
    pieces = tokens.pieces("masterpiece photorealism " * 30, tokenizer)
    assert len(pieces) > 1 and all(len(piece.tokens) == len(piece.weights) == 77 for piece in pieces)
    whole = tokenizer("masterpiece photorealism " * 30).input_ids[1:-1]
    joined = [token for piece in pieces for token in piece.tokens if token < 49406]
    assert joined == whole
    first = [token for token in pieces[1].tokens if token < 49406]
    assert tokenizer.convert_ids_to_tokens(first[:1])[0] in ("masterpiece</w>", "photo", "photorealism</w>", "photore")


def test_the_end_of_a_long_prompt_and_weights_are_heard(mask, sd4):
    words = "a red wall " * 20
    one = repainted(mask, sd4, prompt=words + "b")
    assert apart(one, repainted(mask, sd4, prompt=words + "c")) > 0
    assert apart(one, repainted(mask, sd4, prompt=words + "(b:1.5)")) > 0
    np.testing.assert_array_equal(one, repainted(mask, sd4, prompt=words + "(b:1.0)"))
    assert apart(one, repainted(mask, sd4, prompt=words + "b", negative_prompt="blurry")) > 0


def test_weights_move_away_from_the_empty_prompt(sd4):
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(sd4 / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(sd4 / "text_encoder").eval()
    with torch.no_grad():
        plain, empty, heavy = (
            tokens.encode(text, tokenizer, encoder, penultimate=False).embeddings for text in ("ab", "", "(ab:3)")
        )
    # The start and what follows the words stay.
    changed = (heavy - plain).abs().amax((0, 2)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [1, 2]
    torch.testing.assert_close(heavy[:, 1:3], (empty + 3 * (plain - empty))[:, 1:3])


def test_clip_skip_is_that_of_other_programs(mask, pipelines):
    """SD 1.5: as if the encoder had a layer fewer. SDXL: as diffusers counts."""
    import diffusers
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(pipelines["sd4"][0] / "tokenizer")
    whole, shorter = (CLIPTextModel.from_pretrained(pipelines["sd4"][0] / "text_encoder").eval() for _ in "ab")
    body = getattr(shorter, "text_model", shorter)
    body.encoder.layers = body.encoder.layers[:-1]
    xl = diffusers.StableDiffusionXLInpaintPipeline.from_pretrained(pipelines["xl4"][0])
    both = ((xl.tokenizer, xl.text_encoder), (xl.tokenizer_2, xl.text_encoder_2))
    with torch.no_grad():
        found = tokens.encode("abc", tokenizer, whole, penultimate=False, skip=1).embeddings
        torch.testing.assert_close(found, tokens.encode("abc", tokenizer, shorter, penultimate=False).embeddings)
        wanted = xl.encode_prompt("abc", device="cpu", do_classifier_free_guidance=False, clip_skip=1)[0]
        found = [tokens.encode("abc", *one, penultimate=True, skip=1).embeddings for one in both]
    torch.testing.assert_close(torch.cat(found, -1), wanted)
    plain = repainted(mask, pipelines["sd4"][0], prompt="abc")
    assert apart(plain, repainted(mask, pipelines["sd4"][0], prompt="abc", clip_skip=1)) > 0
    with pytest.raises(inference.BadInput, match="Clip Skip"):
        repainted(mask, pipelines["sd4"][0], prompt="abc", clip_skip=2)


def _inversions(folder, width=16):
    """The same two vectors in the files of all programs."""
    vectors = 5 * torch.randn(2, width, generator=torch.Generator().manual_seed(3))
    save_file({"emb_params": vectors}, folder / "moss.safetensors")
    (folder / "diffusers").mkdir()
    torch.save({"<moss>": vectors}, folder / "diffusers" / "moss.bin")
    (folder / "original").mkdir()
    content = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "moss", "step": 500}
    torch.save(content, folder / "original" / "moss.pt")
    return [folder / "moss.safetensors", folder / "diffusers" / "moss.bin", folder / "original" / "moss.pt"]


def test_textual_inversions_of_all_programs(mask, sd4, tmp_path):
    files = _inversions(tmp_path)
    prompt = "a wall, (moss:1.2), bark"
    plain = repainted(mask, sd4, prompt=prompt)
    first, *others = (repainted(mask, detailer.Checkpoint(sd4, embeddings=[file]), prompt=prompt) for file in files)
    assert apart(first, plain) > 0
    for other in others:
        np.testing.assert_array_equal(first, other)
    named = detailer.Checkpoint(sd4, embeddings=files[:1])
    np.testing.assert_array_equal(first, repainted(mask, named, prompt=prompt.replace("moss", "embedding:MOSS")))
    np.testing.assert_array_equal(
        repainted(mask, named, prompt="a mossy wall"), repainted(mask, sd4, prompt="a mossy wall")
    )


def test_a_textual_inversion_is_where_diffusers_puts_it(sd4, tmp_path):
    import diffusers
    from maquette.inference.detailer.diffusion.embeddings import add_embedding

    file = _inversions(tmp_path)[0]
    ours, theirs = (diffusers.StableDiffusionInpaintPipeline.from_pretrained(sd4, safety_checker=None) for _ in "ab")
    learned = {}
    add_embedding(ours, file, learned)
    theirs.load_textual_inversion(str(file), token="moss")
    with torch.no_grad():
        wanted = theirs.encode_prompt("a moss b", "cpu", 1, False)[0]
        words = learned["text_encoder"]
        found = tokens.encode(
            "a moss b", ours.tokenizer, ours.text_encoder, penultimate=False, learned=words
        ).embeddings
    torch.testing.assert_close(found, wanted)


def test_textual_inversions_of_two_encoders_and_wrong_ones(mask, pipelines, flow, tmp_path):
    xl = pipelines["xl4"][0]
    save_file({"clip_l": torch.randn(3, 16), "clip_g": torch.randn(3, 24)}, tmp_path / "moss.safetensors")
    given = detailer.Checkpoint(xl, embeddings=[tmp_path / "moss.safetensors"])
    assert apart(repainted(mask, given, prompt="moss"), repainted(mask, xl, prompt="moss")) > 0
    for content, model in (
        ({"emb_params": torch.randn(2, 16)}, xl),
        ({"emb_params": torch.randn(2, 7)}, pipelines["sd4"][0]),
    ):
        save_file(content, tmp_path / "other.safetensors")
        with pytest.raises(inference.BadModelFile, match="textual inversion"):
            repainted(mask, detailer.Checkpoint(model, embeddings=[tmp_path / "other.safetensors"]))
    with pytest.raises(inference.MissingModel, match="embedding"):
        repainted(mask, detailer.Checkpoint(xl, embeddings=["no-such-word"]))
    with pytest.raises(inference.BadModelFile, match="no textual inversions"):
        repainted(mask, detailer.Checkpoint(flow("z-image"), embeddings=[tmp_path / "moss.safetensors"]))
    with pytest.raises(inference.BadInput, match="embeddings"):
        repainted(mask, detailer.Checkpoint(xl, embeddings="moss"))


# ControlNet


def test_control_acts_where_it_should(mask, sd4, pipelines):
    folder = pipelines["cn"][0] / "controlnet"
    model = detailer.Checkpoint(sd4, controlnet=folder)
    given = {"steps": 4, "control": PHOTO[:, ::-1]}
    plain = repainted(mask, sd4, steps=4)
    full = repainted(mask, model, **given)
    assert apart(full, plain) > 0.01
    for none in ({"control_strength": 0}, {"control_end": 0.0}, {"control_start": 1.0}, {"control": None}):
        np.testing.assert_array_equal(repainted(mask, model, **{**given, **none}), plain)
    half = repainted(mask, model, **given, control_end=0.5)
    assert apart(half, full) > 1e-4 < apart(half, plain)
    assert apart(repainted(mask, model, **given, control_strength=0.5), full) > 1e-4
    single = detailer.Checkpoint(sd4, controlnet=folder / "diffusion_pytorch_model.safetensors")
    np.testing.assert_allclose(repainted(mask, single, **given), full, atol=1e-5)
    with pytest.raises(inference.BadModelFile, match="ControlNet"):
        repainted(mask, detailer.Checkpoint(sd4, controlnet=pipelines["sd4"][1]), **given)


def test_control_that_nothing_follows_is_said(mask, pipelines):
    found = detailer.detail_mask(PHOTO, mask, pipelines["sd4"][0], control=PHOTO, **QUICK)
    assert any("no ControlNet" in note for note in found.notes)
    found = detailer.detail_mask(PHOTO, mask, pipelines["cn"][0], **QUICK)
    assert any("control picture" in note for note in found.notes)


def test_our_own_maps_steer_a_model(mask, pipelines):
    from maquette.inference.camera import Camera
    from maquette.inference.results import DepthMap, HandMaps, NormalMap

    camera = Camera.default(200, 160)
    ramp = np.tile(np.linspace(0, 255, 100).astype(np.uint8), (80, 1))
    picture = np.dstack([ramp, ramp, ramp])
    flat = np.zeros((160, 200), np.float32)
    maps = (
        DepthMap(depth=flat, valid=flat > 0, normals=None, metric=True, camera=camera, preview=picture),
        NormalMap(normals=np.zeros((160, 200, 3), np.float32), valid=flat > 0, camera=camera, preview=picture),
        HandMaps(depth=flat, mask=mask, preview=picture, hands=(), camera=camera),
    )
    model = pipelines["cn"][0]
    found = [repainted(mask, model, control=control) for control in maps]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert apart(found[0], repainted(mask, model, control=255 - picture)) > 0
    hands = detailer.detail_mask(PHOTO, maps[2], model, control=maps[2], **QUICK)
    np.testing.assert_array_equal(hands.image[0], found[2])


# LoRA


def random_lora(folder, names, layers, style):
    """A LoRA of rank 2 for layers (name -> weight) of a network, in one of the namings in use."""
    chance, tensors = torch.Generator().manual_seed(1), {}
    for name, called in names.items():
        shape = layers[name].shape
        down = torch.randn((2, *shape[1:]), generator=chance)
        up = torch.randn((shape[0], 2, *(1,) * (len(shape) - 2)), generator=chance) * 0.1
        ends = (".lora_A.weight", ".lora_B.weight") if style == "peft" else (".lora_down.weight", ".lora_up.weight")
        tensors |= {called + ends[0]: down, called + ends[1]: up}
        if style != "peft":
            tensors[called + ".alpha"] = torch.tensor(1.0)
    save_file(tensors, folder / f"{style}.safetensors")
    return folder / f"{style}.safetensors"


@pytest.mark.parametrize("kind", ["sd4", "xl4"])
def test_loras_of_all_namings_do_the_same(mask, pipelines, kind, tmp_path):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(pipelines[kind][0] / "unet")
    layers = {name: module.weight for name, module in unet.named_modules() if hasattr(module, "weight")}
    wanted = ("attn2.to_k", "attn1.to_out.0", "resnets.0.conv1", "proj_in", "conv_in", "upsamplers.0.conv", "time_emb")
    chosen = [name for name in layers if any(word in name for word in wanted) and layers[name] is not None]
    assert len(chosen) > 15
    depth = unet.config.layers_per_block
    styles = {
        "kohya": {name: "lora_unet_" + name.replace(".", "_") for name in chosen},
        "original": {name: "lora_unet_" + lora.original_name(name, depth, unet).replace(".", "_") for name in chosen},
        "peft": {name: "unet." + name for name in chosen},
    }
    assert not set(styles["original"].values()) & set(styles["kohya"].values())
    plain, found = repainted(mask, pipelines[kind][0]), {}
    for style, names in styles.items():
        file = random_lora(tmp_path, names, layers, style)
        # Without an alpha it counts as the rank, so PEFT's file has twice the effect.
        strength = 0.5 if style == "peft" else 1.0
        found[style] = repainted(mask, detailer.Checkpoint(pipelines[kind][0], loras=[(file, strength)]))
        none = detailer.Checkpoint(pipelines[kind][0], loras=[(file, 0.0)])
        np.testing.assert_array_equal(repainted(mask, none), plain)
    assert apart(found["kohya"], plain) > 1e-3
    np.testing.assert_allclose(found["original"], found["kohya"], atol=1e-4)
    np.testing.assert_allclose(found["peft"], found["kohya"], atol=1e-4)


@pytest.mark.parametrize("said", ["within", "beside", "rank", "pattern", "rooted"])
def test_a_lora_says_its_strength_beside_its_tensors(mask, sd4, tmp_path, said):
    """As diffusers (within the file) and PEFT (beside it) save LoRAs; alpha over the rank is what counts."""
    layer, rank = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 4
    chance = torch.Generator().manual_seed(1)
    down, up = (torch.randn(shape, generator=chance) for shape in ((rank, 16), (16, rank)))
    start = "base_model.model." if said == "beside" else "unet."
    tensors = {f"{start}{layer}.lora_A.weight": down, f"{start}{layer}.lora_B.weight": up}
    words = {
        "within": {"unet.lora_alpha": 8, "unet.r": rank},
        "rank": {"text_encoder.lora_alpha": 8},
        "pattern": {"unet.lora_alpha": 1, "unet.alpha_pattern": {layer: 8}},
        "rooted": {"unet.lora_alpha": 4, "unet.use_rslora": True},
    }.get(said)
    file = tmp_path / "adapter_model.safetensors"
    save_file(tensors, file, {"lora_adapter_metadata": json.dumps(words)} if words else None)
    if said == "beside":
        (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "r": rank}))
    plain = tmp_path / "plain.safetensors"
    save_file({**tensors, f"{start}{layer}.alpha": torch.tensor(4.0 if said == "rank" else 8.0)}, plain)
    found, expected = (
        repainted(mask, detailer.Checkpoint(sd4, loras=[(one, 1.0)]), prompt="bricks") for one in (file, plain)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    half = repainted(mask, detailer.Checkpoint(sd4, loras=[(plain, 0.5)]), prompt="bricks")
    assert apart(half, found) > 1e-5


def test_the_original_names_are_those_of_the_single_file(pipelines):
    from diffusers import UNet2DConditionModel

    for kind in ("sd4", "xl4"):
        unet = UNet2DConditionModel.from_pretrained(pipelines[kind][0] / "unet")
        names = {name.removeprefix("model.diffusion_model.") for name in heads.read_head(pipelines[kind][1]).tensors}
        linear = [name for name, module in unet.named_modules() if type(module).__name__ in ("Linear", "Conv2d")]
        originals = {lora.original_name(name, unet.config.layers_per_block, unet) + ".weight" for name in linear}
        assert len(originals) == len(linear) and originals <= names


def test_a_lora_of_a_text_encoder(mask, sd4, tmp_path):
    tensors = {}
    for end, shape in ((".lora_down.weight", (2, 16)), (".lora_up.weight", (16, 2))):
        tensors["lora_te_text_model_encoder_layers_0_self_attn_q_proj" + end] = torch.ones(shape)
        tensors["lora_unet_no_such_layer" + end] = torch.ones(shape)
    save_file(tensors, tmp_path / "text.safetensors")
    model = detailer.Checkpoint(sd4, loras=[(tmp_path / "text.safetensors", 2.0)])
    found = detailer.detail_mask(PHOTO, mask, model, prompt="bricks", **QUICK)
    assert apart(found.image[0], repainted(mask, sd4, prompt="bricks")) > 0
    assert "1 of 2 layers" in found.notes[0]


LINEAR, CONV = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k", "mid_block.resnets.0.conv1"


def changes_of(unet, folder, tensors, strength=1.0, ending=".safetensors"):
    """How a file of these tensors changes the weights of a linear layer and of a convolution."""
    file = folder / f"changes{ending}"
    for name in (LINEAR, CONV):
        called = "lora_unet_" + name.replace(".", "_")
        tensors = {one.replace(name, called): tensor for one, tensor in tensors.items()}
    save_file(tensors, file) if ending == ".safetensors" else torch.save(tensors, file)
    layers = [unet.get_submodule(name) for name in (LINEAR, CONV)]
    before = [layer.weight.detach().clone() for layer in layers]
    assert lora.add_lora(SimpleNamespace(unet=unet), file, strength) == ""
    changes = [layer.weight.detach() - old for layer, old in zip(layers, before, strict=True)]
    for layer, old in zip(layers, before, strict=True):
        layer.weight.data.copy_(old)
    return changes


@pytest.fixture
def unet(sd4):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(sd4 / "unet")


def made_up(**shapes):
    chance = torch.Generator().manual_seed(3)
    return {name: torch.randn(shape, generator=chance) for name, shape in shapes.items()}


def test_loha_and_lokr(unet, tmp_path):
    """Against the formulas of Hyeon-Woo et al. 2022 (FedPara) and of the Kronecker product."""
    rows, columns = unet.get_submodule(LINEAR).weight.shape
    outputs, inputs = unet.get_submodule(CONV).weight.shape[:2]
    hada = made_up(w1_a=(rows, 2), w1_b=(2, columns), w2_a=(rows, 2), w2_b=(2, columns))
    core = made_up(t1=(3, 3, 3, 3), w1_a=(3, outputs), w1_b=(3, inputs), t2=(3, 3, 3, 3), w2_a=(3, outputs))
    core["w2_b"] = core["w1_b"] * 0.5
    tensors = {f"{LINEAR}.hada_{part}": value for part, value in hada.items()}
    tensors |= {f"{CONV}.hada_{part}": value for part, value in core.items()}
    tensors |= {f"{LINEAR}.alpha": torch.tensor(1.0), f"{CONV}.alpha": torch.tensor(6.0)}
    linear, conv = changes_of(unet, tmp_path, tensors, strength=0.5)
    expected = (hada["w1_a"] @ hada["w1_b"]) * (hada["w2_a"] @ hada["w2_b"])
    torch.testing.assert_close(linear, 0.5 * expected / 2, rtol=1e-4, atol=1e-5)
    one, two = (
        torch.einsum("ijkl,jr,ip->prkl", core[f"t{number}"], core[f"w{number}_b"], core[f"w{number}_a"])
        for number in (1, 2)
    )
    torch.testing.assert_close(conv, 0.5 * one * two * 2, rtol=1e-4, atol=1e-4)

    kron = made_up(w1=(2, 4), w2_a=(rows // 2, 3), w2_b=(3, columns // 4), whole=(outputs // 4, inputs // 2, 3, 3))
    tensors = {f"{LINEAR}.lokr_{part}": kron[part] for part in ("w1", "w2_a", "w2_b")}
    tensors |= {f"{CONV}.lokr_w1": kron["w1"].T.contiguous(), f"{CONV}.lokr_w2": kron["whole"]}
    # Two whole matrices have no rank, so an alpha says nothing.
    tensors |= {f"{LINEAR}.alpha": torch.tensor(1.0), f"{CONV}.alpha": torch.tensor(100.0)}
    linear, conv = changes_of(unet, tmp_path, tensors, ending=".pt")
    expected = torch.kron(kron["w1"], kron["w2_a"] @ kron["w2_b"]) / 3
    torch.testing.assert_close(linear, expected, rtol=1e-4, atol=1e-5)
    expected = torch.kron(kron["w1"].T[..., None, None].contiguous(), kron["whole"])
    torch.testing.assert_close(conv, expected, rtol=1e-4, atol=1e-5)


def test_dora(unet, tmp_path):
    """Along the rows, as peft itself merges it, and along the columns, as LyCORIS saves it."""
    import copy

    import peft

    shapes = [unet.get_submodule(name).weight.shape for name in (LINEAR, CONV)]
    parts = made_up(a=(2, shapes[0][1]), b=(shapes[0][0], 2), c=(2, *shapes[1][1:]), d=(shapes[1][0], 2, 1, 1))
    rows = made_up(linear=(shapes[0][0], 1), conv=(shapes[1][0], 1, 1, 1))
    names = (f"{LINEAR}.lora_down.weight", f"{LINEAR}.lora_up.weight")
    names += (f"{CONV}.lora_down.weight", f"{CONV}.lora_up.weight")
    plain = dict(zip(names, parts.values(), strict=True))
    dora = {**plain, f"{LINEAR}.dora_scale": rows["linear"], f"{CONV}.dora_scale": rows["conv"]}
    found = changes_of(unet, tmp_path, dora)

    config = peft.LoraConfig(r=2, lora_alpha=2, use_dora=True, target_modules=[LINEAR, CONV])
    model = peft.get_peft_model(copy.deepcopy(unet), config)
    state = {name.replace("lora_down", "lora_A").replace("lora_up", "lora_B"): value for name, value in plain.items()}
    state |= {f"{LINEAR}.lora_magnitude_vector": rows["linear"].flatten()}
    state |= {f"{CONV}.lora_magnitude_vector": rows["conv"].reshape(1, -1, 1, 1)}
    given = {f"base_model.model.{name}": value for name, value in state.items()}
    loaded = peft.set_peft_model_state_dict(model, given)
    assert not loaded.unexpected_keys
    merged = model.merge_and_unload()
    for name, change in zip((LINEAR, CONV), found, strict=True):
        expected = merged.get_submodule(name).weight - unet.get_submodule(name).weight
        torch.testing.assert_close(change, expected.detach(), rtol=1e-3, atol=1e-4)
    # peft's own file of it, and half of it.
    for own, whole in zip(changes_of(unet, tmp_path, state), found, strict=True):
        torch.testing.assert_close(own, whole)
    for half, whole in zip(changes_of(unet, tmp_path, dora, strength=0.5), found, strict=True):
        torch.testing.assert_close(half, whole / 2, rtol=1e-4, atol=1e-5)

    columns = made_up(linear=(1, shapes[0][1]), conv=(1, shapes[1][1], 1, 1))
    dora |= {f"{LINEAR}.dora_scale": columns["linear"].abs(), f"{CONV}.dora_scale": columns["conv"].abs()}
    linear, conv = changes_of(unet, tmp_path, dora)
    lengths = (unet.get_submodule(LINEAR).weight + linear).norm(dim=0, keepdim=True)
    torch.testing.assert_close(lengths, columns["linear"].abs(), rtol=1e-3, atol=1e-4)
    lengths = (unet.get_submodule(CONV).weight + conv).pow(2).sum((0, 2, 3), keepdim=True).sqrt()
    torch.testing.assert_close(lengths, columns["conv"].abs(), rtol=1e-3, atol=1e-4)


def test_the_middle_matrix_of_a_convolution(unet, tmp_path):
    linear, (outputs, inputs, *_) = (unet.get_submodule(name).weight.shape for name in (LINEAR, CONV))
    parts = made_up(down=(2, inputs, 1, 1), mid=(3, 2, 3, 3), up=(outputs, 3, 1, 1), a=(2, linear[1]), b=(linear[0], 2))
    tensors = {f"{CONV}.lora_{part}.weight": parts[part] for part in ("down", "mid", "up")}
    tensors |= {f"{LINEAR}.lora_down.weight": parts["a"], f"{LINEAR}.lora_up.weight": parts["b"]}
    change, conv = changes_of(unet, tmp_path, tensors)
    torch.testing.assert_close(change, parts["b"] @ parts["a"], rtol=1e-4, atol=1e-5)
    expected = torch.einsum("or,rsyx,si->oiyx", parts["up"].flatten(1), parts["mid"], parts["down"].flatten(1))
    torch.testing.assert_close(conv, expected, rtol=1e-4, atol=1e-4)


def test_a_pickle_that_would_run_code(mask, sd4, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"lora_unet_mid.lora_down.weight": torch.ones(2, 2), "trap": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(inference.BadModelFile, match="none of it was run"):
        repainted(mask, detailer.Checkpoint(sd4, loras=[(tmp_path / "trap.pt", 1.0)]))
    assert not (tmp_path / "ran").exists()


def test_loras_that_do_not_fit(mask, sd4, pipelines, tmp_path):
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    large = {name + ".lora_down.weight": torch.ones(2, 2048), name + ".lora_up.weight": torch.ones(1280, 2)}
    save_file(large, tmp_path / "large.safetensors")
    save_file({name + ".diff": torch.ones(2, 2)}, tmp_path / "full.safetensors")
    save_file({name + f".hada_w1_{end}": torch.ones(2, 2) for end in "ab"}, tmp_path / "cut.safetensors")
    save_file({name + ".hada_w1_a": torch.ones(2, 2)}, tmp_path / "hada.safetensors")
    save_file({"x.lora_down.weight": torch.ones(2, 2)}, tmp_path / "half.safetensors")
    for file, said in (
        (tmp_path / "large.safetensors", "another model"),
        (tmp_path / "full.safetensors", "a full file"),
        (tmp_path / "cut.safetensors", "lacks a part"),
        (tmp_path / "hada.safetensors", "not a LoRA"),
        (tmp_path / "half.safetensors", "not a LoRA"),
        (pipelines["sd4"][1], "not a LoRA"),
        (tmp_path / "none.safetensors", "no LoRA"),
    ):
        with pytest.raises(inference.MaquetteError, match=said) as raised:
            repainted(mask, detailer.Checkpoint(sd4, loras=[(file, 1.0)]))
        assert raised.value.remedy


# Single files of the published sizes


def sparse_checkpoint(path, shapes, metadata=None):
    """A file with a head of such tensors and, where the system can, no bytes on the disk behind it."""
    head, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        head[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(head).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


UNET = "model.diffusion_model."
TEXT = {
    "sd15": "cond_stage_model.transformer.text_model.a",
    "sdxl": "conditioner.embedders.1.model.a",
    "sdxl_refiner": "conditioner.embedders.0.model.a",
}


def shapes_of(family, channels, context):
    width = 384 if family == "sdxl_refiner" else 320
    place = 1 if family == "sd15" else 4
    return {
        UNET + "input_blocks.0.0.weight": (width, channels, 3, 3),
        f"{UNET}input_blocks.{place}.1.transformer_blocks.0.attn2.to_k.weight": (width, context),
        "first_stage_model.decoder.conv_out.weight": (3, 128, 3, 3),
        TEXT[family]: (1,),
    }


@pytest.mark.parametrize(
    ("family", "channels", "context"),
    [("sd15", 4, 768), ("sd15", 9, 768), ("sdxl", 4, 2048), ("sdxl", 9, 2048), ("sdxl_refiner", 4, 1280)],
)
def test_the_kind_of_a_single_file(tmp_path, family, channels, context):
    file = sparse_checkpoint(tmp_path / "a.safetensors", shapes_of(family, channels, context))
    assert heads.kind_of(heads.read_head(file), file) == heads.Kind(family, channels, "epsilon")
    said = {"modelspec.prediction_type": "v"}
    velocity = sparse_checkpoint(tmp_path / "v.safetensors", shapes_of(family, channels, context), said)
    assert heads.kind_of(heads.read_head(velocity), velocity).prediction == "v_prediction"
    marked = sparse_checkpoint(tmp_path / "m.safetensors", {**shapes_of(family, channels, context), "v_pred": ()})
    assert heads.kind_of(heads.read_head(marked), marked).prediction == "v_prediction"


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"lora_unet_x.lora_down.weight": (1,)}, "a LoRA"),
        ({"control_model.input_hint_block.0.weight": (1,)}, "a ControlNet"),
        ({"double_blocks.0.img_attn.proj.weight": (1,)}, "Flux"),
        ({"decoder.conv_in.weight": (1,)}, "a VAE"),
        ({"down_blocks.0.resnets.0.conv1.weight": (1,)}, "a UNet without"),
        ({"a": (1,)}, "other than Stable Diffusion"),
        (shapes_of("sd15", 8, 768), "8 input channels"),
        (shapes_of("sd15", 4, 1024), "Stable Diffusion 2"),
        (shapes_of("sd15", 4, 96), "other sizes"),
        ({n: s for n, s in shapes_of("sd15", 4, 768).items() if "first_stage" not in n}, "no VAE"),
        ({n: s for n, s in shapes_of("sd15", 4, 768).items() if "cond_stage" not in n}, "no text encoder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_single_files_of_another_kind(mask, tmp_path, shapes, said):
    with pytest.raises(inference.BadModelFile, match=said) as raised:
        repainted(mask, sparse_checkpoint(tmp_path / "a.safetensors", shapes))
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("family", "channels", "count"),
    [("sd15", 4, 859_520_964), ("sd15", 9, 859_535_364), ("sdxl", 4, 2_567_463_684), ("sdxl", 9, 2_567_478_084)],
)
def test_the_shipped_shapes_are_the_published_networks(family, channels, count):
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    with published.config_folder(heads.Kind(family, channels, "v_prediction")) as folder, torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
        first = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
        sizes = [sum(part.numel() for part in network.parameters()) for network in (unet, vae, first)]
        assert sizes == [count, 83_653_863, 123_060_480]
        assert json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["prediction_type"][0] == "v"
        if family == "sdxl":
            second = CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(folder / "text_encoder_2"))
            assert sum(part.numel() for part in second.parameters()) == 694_659_840
            assert CLIPTokenizer.from_pretrained(folder / "tokenizer_2").pad_token_id == 0
    assert not folder.exists()


# Files


def test_files_that_are_no_model(mask, tmp_path, pipelines):
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.safetensors").write_bytes(os.urandom(100))
    (tmp_path / "model.ckpt").write_bytes(b"x")
    (tmp_path / "cut.safetensors").write_bytes(pipelines["sd4"][1].read_bytes()[:-1000])
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    other = tmp_path / "other"
    other.mkdir()
    (other / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    for model, error in (
        (tmp_path / "nowhere", inference.MissingModel),
        ("no-such-model", inference.MissingModel),
        (tmp_path / "empty", inference.BadModelFile),
        (tmp_path / "model.ckpt", inference.BadModelFile),
        (tmp_path / "noise.safetensors", inference.BadModelFile),
        (tmp_path / "cut.safetensors", inference.BadModelFile),
        (pipelines["sd4"][1], inference.BadModelFile),  # of no published size
        (detailer.Checkpoint(tmp_path / "noise.safetensors", config=pipelines["sd4"][0]), inference.BadModelFile),
        (detailer.Checkpoint(pipelines["sd4"][1], config=tmp_path / "empty"), inference.BadModelFile),
        (broken, inference.BadModelFile),
        (other, inference.BadModelFile),
    ):
        with pytest.raises(error) as raised:
            repainted(mask, model)
        assert raised.value.remedy


def test_a_folder_without_tokenizer(mask, sd4, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(sd4, folder, ignore=shutil.ignore_patterns("tokenizer"))
    with pytest.raises(inference.BadModelFile, match="no tokenizer"):
        repainted(mask, folder)
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    (folder / "text_encoder" / "config.json").write_text(
        json.dumps({**config, "vocab_size": 49408, "eos_token_id": 2, "bos_token_id": 0})
    )
    weights = load_file(folder / "text_encoder" / "model.safetensors")
    (name,) = [name for name in weights if name.endswith("token_embedding.weight")]
    weights[name] = torch.randn(49408, weights[name].shape[1])
    save_file(weights, folder / "text_encoder" / "model.safetensors", {"format": "pt"})
    assert np.isfinite(repainted(mask, folder, prompt="a photo of a cat")).all()


def test_models_are_found_by_name(mask, sd4, pipelines, tmp_path):
    root = tmp_path / "models" / "detailer"
    (root / "controlnet").mkdir(parents=True)
    shutil.copytree(sd4, root / "mine")
    shutil.copy(pipelines["sd4"][1], root / "single.safetensors")
    shutil.copytree(pipelines["cn"][0] / "controlnet", root / "controlnet" / "depth")
    where = {"models_dir": tmp_path / "models"}
    expected = repainted(mask, sd4)
    np.testing.assert_array_equal(repainted(mask, "mine", **where), expected)
    single = detailer.Checkpoint("single", config=sd4, controlnet="depth")
    np.testing.assert_allclose(repainted(mask, single, **where), expected, atol=1e-3)
    with pytest.raises(inference.MissingModel, match="depths"):
        repainted(mask, detailer.Checkpoint("mine", controlnet="depths"), **where)


def test_a_model_that_answers_nothing_finite(mask, sd4, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(sd4, folder)
    weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    weights["conv_out.bias"][:] = math.nan
    save_file(weights, folder / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(inference.MaquetteError, match="not finite"):
        repainted(mask, folder)


def test_a_plan_of_a_pipeline(mask, sd4, pipelines):
    plan = detailer.plan(PHOTO, mask, sd4, **QUICK, sampler="heun", cycle=2)
    (part,) = plan.segments
    done = detailer.detail_mask(PHOTO, mask, sd4, **QUICK).segments[0]
    assert (part.box, part.crop, part.work, part.scale) == (done.box, done.crop, done.work, done.scale)
    assert part.latent == (part.work[0] // 8, part.work[1] // 8) and plan.calls == part.calls == 2 * 2 * 2
    numbers = heads.read_head(pipelines["sd4"][1]).parameters()
    assert plan.weights == pytest.approx(4 * numbers, rel=0.01) and plan.memory == plan.weights + part.memory
    halved = detailer.plan(PHOTO, mask, sd4, **{**QUICK, "device": "cuda"}, precision="float16")
    assert halved.weights * 2 == plan.weights
    assert detailer.plan(PHOTO, mask, sd4, **QUICK, refiner=pipelines["sd9"][0]).weights > 1.9 * plan.weights
    with pytest.raises(inference.MissingModel):
        detailer.plan(PHOTO, mask, "no-such-model")


@pytest.fixture(scope="module")
def flow(tiny_pipeline):
    """kind -> the folder of a random model with a pipeline of its own."""
    yield lambda kind: tiny_pipeline(kind) / kind
    inference.free_memory()


@pytest.mark.parametrize("kind", ["flux2-klein", "z-image", pytest.param("qwen-image-edit", marks=pytest.mark.full)])
class TestPipelinesOfTheirOwn:
    """FLUX.2 klein, Z-Image and Qwen-Image, painted with by diffusers' own pipelines."""

    def test_paints_under_the_mask_alone_and_the_same_for_a_seed(self, flow, mask, kind) -> None:
        told: list[float] = []
        first = repainted(mask, flow(kind), denoise=1.0, progress=lambda share, _line: told.append(share))
        changed = np.abs(first - SMOOTH).max(-1) > 0.5 / 255
        rows, columns = np.nonzero(changed)
        assert changed[45:75, 35:65].mean() > 0.9, "painted"
        assert rows.min() >= 35 and rows.max() < 85 and columns.min() >= 25 and columns.max() < 75, "within the feather"
        assert len(told) > 3 and told == sorted(told)
        if kind == "z-image":  # the seconds of one suffice
            np.testing.assert_array_equal(first, repainted(mask, flow(kind), denoise=1.0))
            other = repainted(mask, flow(kind), denoise=1.0, seed=1)
            assert np.abs(other - first).max() > 0.01

    def test_what_it_does_not_use_is_said(self, flow, mask, kind) -> None:
        given = {**QUICK, "sampler": "heun", "control": PHOTO, "cfg": 5.0, "negative_prompt": "blurred"}
        notes = " ".join(detailer.plan(PHOTO, mask, flow(kind), **given).notes)
        assert "Sampler was not used: the model has its own steps" in notes and "Control was not used" in notes
        assert ("Guidance was not used" in notes) == (kind == "flux2-klein")
        assert ("Negative Prompt was not used" in notes) == (kind == "flux2-klein")

    def test_the_plan_counts_its_networks(self, flow, mask, kind) -> None:
        plan = detailer.plan(PHOTO, mask, flow(kind), **QUICK, precision="float32")
        held = [load_file(file) for file in flow(kind).rglob("*.safetensors")]
        assert plan.weights == 4 * sum(tensor.numel() for tensors in held for tensor in tensors.values())


@pytest.mark.parametrize(
    ("kind", "size", "width", "vae", "token", "weights", "measured"),
    [
        ("Flux2Klein", 256, 192, 24 + 48, 4, 9.7, 133.0),
        ("Flux2Klein", 512, 192, 24 + 48, 4, 9.7, 504.3),
        ("ZImage", 256, 96, 24 + 48, 4, 4.4, 45.2),
        ("ZImage", 192, 96, 24 + 48, 4, 4.4, 27.8),
        ("QwenImageEdit", 256, 96, 24 + 24, 16, 7.3, 1591.6),
    ],
)
def test_the_plans_memory_is_what_was_measured(kind, size, width, vae, token, weights, measured) -> None:
    """MiB above what the process held before, of the wide made-up pipelines on the CPU, with guidance of 8."""
    own = heads.Footprint(0, 0, width, vae, family=FAMILIES[kind], token=token)
    held = planning._bytes(own, size, size, 2, False, 4) / 2**20
    assert held + weights == pytest.approx(measured + weights, rel=0.15)
    assert planning._bytes(own, size, size, 2, True, 4) <= planning._bytes(own, size, size, 2, False, 4)


@pytest.mark.parametrize("kind", ["AutoencoderKL", "AutoencoderKLFlux2"])
def test_tiles_of_a_vae_make_the_whole_picture(kind) -> None:
    torch.manual_seed(0)
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    sizes = {"block_out_channels": (4, 4, 8, 8), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4}
    vae = getattr(diffusers, kind)(**blocks, **sizes).eval()
    for module in list(vae.modules()):  # a made-up network's statistics of a tile say nothing about a real one's
        for name, part in list(module.named_children()):
            if isinstance(part, torch.nn.GroupNorm):
                setattr(module, name, torch.nn.Identity())
    photo = inference.load_photo(sample_photo("gravel")).pixels[:400, :344].astype(np.float32) / 255
    picture = torch.from_numpy(photo).permute(2, 0, 1)[None] * 2 - 1
    with torch.no_grad():
        whole, tiled = [], []
        for found, tiles in ((whole, False), (tiled, True)):
            flow_models._in_tiles(vae, photo, tiles)
            latent = vae.encode(picture).latent_dist.mode()
            found += [latent, vae.decode(whole[0] if whole else latent).sample]
    for one, other in zip(whole, tiled, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().mean() < 0.01 * one.std()
    assert (whole[1] - tiled[1]).abs().max() < 0.2 * whole[1].std(), "no seam"


@pytest.mark.parametrize("size", [(400, 400), (512, 512), (1024, 1024), (1024, 680), (1664, 944), (520, 264)])
def test_no_tile_is_a_sliver(size) -> None:
    side = flow_models.tile_side(size, 8)
    assert 256 <= side <= 512 and side % 32 == 0
    step = side * 3 // 4
    for length in size:
        assert length <= side or length - (length - 1) // step * step >= 64


def test_what_does_not_fit_is_said_with_what_helps(flow, mask, monkeypatch) -> None:
    monkeypatch.setattr(planning, "_available", lambda device: 100_000)
    (said,) = [note for note in detailer.plan(PHOTO, mask, flow("z-image"), **QUICK).notes if "needs" in note]
    assert "GB are free: choose a smaller or quantised (GGUF) model." in said
    weights = detailer.plan(PHOTO, mask, flow("z-image"), **QUICK).weights
    monkeypatch.setattr(planning, "_available", lambda device: weights + 1)
    (said,) = [note for note in detailer.plan(PHOTO, mask, flow("z-image"), **QUICK).notes if "needs" in note]
    assert said.endswith("free: lower max_size, or switch on tiling.")


def test_a_quantised_folder_is_refused_in_one_sentence(flow, mask, tmp_path) -> None:
    folder = shutil.copytree(flow("z-image"), tmp_path / "folder")
    config = folder / "transformer" / "config.json"
    told = {
        **json.loads(config.read_text()),
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    }
    config.write_text(json.dumps(told))
    for ask in (repainted, lambda mask, model: detailer.plan(PHOTO, mask, model, **QUICK)):
        with pytest.raises(inference.BadModelFile, match="is quantised"):
            ask(mask, folder)


def test_a_pipeline_of_its_own_can_be_stopped(flow, mask) -> None:
    def stop(share: float, line: str) -> None:
        if line.startswith("Step 2"):
            raise inference.Cancelled

    with pytest.raises(inference.Cancelled):
        repainted(mask, flow("z-image"), progress=stop)


def test_z_image_with_a_control_net_as_folder_and_as_file(flow, mask, tmp_path) -> None:
    torch.manual_seed(0)
    sizes = {"dim": 16, "n_refiner_layers": 1, "n_heads": 1, "n_kv_heads": 1, "control_layers_places": [0]}
    sizes |= {"control_refiner_layers_places": [0], "add_control_noise_refiner": "control_noise_refiner"}
    for name, channels in (("union", 4 + 1 + 4), ("first", 4)):
        network = diffusers.ZImageControlNetModel(control_in_dim=channels, **sizes)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        network.save_pretrained(tmp_path / name)
        save_file(network.state_dict(), tmp_path / f"{name}.safetensors")

    def painted(network, **given):
        model = detailer.Checkpoint(flow("z-image"), controlnet=tmp_path / network)
        return detailer.detail_mask(PHOTO, mask, model, **{**QUICK, "denoise": 1.0, **given})

    model = detailer.Checkpoint(flow("z-image"), controlnet=tmp_path / "union")
    plan = detailer.plan(PHOTO, mask, model, **QUICK, control=PHOTO, sampler="heun")
    network = sum(tensor.numel() for tensor in load_file(tmp_path / "union.safetensors").values())
    assert plan.weights - detailer.plan(PHOTO, mask, flow("z-image"), **QUICK).weights == 4 * network
    assert plan.calls == QUICK["steps"]
    found = painted("union", control=PHOTO, denoise=0.5)
    assert any("paints from noise" in note for note in found.notes)
    assert not any("Control was" in note for note in found.notes)
    from_file = painted("union.safetensors", control=PHOTO)
    np.testing.assert_allclose(from_file.image, found.image, atol=1e-5)
    plain = repainted(mask, flow("z-image"), denoise=1.0)
    assert apart(from_file.image[0], painted("union", control=PHOTO, control_strength=0.0).image[0]) > 1e-3
    np.testing.assert_array_equal(painted("union").image[0], plain, "nothing to follow")
    assert apart(from_file.image[0], plain) > 1e-3
    for wrong in ("first", "first.safetensors"):
        with pytest.raises(inference.BadModelFile, match="painting under a mask"):
            painted(wrong, control=PHOTO)


@pytest.mark.full
def test_qwen_image_with_a_control_net_that_follows_the_photo(flow, mask, tmp_path) -> None:
    torch.manual_seed(0)
    sizes = {"in_channels": 16, "out_channels": 4, "num_layers": 1, "attention_head_dim": 16, "num_attention_heads": 1}
    sizes |= {"joint_attention_dim": 8, "axes_dims_rope": (4, 6, 6), "extra_condition_channels": 4}
    network = diffusers.QwenImageControlNetModel(**sizes)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    network.save_pretrained(tmp_path / "inpaint")
    model = detailer.Checkpoint(flow("qwen-image"), controlnet=tmp_path / "inpaint")
    found = repainted(mask, model, denoise=1.0)
    assert apart(found, repainted(mask, flow("qwen-image"), denoise=1.0)) > 1e-3
    assert apart(found, repainted(mask, model, denoise=1.0, control_start=1.0)) > 1e-3


@pytest.fixture
def z_lora(flow, tmp_path):
    """name, parts of a layer's change, start of the names -> Z-Image with a random LoRA of that kind."""
    model, chance = flow("z-image"), torch.Generator().manual_seed(1)
    weights = load_file(next((model / "transformer").glob("*.safetensors")))
    layers = {name: weights[f"{name}.weight"].shape for name in ("layers.0.attention.to_q", "layers.0.attention.to_v")}

    def some(*shape):
        return torch.randn(shape, generator=chance)

    def made(sizes, start):
        tensors = {start + name + end: some(*size) for name, at in layers.items() for end, size in sizes(*at).items()}
        save_file(tensors, tmp_path / "file.safetensors")
        return detailer.Checkpoint(model, loras=[(tmp_path / "file.safetensors", 0.8)])

    return made


def plain_parts(rows, columns):
    return {".lora_A.weight": (2, columns), ".lora_B.weight": (rows, 2)}


def test_kinds_of_lora_that_diffusers_drops_act_on_a_pipeline_of_its_own(flow, mask, z_lora) -> None:
    def loha(rows, columns):
        sides = {"1_a": (rows, 2), "1_b": (2, columns), "2_a": (rows, 2), "2_b": (2, columns)}
        return {f".hada_w{end}": size for end, size in sides.items()}

    def dora(rows, columns):
        return {**plain_parts(rows, columns), ".lora_magnitude_vector": (rows,)}

    without = repainted(mask, flow("z-image"), denoise=1.0)
    for sizes, start in ((dora, "transformer."), (loha, "diffusion_model.")):
        assert apart(repainted(mask, z_lora(sizes, start), denoise=1.0), without) > 1e-3


def test_loras_and_control_nets_of_another_family_are_told_by_their_names(flow, mask, pipelines, tmp_path) -> None:
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    parts = {f"{layer}.lora_down.weight": torch.ones(2, 32), f"{layer}.lora_up.weight": torch.ones(32, 2)}
    save_file(parts, tmp_path / "other.safetensors")
    own, net = flow("z-image"), pipelines["cn"][0] / "controlnet"
    for model in (
        detailer.Checkpoint(own, loras=[(tmp_path / "other.safetensors", 1.0)]),
        detailer.Checkpoint(own, controlnet=net),
        detailer.Checkpoint(pipelines["sd4"][0], controlnet=own / "transformer"),
        detailer.Checkpoint(pipelines["xl4"][0], controlnet=net),
    ):
        with pytest.raises(inference.BadModelFile, match=r"other.safetensors changes|is not a ControlNet") as raised:
            repainted(mask, model, control=PHOTO)
        assert "made for this model" in raised.value.remedy


@pytest.mark.full
def test_loras_of_a_pipeline_of_its_own_are_those_of_diffusers(mask, z_lora, monkeypatch) -> None:
    model = z_lora(plain_parts, "transformer.")
    found = repainted(mask, model, denoise=1.0)
    inference.free_memory()
    monkeypatch.setattr("maquette.inference.detailer.diffusion.lora.merges", lambda *_given: False)
    np.testing.assert_allclose(repainted(mask, model, denoise=1.0), found, atol=1e-4)


def test_a_folder_of_the_catalogue_is_found_by_name(flow, mask, tmp_path) -> None:
    place = shutil.copytree(flow("z-image"), tmp_path / "detailer" / "z-image-turbo")
    found = detailer.detail_mask(PHOTO, mask, "z-image-turbo", **QUICK, cfg=6.0, models_dir=tmp_path)
    assert any("Guidance was not used: the model was distilled" in note for note in found.notes)
    (place / "model_index.json").unlink()
    with pytest.raises(inference.MissingModel, match="not installed") as missing:
        repainted(mask, "qwen-image-edit-2511", models_dir=tmp_path)
    assert missing.value.arguments["file"].startswith("detailer/qwen-image-edit-2511/")
