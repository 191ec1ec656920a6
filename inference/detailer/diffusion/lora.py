# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA files (Hu et al. 2021, "LoRA: Low-Rank Adaptation"), added to a pipeline's weights.

A file holds for each layer a matrix down (rank, in) and up (out, rank), and perhaps an alpha; the layer's weights gain
strength * alpha / rank * up @ down. Layers of convolutions may have a third in the middle. The same layer has several
names in use: kohya's with underscores, after diffusers' modules or after the original ones, and PEFT's with dots.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ...errors import BadModelFile, MissingModel

if TYPE_CHECKING:
    from torch import Tensor

#: End of a tensor's name -> the part of a layer's change that it is.
_PARTS = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "middle",
    ".alpha": "alpha",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
}
#: Parts of other kinds of change.
_OTHERS = {".hada_w1_a": "LoHa", ".lokr_w1": "LoKr", ".lokr_w1_a": "LoKr", ".dora_scale": "DoRA", ".diff": "full"}
#: Beginning of names with dots -> that of names with underscores.
_BEGINNINGS = {
    "unet.": "lora_unet_",
    "text_encoder_2.": "lora_te2_",
    "text_encoder.": "lora_te1_",
    "lora_te_": "lora_te1_",
    "diffusion_model.": "lora_unet_",
    "base_model.model.": "lora_unet_",
}
_REMEDY = "Choose a LoRA that was made for this model, as .safetensors."
#: Layers of a residual block: diffusers' name -> the original one.
_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_SINGLE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
}


@torch.no_grad()
def add_lora(pipeline: Any, file: Path, strength: float) -> str:
    """Add a file to the weights of UNet and text encoders; returns a sentence on what did not fit, or "".

    Raises `MissingModel`, and `BadModelFile` for a file of another kind or made for another model; the weights are then
    unchanged.
    """
    if not file.is_file():
        raise MissingModel(f"There is no LoRA at {file}.", "Choose a .safetensors file.")
    changes = _changes(file)
    layers = _layers(pipeline)
    fitting = {name: parts for name, parts in changes.items() if name in layers}
    if not fitting:
        raise BadModelFile(f"{file} changes no layer of this model.", _REMEDY)
    deltas = [(layers[name], _delta(parts, layers[name], name, file)) for name, parts in fitting.items()]
    for layer, delta in deltas:
        layer.weight.copy_(layer.weight.float() + strength * delta.to(layer.weight.device))
    missed = len(changes) - len(fitting)
    return f"{missed} of {len(changes)} layers of the LoRA {file.name} have no place in this model." if missed else ""


