# SPDX-License-Identifier: GPL-3.0-or-later
"""Transformers of FLUX.2 klein, Z-Image and Qwen-Image in files of their own: GGUF and .safetensors."""

import shutil

import gguf
import numpy as np
import pytest
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import detailer
from maquette.inference.options.detail import pipeline_folder
from safetensors.torch import load_file, save_file

PHOTO = inference.load_photo(sample_photo("brick")).pixels[:120, :120]
MASK = np.zeros((120, 120), np.float32)
MASK[40:80, 40:80] = 1
QUICK = {"steps": 2, "denoise": 1.0, "guide_size": 64, "max_size": 96, "crop_factor": 1.3, "device": "cpu"}


@pytest.fixture(scope="module")
def flow(tmp_path_factory, tiny_pipeline):
    """kind -> a folder that may be added to, with the random model in a folder of its own name."""
    made = {}

    def place(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            shutil.copytree(tiny_pipeline(kind) / kind, made[kind] / kind)
        return made[kind]

    yield place
    inference.free_memory()


def tensors_of(folder):
    return load_file(next((folder / "transformer").glob("*.safetensors")))


def write_gguf(file, tensors, kind=gguf.GGMLQuantizationType.Q8_0):
    writer = gguf.GGUFWriter(str(file), "none")
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        fits = values.ndim == 2 and values.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
        packed = gguf.quants.quantize(values, kind) if fits else values
        writer.add_tensor(name, packed, raw_dtype=kind if fits else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def painted(model, **given):
    return detailer.detail_mask(PHOTO, MASK, model, **{**QUICK, **given}).image[0]


def plan(model, **given):
    return detailer.plan(PHOTO, MASK, model, **{**QUICK, **given})


def published(tensors):
    """Z-Image's under the names of its publisher."""
    names = {"all_final_layer.2-1.": "final_layer.", "all_x_embedder.2-1.": "x_embedder.", "to_out.0.": "out."}
    names |= {"attention.norm_q.": "attention.q_norm.", "attention.norm_k.": "attention.k_norm."}
    made = {}
    for name, tensor in tensors.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        made[f"model.diffusion_model.{name}"] = tensor
    for name in [name for name in made if name.endswith("to_q.weight")]:
        parts = [made.pop(name.replace("to_q", part)) for part in ("to_q", "to_k", "to_v")]
        made[name.replace("to_q", "qkv")] = torch.cat(parts)
    return made


@pytest.mark.parametrize("kind", ["flux2-klein", pytest.param("qwen-image-edit", marks=pytest.mark.full)])
def test_a_quantised_file_beside_its_folder_paints_as_the_folder(flow, kind) -> None:
    place = flow(kind)
    file = write_gguf(place / f"{kind.replace('-', '_')}_Q8_0.gguf", tensors_of(place / kind))
    whole, quantised = painted(place / kind), painted(file)
    assert 0 < np.abs(whole - quantised).max() < 0.02
    assert np.abs(whole - PHOTO / np.float32(255)).max() > 0.1
    assert plan(file).notes == plan(place / kind).notes


def test_its_memory_is_that_of_its_bytes(flow) -> None:
    place = flow("flux2-klein")
    tensors = tensors_of(place / "flux2-klein")
    file = write_gguf(place / "flux2-klein.gguf", tensors)
    own = 4 * sum(tensor.numel() for tensor in tensors.values())
    packed = sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(file).tensors)
    assert packed < own / 3
    assert plan(file).weights == plan(place / "flux2-klein").weights - own + packed
    assert plan(file, precision="float16", device="cuda").weights > packed, "what is packed is not halved"


def test_the_publishers_names_in_place_of_the_folders_own_and_plain(flow, tmp_path) -> None:
    place = flow("z-image")
    whole = painted(place / "z-image")
    folder = shutil.copytree(place / "z-image", tmp_path / "model")
    tensors = published(tensors_of(folder))
    for file in (folder / "transformer").glob("*.safetensors"):
        file.unlink()
    first = write_gguf(folder / "transformer" / "a.gguf", tensors, gguf.GGMLQuantizationType.BF16)
    assert np.abs(painted(folder) - whole).max() < 0.05
    shutil.copy(first, folder / "transformer" / "b.gguf")
    with pytest.raises(inference.BadModelFile, match="holds 2 transformers"):
        painted(folder)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, place / "z_image_plain.safetensors")
    np.testing.assert_allclose(painted(place / "z_image_plain.safetensors"), whole, atol=1e-5)


