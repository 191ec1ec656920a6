# SPDX-License-Identifier: GPL-3.0-or-later
"""What a checkpoint holds, judged by the header of its file alone: names and shapes of tensors. No torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...errors import BadModelFile
from .families import Family, family_of

REMEDY = (
    "Choose a diffusers folder or a .safetensors file of Stable Diffusion 1.5 or XL, or a folder of FLUX.2 klein, "
    "Z-Image or Qwen-Image."
)
CONTROL_REMEDY = "Choose a ControlNet that was made for this model."
#: Pipelines whose networks the engine knows.
_KNOWN, _UNKNOWN = ("StableDiffusion", "StableDiffusionXL"), "StableDiffusion3"
#: Prefixes of a single file's networks: the UNet, the VAE, and the text encoders of 1.5, XL, and XL's refiner.
_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_CLIP, _FIRST, _SECOND = "cond_stage_model.transformer.", "conditioner.embedders.0.", "conditioner.embedders.1."
#: Prefixes that some programs gave to the tensors' names -> those that Stable Diffusion was published with.
_UNUSUAL = (
    (re.compile(r"^state_dict\."), ""),
    (re.compile(r"^diffusion_model\."), _UNET),
    (
        re.compile(
            r"^(cond_stage_model|conditioner\.embedders\.0)\.transformer\.(embeddings|encoder|final_layer_norm)\."
        ),
        r"\1.transformer.text_model.\2.",
    ),
)
#: Ends of the names of numbers that others are to be multiplied by.
_SCALES = (
    *(".scale_weight", ".weight_scale", ".scale_input", ".input_scale", "scaled_fp8", ".comfy_quant"),
    *(".absmax", ".quant_map", ".wscales"),
)
_PLAIN = "Choose a GGUF file of the model, or its own folder; float16 and offload halve its memory and more."
#: What else artists take for a checkpoint: start of a name -> what the file holds.
_OTHERS = {
    "lora_": "a LoRA, which changes a model but is not one",
    "control_model.": "a ControlNet",
    "controlnet_cond_embedding.": "a ControlNet",
    "double_blocks.": "a Flux model",
    "model.diffusion_model.double_blocks.": "a Flux model",
    "model.diffusion_model.joint_blocks.": "a Stable Diffusion 3 model",
    "joint_blocks.": "a Stable Diffusion 3 model",
    "transformer_blocks.": "a model of another architecture",
    "down_blocks.": "a UNet without text encoder and VAE",
    "decoder.": "a VAE without a UNet",
    "text_model.": "a text encoder without a UNet",
}


@dataclass(frozen=True)
class Head:
    """tensors : name -> shape.  metadata : what the file says about itself.  unusual : the file uses other names."""

    tensors: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    unusual: bool = False

    def shape(self, name: str) -> tuple[int, ...]:
        """() for a missing tensor."""
        return self.tensors.get(name, ())

    def starts(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self.tensors)

    def parameters(self, prefix: str = "") -> int:
        """How many values the tensors hold whose names start like this."""
        return sum(math.prod(shape) for name, shape in self.tensors.items() if name.startswith(prefix))


@dataclass(frozen=True)
class Kind:
    """family : "sd15", "sdxl" or "sdxl_refiner".  channels : 4, or 9 for a model made for inpainting.
    prediction : what the UNet predicts, "epsilon" or "v_prediction".
    """

    family: str
    channels: int
    prediction: str


def usual_name(name: str) -> str:
    """The published name of a tensor in a single file."""
    for unusual, usual in _UNUSUAL:
        name = unusual.sub(usual, name)
    return name


def read_head(path: Path) -> Head:
    """The header of a .safetensors file. Raises `BadModelFile`."""
    try:
        with safe_open(path, "np") as file:
            names = list(file.keys())
            if any(name.endswith(_SCALES) for name in names):
                message = f"{path} is quantised with scales (as fp8 scaled, NF4 or SVDQuant), which is not read here."
                raise BadModelFile(message, _PLAIN)
            tensors = {usual_name(name): tuple(file.get_slice(name).get_shape()) for name in names}
            return Head(tensors, file.metadata() or {}, unusual=tensors.keys() != set(names))
    except (OSError, SafetensorError) as error:
        message = f"{path} is not a .safetensors file, or is damaged or cut off."
        raise BadModelFile(message, "Download it again.") from error


def kind_of(head: Head, path: Path) -> Kind:
    """Which published network a single file holds. Raises `BadModelFile` that says what it is instead."""
    first = head.shape(_UNET + "input_blocks.0.0.weight")
    if len(first) != 4:
        found = next(
            (what for prefix, what in _OTHERS.items() if head.starts(prefix)), "something other than Stable Diffusion"
        )
        raise BadModelFile(f"{path} holds {found}.", REMEDY)
    family = _family(head, first[0], path)
    check_channels(first[1], path)
    encoder = {"sd15": _CLIP, "sdxl": _SECOND, "sdxl_refiner": _FIRST}[family]
    for prefix, what in ((_VAE, "VAE"), (encoder, "text encoder")):
        if not head.starts(prefix):
            raise BadModelFile(f"{path} has no {what}.", "Choose a complete checkpoint.")
    prediction = head.metadata.get("modelspec.prediction_type", "").lower()
    velocity = "v_pred" in head.tensors or prediction in ("v", "v_prediction", "velocity")
    return Kind(family, first[1], "v_prediction" if velocity else "epsilon")


def check_channels(count: int, path: Path) -> None:
    """Raises `BadModelFile` for a UNet with other inputs than this engine gives it."""
    if count not in (4, 9):
        raise BadModelFile(f"{path} has a UNet with {count} input channels, which was made for another task.", REMEDY)


def check_control(path: Path, kind: str) -> None:
    """Raises `BadModelFile` for a folder that holds another network than a ControlNet of this class of diffusers."""
    if path.is_dir() and _config(path).get("_class_name") != kind:
        raise BadModelFile(f"{path} is not a ControlNet for this model.", CONTROL_REMEDY)


def _family(head: Head, width: int, path: Path) -> str:
    """By the UNet's width, and the width of the text that it attends to."""
    text = {head.shape(f"{_UNET}input_blocks.{place}.1.transformer_blocks.0.attn2.to_k.weight")[1:] for place in (1, 4)}
    for family, channels, context in (("sd15", 320, 768), ("sdxl", 320, 2048), ("sdxl_refiner", 384, 1280)):
        if width == channels and (context,) in text:
            return family
    if (1024,) in text:
        raise BadModelFile(f"{path} is a model of Stable Diffusion 2, which is not supported.", REMEDY)
    raise BadModelFile(
        f"The networks in {path} have other sizes than those of Stable Diffusion 1.5 and XL.",
        "Give the diffusers folder of the model that it was trained from as `config`.",
    )


