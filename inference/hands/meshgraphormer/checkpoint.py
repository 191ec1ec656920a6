# SPDX-License-Identifier: GPL-3.0-or-later
"""The published file, and how its names become those of our network."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ...weights import Published, rename
from .transformer import TOKENS

#: Published name -> ours, in this order.
_RULES = (
    (r"^grid_feat_dim\.", "cell."),
    (r"^cam_param_fc\.", "camera_token."),
    (r"^cam_param_fc2\.", "camera_hidden."),
    (r"^cam_param_fc3\.", "camera."),
    (r"^trans_encoder\.(\d)\.", r"blocks.\1."),
    (r"\.cls_head\.", ".head."),
    (r"\.bert\.img_embedding\.", ".embedding."),
    (r"\.bert\.position_embeddings\.weight$", ".positions"),
    (r"\.bert\.encoder\.layer\.(\d)\.", r".layers.\1."),
    (r"\.attention\.self\.", "."),
    (r"\.attention\.output\.dense\.", ".attended."),
    (r"\.attention\.output\.LayerNorm\.", ".attended_norm."),
    (r"\.intermediate\.dense\.", ".hidden."),
    (r"\.output\.dense\.", ".output."),
    (r"\.output\.LayerNorm\.", ".output_norm."),
    (r"\.graph_conv\.pre_norm\.", ".graph.norm_in."),
    (r"\.graph_conv\.norm1\.", ".graph.norm_narrow."),
    (r"\.graph_conv\.norm2\.", ".graph.norm_mixed."),
    (r"\.graph_conv\.lin1\.W$", ".graph.narrow.weight"),
    (r"\.graph_conv\.lin1\.b$", ".graph.narrow.bias"),
    (r"\.graph_conv\.lin2\.W$", ".graph.widen.weight"),
    (r"\.graph_conv\.lin2\.b$", ".graph.widen.bias"),
    (r"\.graph_conv\.conv\.weight$", ".graph.mix.weight"),
    (r"\.graph_conv\.conv\.bias$", ".graph.mix_bias"),
)
#: Made by the classes that the published network was built from, and never used by it: tables of words, the pooling of
#: sentences, names of what is in a picture, a shortcut. The smaller copies of the file leave some of them out.
_UNUSED = re.compile(
    r"^(backbone\.classifier\.|trans_encoder\.\d\.bert\.(embeddings|pooler)\."
    r"|trans_encoder\.\d\.bert\.encoder\.layer\.\d\.graph_conv\.(skip_conv\.|adjmat$|conv\.adjmat))"
)
#: That of the backbone's normalisations.
_NORM_EPSILON = 1e-5


def converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published names and tensors -> those of `MeshGraphormer`. An unknown name is left as it is, to be noticed."""
    renamed = {}
    for name, tensor in _folded({name: tensor for name, tensor in tensors.items() if not _UNUSED.match(name)}).items():
        name = rename(name, _RULES)
        if name.endswith(".positions"):
            tensor = tensor[:TOKENS]
        elif name.endswith(".graph.mix.weight"):
            tensor = tensor.T  # published for a product from the right
        renamed[name] = tensor
    return renamed


def _folded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """With each normalisation of the backbone made a part of the convolution before it: y = a x + b, both known."""
    folded = dict(tensors)
    for name in [name for name in tensors if name.endswith(".running_var")]:
        norm = name.removesuffix(".running_var")
        conv = _conv_before(norm)
        parts = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        if f"{conv}.weight" not in tensors or not all(part in tensors for part in parts):
            continue  # of a damaged file; the names that stay are noticed
        weight, shift, mean, variance = (folded.pop(part).double() for part in parts)
        folded.pop(f"{norm}.num_batches_tracked", None)
        scale = weight / (variance + _NORM_EPSILON).sqrt()
        bias = tensors.get(f"{conv}.bias", torch.zeros(1)).double()
        kernel = tensors[f"{conv}.weight"]
        folded[f"{conv}.weight"] = (kernel.double() * scale[:, None, None, None]).to(kernel.dtype)
        folded[f"{conv}.bias"] = ((bias - mean) * scale + shift).to(kernel.dtype)
    return folded


def _conv_before(norm: str) -> str:
    """The convolution's name for that of its normalisation: "conv2" for "bn2", "0" for "1"."""
    prefix, _, last = norm.rpartition(".")
    before = str(int(last) - 1) if last.isdecimal() else last.replace("bn", "conv")
    return f"{prefix}.{before}"


PUBLISHED = Published("meshgraphormer/graphormer_hand_state_dict.bin", converted, version=2)
