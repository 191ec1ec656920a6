# SPDX-License-Identifier: GPL-3.0-or-later
"""The published files of DPT-Hybrid, and how their names become those of `network.Midas`."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ...weights import Published, Rules, rename
from ..dpt import RULES as DECODER

#: In the file, never used: the head that names a photo's contents, and a unit that has nothing to add.
_UNUSED = re.compile(r"^pretrained\.model\.(head|norm)\.|^scratch\.refinenet4\.resConfUnit1\.")
_RULES: Rules = (
    (r"^pretrained\.model\.", "encoder.vit."),
    (r"^pretrained\.act_postprocess3\.0\.project\.0\.", "readouts.0.project."),
    (r"^pretrained\.act_postprocess3\.3\.", "readouts.0.mix."),
    (r"^pretrained\.act_postprocess4\.0\.project\.0\.", "readouts.1.project."),
    (r"^pretrained\.act_postprocess4\.3\.", "readouts.1.mix."),
    (r"^pretrained\.act_postprocess4\.4\.", "readouts.1.shrink."),
    *DECODER,
    (r"^scratch\.output_conv\.0\.", "head.0."),
    (r"^scratch\.output_conv\.2\.", "head.1."),
    (r"^scratch\.output_conv\.4\.", "head.2."),
)

_HF_UNUSED = re.compile(r"^dpt\.(layernorm|pooler)\.|^neck\.fusion_stage\.layers\.0\.residual_layer1\.")
_HF_RULES: Rules = (
    (r"^dpt\.embeddings\.cls_token$", "encoder.vit.cls_token"),
    (r"^dpt\.embeddings\.position_embeddings$", "encoder.vit.pos_embed"),
    (r"^dpt\.embeddings\.projection\.", "encoder.vit.patch_embed.proj."),
    (r"^dpt\.embeddings\.backbone\.bit\.embedder\.convolution\.", "encoder.vit.patch_embed.backbone.stem.conv."),
    (r"^dpt\.embeddings\.backbone\.bit\.embedder\.norm\.", "encoder.vit.patch_embed.backbone.stem.norm."),
    (
        r"^dpt\.embeddings\.backbone\.bit\.encoder\.stages\.(\d)\.layers\.(\d)\.",
        r"encoder.vit.patch_embed.backbone.stages.\1.blocks.\2.",
    ),
    (r"^dpt\.encoder\.layer\.(\d+)\.", r"encoder.vit.blocks.\1."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"^neck\.reassemble_stage\.readout_projects\.2\.0\.", "readouts.0.project."),
    (r"^neck\.reassemble_stage\.readout_projects\.3\.0\.", "readouts.1.project."),
    (r"^neck\.reassemble_stage\.layers\.2\.projection\.", "readouts.0.mix."),
    (r"^neck\.reassemble_stage\.layers\.3\.projection\.", "readouts.1.mix."),
    (r"^neck\.reassemble_stage\.layers\.3\.resize\.", "readouts.1.shrink."),
    (r"^neck\.convs\.", "narrow."),
    *((rf"^neck\.fusion_stage\.layers\.{3 - level}\.", f"fusions.{level}.") for level in range(4)),
    (r"\.projection\.", ".out."),
    (r"\.residual_layer1\.convolution1\.", ".before.first."),
    (r"\.residual_layer1\.convolution2\.", ".before.second."),
    (r"\.residual_layer2\.convolution1\.", ".after.first."),
    (r"\.residual_layer2\.convolution2\.", ".after.second."),
    (r"^head\.head\.0\.", "head.0."),
    (r"^head\.head\.2\.", "head.1."),
    (r"^head\.head\.4\.", "head.2."),
)


def published(path: str) -> Published:
    """How the file `path` is laid out: a .safetensors file is the form of Hugging Face."""
    if path.endswith(".safetensors"):
        return Published(path, _converted_hugging_face)
    # A file of the training program keeps its weights under "model".
    return Published(path, _converted, wrappers=("model",))


def _converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {rename(name, _RULES): tensor for name, tensor in tensors.items() if not _UNUSED.match(name)}


def _converted_hugging_face(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    ours = {rename(name, _HF_RULES): tensor for name, tensor in tensors.items() if not _HF_UNUSED.match(name)}
    for name in [name for name in ours if ".attn.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in ours for part in parts):
            ours[name.replace(".query.", ".qkv.")] = torch.cat([ours.pop(part) for part in parts])
    return ours