def check_quantised(path: Path) -> None:
    """Raises `BadModelFile` for a folder in numbers that need a package which is not here, or with such files."""
    methods = []
    for config in sorted(path.glob("*/config.json")):
        with suppress(OSError, ValueError, LookupError, TypeError):
            methods.append(str(json.loads(config.read_text("utf-8"))["quantization_config"]["quant_method"]))
    for method in methods:
        if find_spec(method) is None:
            message = f"{path} is quantised ({method}), which needs a package that does not come with Maquette."
            raise BadModelFile(message, _PLAIN)
    for file in sorted(path.glob("transformer/*.safetensors")):
        read_head(file)


def check_folder(folder: Path) -> None:
    """Raises `BadModelFile` for a folder without a pipeline that the engine supports."""
    check_quantised(folder)
    name = class_name(folder)
    if family_of(name) is not None:
        return
    if not name.startswith(_KNOWN) or name.startswith(_UNKNOWN) or not name.endswith("Pipeline"):
        raise BadModelFile(f"{folder} holds {name or 'no pipeline'}, which cannot be used here.", REMEDY)


def class_name(folder: Path) -> str:
    """The pipeline's class according to the folder's index, or ""."""
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
        return str(index.get("_class_name", ""))
    except (OSError, ValueError, AttributeError):
        return ""


