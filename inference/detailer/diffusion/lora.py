# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA files and their relatives DoRA, LoHa and LoKr, merged into a pipeline's weights.

Our own reader reads the file, so that no pickle runs and no hub is asked, and finds the layer of each tensor. A layer
has several names in use: kohya's and LyCORIS' with underscores, after diffusers' modules or after the original ones,
and PEFT's with dots; diffusers' own loader knows fewer, drops DoRA and LoHa, and stops at the first name that it cannot
place. peft works out each layer's change. Two things that it lacks are done here: the middle matrix that a
convolution's LoRA may have, and DoRA along a layer's inputs or on top of LoHa and LoKr, as LyCORIS saves it.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Conv2d, Linear, Parameter

from ...errors import BadModelFile, MissingModel
from ...runtime.memory import is_out_of_memory
from ...weights.checkpoint import read_tensors
from .heads import read_head

#: End of a tensor's name -> the part of a layer's change that it is, as peft calls it.
_PARTS = {
    **dict.fromkeys((".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight"), "lora_A"),
    **dict.fromkeys((".lora.down.weight", ".lora_linear_layer.down.weight", "_lora.down.weight"), "lora_A"),
    **dict.fromkeys((".lora_up.weight", ".lora_B.weight", ".lora_B.default.weight"), "lora_B"),
    **dict.fromkeys((".lora.up.weight", ".lora_linear_layer.up.weight", "_lora.up.weight"), "lora_B"),
    **dict.fromkeys((".lora_magnitude_vector", ".lora_magnitude_vector.weight", ".dora_scale"), "dora"),
    **{f".hada_{part}": f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f".lokr_{part}": f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    ".lora_mid.weight": "middle",
    ".alpha": "alpha",
}
#: Ends of names in other kinds of file.
_OTHERS = {".diff": "full", ".oft_blocks": "OFT", ".a1.weight": "GLoRA"}
#: Parts with as many rows as the change has ranks, and those that change nothing by themselves.
_RANKED = ("lora_A", "hada_w1_b", "lokr_w2_b", "lokr_w1_b")
_EXTRAS = {"alpha", "dora", "middle"}
#: Beginning of names with dots -> that of names with underscores.
_BEGINNINGS = {
    "unet.": "lora_unet_",
    "text_encoder_2.": "lora_te2_",
    "text_encoder.": "lora_te1_",
    "lora_te_": "lora_te1_",
    "lycoris_": "lora_unet_",
    "diffusion_model.": "lora_unet_",
    "base_model.model.": "lora_unet_",
    "transformer.": "lora_unet_",
    "lora_transformer_": "lora_unet_",
}
_REMEDY = "Choose a LoRA that was made for this model."
#: Layers of a residual block: diffusers' name -> the original one.
_RESIDUAL = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
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
    """Merge a file into the weights of UNet (or transformer) and text encoders; returns a sentence on what did not fit,
    or "".

    Raises `MissingModel`, and `BadModelFile` for a file of another kind or made for another model; the pipeline is then
    not to be used.
    """
    if not file.is_file():
        raise MissingModel(f"There is no LoRA at {file}.", "Choose a LoRA file.")
    changes, layers = _changes(file), _layers(pipeline)
    fitting = {name: parts for name, parts in changes.items() if name in layers}
    if not fitting:
        raise BadModelFile(f"{file} changes no layer of this model.", _REMEDY)
    for name, parts in fitting.items():
        weight = layers[name].weight
        before = weight.float()
        try:
            after = _merged(before, _delta(layers[name], parts), parts.get("dora"))
        except (KeyError, AttributeError) as error:  # how peft says so
            raise BadModelFile(f"{file} lacks a part of the layer {name}.", "Download it again.") from error
        except (RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            message = f"{file} was made for another model: the layer {name} has another size."
            raise BadModelFile(message, _REMEDY) from error
        if not torch.isfinite(after).all():
            raise BadModelFile(f"{file} holds values that are not finite.", "Download it again.")
        weight.copy_(before + strength * (after - before))
    missed = len(changes) - len(fitting)
    return f"{missed} of {len(changes)} layers of the LoRA {file.name} have no place in this model." if missed else ""


def merges(pipeline: Any, file: Path) -> bool:
    """Whether `add_lora` is the way for a file of a model with a transformer: all of it fits by the names of diffusers,
    or it is of a kind that diffusers' own loader, which knows more names, drops. Nothing can be merged into quantised
    weights. Raises `BadModelFile`."""
    changes = _changes(file)
    dropped = any("dora" in parts or "hada_w1_a" in parts for parts in changes.values())
    if getattr(pipeline.transformer, "hf_quantizer", None) is not None:
        if dropped:
            message = f"{file} is a DoRA or LoHa, which cannot be laid over a quantised model."
            raise BadModelFile(message, "Choose the model's own folder, or a plain LoRA.")
        return False
    return dropped or changes.keys() <= _layers(pipeline).keys()


def _delta(layer: Any, parts: Mapping[str, Any]) -> Tensor:
    """What peft makes of a change's parts, as large as the layer's weights (float32)."""
    import peft
    from peft.tuners import loha, lokr, lora

    tensors = {part: tensor.float() for part, tensor in parts.items() if part != "scale"}
    kind, config = lokr, peft.LoKrConfig(init_weights=False)
    if "lora_A" in tensors:
        kind, config = lora, peft.LoraConfig(init_lora_weights=False)
    elif "hada_w1_a" in tensors:
        kind, config = loha, peft.LoHaConfig(init_weights=False)
    tuner: Any = (kind.Conv2d if isinstance(layer, Conv2d) else kind.Linear)(layer, "file", config=config, r=1)
    tuner.scaling["file"] = parts["scale"]
    if kind is lora:
        (outputs, *inner), down = layer.weight.shape, tensors["lora_A"]
        if "middle" in tensors:
            down = torch.einsum("rsyx,si->riyx", tensors["middle"], down.flatten(1))
        tuner.lora_A["file"].weight = Parameter(down.reshape(-1, *inner))
        tuner.lora_B["file"].weight = Parameter(tensors["lora_B"].reshape(outputs, -1, *(1 for _ in inner[1:])))
    else:
        for part in tuner.adapter_layer_names:
            getattr(tuner, part).clear()
            if part in tensors:
                getattr(tuner, part)["file"] = Parameter(tensors[part])
    return tuner.get_delta_weight("file")


def _merged(before: Tensor, delta: Tensor, magnitudes: Tensor | None) -> Tensor:
    """The weights with the whole change. magnitudes : DoRA's lengths of the weights' rows, or (1, inputs ...) of their
    columns."""
    after = before + delta
    if magnitudes is None:
        return after
    axis = int(magnitudes.ndim > 1 and len(magnitudes) == 1 < len(after))
    others = [other for other in range(after.ndim) if other != axis]
    lengths = torch.linalg.vector_norm(after, dim=others, keepdim=True)
    return after * (magnitudes.float().reshape(lengths.shape) / lengths.clamp_min(1e-12))


def _changes(file: Path) -> dict[str, dict[str, Any]]:
    """Name of a layer, with underscores -> the parts of its change, and its "scale"."""
    changes: dict[str, dict[str, Any]] = defaultdict(dict)
    names: dict[str, str] = {}
    for name, tensor in read_tensors(file).items():
        other = next((kind for end, kind in _OTHERS.items() if name.endswith(end)), None)
        if other is not None:
            raise BadModelFile(f"{file} is a {other} file, which is not supported.", "Choose a LoRA, LoHa or LoKr.")
        end = next((end for end in _PARTS if name.endswith(end)), None)
        if end is not None:
            layer = _plain(name.removesuffix(end))
            names[layer] = name.removesuffix(end)
            # PEFT's magnitudes are those of the rows, whatever their shape.
            changes[layer][_PARTS[end]] = tensor.flatten() if "magnitude" in end else tensor
    whole = {layer: parts for layer, parts in changes.items() if len(parts.keys() - _EXTRAS) > 1}
    if not whole:
        raise BadModelFile(f"{file} is not a LoRA.", _REMEDY)
    config = _config(file)
    return {layer: {**parts, "scale": _scale(parts, names[layer], config)} for layer, parts in whole.items()}


def _config(file: Path) -> dict[str, Any]:
    """What a file says of its strength beside its tensors: diffusers within it, PEFT in a file beside it."""
    text = read_head(file).metadata.get("lora_adapter_metadata", "") if file.suffix == ".safetensors" else ""
    beside = file.with_name("adapter_config.json")
    if not text and file.stem == "adapter_model" and beside.is_file():
        text = beside.read_text("utf-8")
    try:
        config = json.loads(text or "{}")
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _scale(parts: Mapping[str, Tensor], name: str, config: Mapping[str, Any]) -> float:
    """How strongly a change counts: alpha / rank, or 1 where the file names no alpha."""
    from peft.utils.other import get_pattern_key

    rank = next((len(parts[part]) for part in _RANKED if part in parts), 0)
    if "alpha" in parts:
        return float(parts["alpha"]) / rank if rank else 1.0  # the product of two whole matrices counts fully
    network, _, layer = name.partition(".")
    start = network + "." if f"{network}.lora_alpha" in config else ""
    layer = layer if start else name.removeprefix("base_model.model.")
    alpha = config.get(start + "lora_alpha", config.get(start + "alpha"))
    patterns = config.get(start + "alpha_pattern") or {}
    alpha = patterns.get(get_pattern_key(list(patterns), layer), alpha)
    rank = rank or config.get(start + "r", 0)
    if alpha is None or not rank:
        return 1.0
    return float(alpha) / (math.sqrt(rank) if config.get(start + "use_rslora") else rank)


def _plain(name: str) -> str:
    start = next((start for start in _BEGINNINGS if name.startswith(start)), "")
    if start or not name.startswith("lora_"):
        name = _BEGINNINGS.get(start, "lora_unet_") + name.removeprefix(start)
    name = name.replace(".processor.", ".")
    name = name + ".0" if name.endswith(".to_out") else name
    return name.replace(".", "_")


def _layers(pipeline: Any) -> dict[str, Any]:
    """Every name in use -> layer."""
    layers: dict[str, Any] = {}
    unet = getattr(pipeline, "unet", None) or pipeline.transformer
    depth = unet.config.get("layers_per_block")
    for name, module in unet.named_modules():
        if isinstance(module, (Conv2d, Linear)):
            layers["lora_unet_" + name.replace(".", "_")] = module
            if isinstance(depth, int):
                layers["lora_unet_" + original_name(name, depth, unet).replace(".", "_")] = module
    for start, encoder in (("lora_te1_", "text_encoder"), ("lora_te2_", "text_encoder_2")):
        network = getattr(pipeline, encoder, None)
        for name, module in network.named_modules() if network is not None else ():
            if isinstance(module, Linear):
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
    pattern = r"(down|mid|up)_blocks?\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
    found = re.match(pattern, name)
    if not found:
        return name
    side, level, kind, number, rest = found[1], int(found[2] or 0), found[3], int(found[4]), found[5]
    column, place = int(kind == "attentions"), level * (depth + 1) + number + (side == "down")
    if kind == "resnets":
        first, _, after = rest.partition(".")
        rest = _RESIDUAL.get(first, first) + ("." + after if after else "")
    if side == "mid":
        return f"middle_block.{1 if column else 2 * number}.{rest}"
    if kind == "downsamplers":
        place, rest = place + depth, "op"
    if kind == "upsamplers":
        place, column = place + depth, 1 + bool(getattr(unet.up_blocks[level], "attentions", None))
    return f"{'input' if side == 'down' else 'output'}_blocks.{place}.{column}.{rest}"