def _said(file: Path) -> dict[str, Any]:
    """What a file says of its strength beside its tensors: diffusers within it, PEFT in a file beside it."""
    with safe_open(str(file), "pt") as opened:
        text = (opened.metadata() or {}).get("lora_adapter_metadata", "")
    beside = file.with_name("adapter_config.json")
    if not text and file.name == "adapter_model.safetensors" and beside.is_file():
        text = beside.read_text("utf-8")
    try:
        said = json.loads(text or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _alpha(name: str, rank: int, said: Mapping[str, Any]) -> float:
    """The alpha of a layer that has no tensor of it; without a word about it, the rank."""
    network, _, layer = name.partition(".")
    start = network + "." if f"{network}.lora_alpha" in said else ""
    layer = layer if start else name.removeprefix("base_model.model.")
    alpha = said.get(start + "lora_alpha", rank)
    for pattern, other in (said.get(start + "alpha_pattern") or {}).items():
        if layer == pattern.lstrip("^") or layer.endswith("." + pattern):
            alpha = other
    return float(alpha) * (math.sqrt(rank) if said.get(start + "use_rslora") else 1)


def _changes(file: Path) -> dict[str, dict[str, Tensor]]:
    """Name of a layer, with underscores -> the parts of its change."""
    changes: dict[str, dict[str, Tensor]] = defaultdict(dict)
    said = _said(file)
    for name, tensor in load_file(str(file)).items():
        other = next((kind for end, kind in _OTHERS.items() if name.endswith(end)), None)
        if other is not None:
            raise BadModelFile(f"{file} is a {other} file, which is not supported.", "Choose a plain LoRA.")
        end = next((end for end in _PARTS if name.endswith(end)), None)
        if end is not None:
            parts = changes[_plain(name.removesuffix(end))]
            parts[_PARTS[end]] = tensor
            if said and _PARTS[end] == "down":
                parts.setdefault("alpha", torch.tensor(_alpha(name.removesuffix(end), len(tensor), said)))
    whole = {name: parts for name, parts in changes.items() if {"down", "up"} <= parts.keys()}
    if not whole:
        raise BadModelFile(f"{file} is no LoRA.", _REMEDY)
    return whole


def _plain(name: str) -> str:
    for dotted, plain in _BEGINNINGS.items():
        if name.startswith(dotted):
            name = plain + name.removeprefix(dotted)
            break
    else:
        name = name if name.startswith("lora_") else "lora_unet_" + name
    name = name.replace(".processor.", ".")
    name = name + ".0" if name.endswith(".to_out") else name
    return name.replace(".", "_")


def _layers(pipeline: Any) -> dict[str, Any]:
    """Every name in use -> layer."""
    layers: dict[str, Any] = {}
    unet = pipeline.unet
    depth = unet.config.layers_per_block
    for name, module in unet.named_modules():
        if getattr(module, "weight", None) is not None:
            layers["lora_unet_" + name.replace(".", "_")] = module
            if isinstance(depth, int):
                layers["lora_unet_" + original_name(name, depth, unet).replace(".", "_")] = module
    for start, encoder in (("lora_te1_", "text_encoder"), ("lora_te2_", "text_encoder_2")):
        network = getattr(pipeline, encoder, None)
        for name, module in network.named_modules() if network is not None else ():
            if getattr(module, "weight", None) is not None:
                short = name.removeprefix("text_model.").replace(".", "_")
                layers[start + "text_model_" + short] = layers[start + short] = module
    return layers


def original_name(name: str, depth: int, unet: Any) -> str:
    """The name that a layer of diffusers' UNet has in the single file that Stable Diffusion was published as.

    depth : residual blocks a level.
    """
    for start, original in _SINGLE.items():
        if name == start or name.startswith(start + "."):
            return original + name.removeprefix(start)
    found = re.match(
        r"(down|mid|up)_blocks?\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name
    )
    if not found:
        return name
    side, level, kind, number, rest = found[1], int(found[2] or 0), found[3], int(found[4]), found[5]
    if kind == "resnets":
        first, _, after = rest.partition(".")
        rest = _RESIDUAL.get(first, first) + ("." + after if after else "")
    if side == "mid":
        return f"middle_block.{2 * number if kind == 'resnets' else 1}.{rest}"
    if side == "down":
        place = 1 + level * (depth + 1) + (depth if kind == "downsamplers" else number)
        return f"input_blocks.{place}.{int(kind == 'attentions')}.{'op' if kind == 'downsamplers' else rest}"
    place = level * (depth + 1) + (depth if kind == "upsamplers" else number)
    attends = bool(getattr(unet.up_blocks[level], "attentions", None))
    column = 1 + attends if kind == "upsamplers" else int(kind == "attentions")
    return f"output_blocks.{place}.{column}.{rest}"


def _delta(parts: dict[str, Tensor], layer: Any, name: str, file: Path) -> Tensor:
    down, up = parts["down"].float(), parts["up"].float()
    rank = down.shape[0]
    scale = float(parts["alpha"]) / rank if "alpha" in parts else 1.0
    if "middle" in parts:
        delta = torch.einsum("or,rsyx,si->oiyx", up.flatten(1), parts["middle"].float(), down.flatten(1))
    else:
        delta = up.flatten(1) @ down.flatten(1)
    if delta.numel() != layer.weight.numel() or delta.shape[0] != layer.weight.shape[0]:
        raise BadModelFile(f"{file} was made for another model: the layer {name} has another size.", _REMEDY)
    if not torch.isfinite(delta).all():
        raise BadModelFile(f"{file} holds values that are not finite.", "Download it again.")
    return delta.reshape(layer.weight.shape) * scale