@dataclass(frozen=True)
class Footprint:
    """parameters : of all networks.  largest : of the part that lies on the device by itself with `offload`.
    unet, vae : channels of their first and last layers, with a `family` of the transformer and of the VAE's first two
    levels; the memory that they need for a picture is proportional to these.  packed : bytes of what is quantised,
    beside the parameters.  family : of a model with a pipeline of its own.  token : pixels along a side of what its
    transformer takes as one."""

    parameters: int
    largest: int
    unet: int
    vae: int
    packed: int = 0
    family: Family | None = None
    token: int = 16


def footprint(path: Path) -> Footprint:
    """Of a diffusers folder or single file. Raises `BadModelFile`."""
    if path.is_dir():
        check_folder(path)
        return _of_folder(path)
    head, parts = read_head(path), list(parts_of(path).values())
    first, last = head.shape(_UNET + "input_blocks.0.0.weight"), head.shape(_VAE + "decoder.conv_out.weight")
    if not first or not last:
        kind_of(head, path)
    return Footprint(sum(parts), max(parts), first[0] if first else 320, last[1] if len(last) > 1 else 128)


def parts_of(path: Path) -> dict[str, int]:
    """Network -> how many of its values the folder or single file holds. Raises `BadModelFile`."""
    if not path.is_dir():
        head = read_head(path)
        first, second = head.parameters("cond_stage_model.") + head.parameters(_FIRST), head.parameters(_SECOND)
        # XL's refiner has only the second encoder, under the first one's name.
        texts = (first, second) if second or not head.starts(_FIRST + "model.") else (0, first)
        names = ("unet", "vae", "text_encoder", "text_encoder_2")
        return dict(zip(names, (head.parameters(_UNET), head.parameters(_VAE), *texts), strict=True))
    parts = {}
    for name in ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "controlnet"):
        parts[name] = values_of(path / name)
    return parts


def values_of(path: Path) -> int:
    """How many values the network in a folder or file holds. Raises `BadModelFile`."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"), key=lambda file: len(file.name))
    plain = [file for file in files if ".fp16" not in file.name and ".non_ema" not in file.name] or files
    return sum(read_head(file).parameters() for file in plain)


def width_of(folder: Path) -> int:
    """Channels of the transformer in a diffusers folder. Raises `BadModelFile`."""
    config = _config(folder / "transformer")
    try:
        return int(config.get("dim") or config["num_attention_heads"] * config["attention_head_dim"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"{folder} lacks transformer/config.json, or it is damaged."
        raise BadModelFile(message, "Download it again.") from error


def _of_pipeline(folder: Path, family: Family) -> Footprint:
    """With `offload`, diffusers moves such networks layer by layer."""
    heads = [read_head(file) for file in sorted(folder.glob("*/*.safetensors"))]
    largest = max((math.prod(shape) for head in heads for shape in head.tensors.values()), default=0)
    config = _config(folder / "vae")
    base, steps = config.get("base_dim", 96), config.get("dim_mult", [1, 2, 4, 4])
    channels = config.get("block_out_channels") or [base * step for step in steps]
    sizes = {"unet": width_of(folder), "vae": sum(channels[:2]), "token": 2 ** len(channels)}
    return Footprint(sum(parts_of(folder).values()), largest, **sizes, family=family)


def _of_folder(folder: Path) -> Footprint:
    family = family_of(class_name(folder))
    if family is not None:
        return _of_pipeline(folder, family)
    parts = list(parts_of(folder).values())
    return Footprint(
        sum(parts), max(parts), _first_channels(folder / "unet", 320), _first_channels(folder / "vae", 128)
    )


def _first_channels(folder: Path, otherwise: int) -> int:
    try:
        return int(_config(folder)["block_out_channels"][0])
    except (ValueError, KeyError, TypeError, IndexError):
        return otherwise


def _config(folder: Path) -> dict[str, Any]:
    """A network's settings; none where there is no such file."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