def test_which_folder_completes_a_file(flow, tmp_path) -> None:
    for name in ("z-image", "z-image-turbo", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model_index.json").write_text('{"_class_name": "ZImagePipeline"}')
    for name, folder in (("Z_Image_Turbo-Q4_K.gguf", "z-image-turbo"), ("z-image-q8.gguf", "z-image")):
        (tmp_path / name).write_bytes(b"")
        assert pipeline_folder(tmp_path / name) == tmp_path / folder
    inside = tmp_path / "other" / "x.gguf"
    inside.write_bytes(b"")
    assert pipeline_folder(inside) == tmp_path / "other"
    assert pipeline_folder(tmp_path / "z-image") == tmp_path / "z-image"


def test_a_lora_lies_over_a_quantised_file(flow, tmp_path) -> None:
    place = flow("flux2-klein")
    file = write_gguf(place / "flux2-klein-q8.gguf", tensors_of(place / "flux2-klein"))
    layer, chance = "transformer.transformer_blocks.0.attn.to_q", torch.Generator().manual_seed(0)
    parts = {f"{layer}.lora_{part}.weight": torch.randn((2, 32), generator=chance) for part in "AB"}
    parts[f"{layer}.lora_B.weight"] = parts[f"{layer}.lora_B.weight"].T.contiguous()
    save_file(parts, tmp_path / "plain.safetensors")
    save_file({**parts, f"{layer}.lora_magnitude_vector": torch.ones(32)}, tmp_path / "dora.safetensors")
    loras = [(tmp_path / "plain.safetensors", 1.0)]
    found = painted(detailer.Checkpoint(file, loras=loras))
    assert np.abs(found - painted(file)).max() > 1e-3
    same = painted(detailer.Checkpoint(place / "flux2-klein", loras=loras))
    assert np.abs(found - same).max() < 0.02
    with pytest.raises(inference.BadModelFile, match="DoRA"):
        painted(detailer.Checkpoint(file, loras=[(tmp_path / "dora.safetensors", 1.0)]))


def test_wrong_files_are_told_in_one_sentence(flow, tmp_path) -> None:
    place = flow("flux2-klein")
    folder, tensors = place / "flux2-klein", tensors_of(place / "flux2-klein")
    whole = write_gguf(place / "flux2-klein-whole.gguf", tensors).read_bytes()
    (place / "flux2-klein-cut.gguf").write_bytes(whole[: len(whole) // 2])
    (place / "flux2-klein-none.gguf").write_bytes(b"GGUF" + bytes(64))
    (tmp_path / "alone.gguf").write_bytes(whole)
    write_gguf(place / "flux2-klein-half.gguf", {name: one for name, one in tensors.items() if "single_t" not in name})
    write_gguf(place / "flux2-klein-text.gguf", {"blk.0.attn_q.weight": torch.ones(32, 32)})
    write_gguf(place / "flux2-klein-z.gguf", tensors_of(flow("z-image") / "z-image"))
    write_gguf(place / "flux2-klein-wide.gguf", {**tensors, "x_embedder.weight": torch.ones(64, 16)})
    more = {name.replace("blocks.0", "blocks.1"): tensor for name, tensor in tensors.items()}
    write_gguf(place / "flux2-klein-more.gguf", {**tensors, **more})
    scaled = {**tensors, "proj_out.scale_weight": torch.ones(())}
    save_file(scaled, place / "flux2-klein-fp8.safetensors")
    for name, said in (
        ("cut.gguf", "damaged or cut off"),
        ("none.gguf", "not a GGUF file"),
        ("half.gguf", "values of a network with"),
        ("text.gguf", "no transformer"),
        ("z.gguf", "not made for the model"),
        ("wide.gguf", "not made for the model"),
        ("more.gguf", "values of a network with"),
        ("fp8.safetensors", "quantised with scales"),
    ):
        with pytest.raises(inference.BadModelFile, match=said) as raised:
            painted(place / f"flux2-klein-{name}")
        assert raised.value.remedy, name
    for ask in (painted, plan):
        with pytest.raises(inference.BadModelFile, match="without its text encoder"):
            ask(tmp_path / "alone.gguf")
    named = detailer.Checkpoint(tmp_path / "alone.gguf", config=folder)
    np.testing.assert_array_equal(painted(named), painted(place / "flux2-klein-whole.gguf"))
