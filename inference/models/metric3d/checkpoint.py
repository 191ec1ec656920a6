# SPDX-License-Identifier: GPL-3.0-or-later
"""The published files, and how their names become those of our network."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ...weights import Published, rename

#: Published name -> ours, in this order; a name changes at most once in each part.
_ENCODER = (
    (r"^blocks\.0\.", "blocks."),
    (r"^register_tokens$", "reg_token"),
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
)
_SCALES = {"04": "0", "08": "1", "16": "2"}
_UNITS = {"08": "0", "16": "1", "32": "2"}
_DECODER = (
    (r"^token2feature\.read_(\d)\.readoper\.project_patch\.", r"reassembly.readouts.\1.patch."),
    (r"^token2feature\.read_(\d)\.readoper\.project_learn\.", r"reassembly.readouts.\1.special."),
    (r"^token2feature\.read_1\.sample\.", "reassembly.widen."),
    (r"^token2feature\.read_0\.sample\.0\.", "reassembly.narrow."),
    (r"^decoder_mono\.upconv_3\.", "trunk.coarse."),
    (r"^decoder_mono\.upconv_2\.", "trunk.middle."),
    (r"^decoder_mono\.upconv_1\.", "trunk.fine."),
    (r"\.way_(trunk|branch)\.", r".\1."),
    (r"\.out_conv\.", ".narrow."),
    (r"^depth_regressor\.", "first.depth."),
    (r"^normal_predictor\.", "first.normal."),
    (r"^context_feature_encoder\.outputs(\d\d)\.0\.", lambda found: f"refinement.contexts.{_SCALES[found[1]]}.hidden."),
    (r"^context_feature_encoder\.outputs(\d\d)\.1\.", lambda found: f"refinement.contexts.{_SCALES[found[1]]}.inputs."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.(norm3|downsample\.1)\.", ".shortcut_norm."),  # two names of one norm; the second counts
    (r"^context_zqr_convs\.(\d)\.", r"refinement.contexts.\1.gates."),
    (r"^update_block\.gru(\d\d)\.conv", lambda found: f"refinement.units.{_UNITS[found[1]]}."),
    (r"^update_block\.flow_head\.conv1d\.", "refinement.depth.0."),
    (r"^update_block\.flow_head\.conv2d\.", "refinement.depth.2."),
    (r"^update_block\.flow_head\.conv1n\.", "refinement.normal.0."),
    (r"^update_block\.flow_head\.conv2n\.", "refinement.normal.2."),
    (r"^update_block\.mask\.", "refinement.mixture."),
)
#: Never used: what training hid patches with.
_UNUSED = "depth_model.encoder.mask_token"
#: Of the networks that hand on raw blocks.
_UNUSED_NORM = "depth_model.encoder.norm."


def published(path: str, *, taps: bool) -> Published:
    """The published file `path`. taps : whether the network hands on raw blocks, and so leaves out the last norm."""
    unused = (_UNUSED_NORM,) if taps else ()

    def convert(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return converted({name: tensor for name, tensor in tensors.items() if not name.startswith(unused)})

    return Published(path, convert, ("model_state_dict",))


def converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published names and tensors -> those of `network.Metric3D`. An unknown name is left as it is, to be noticed."""
    names = sorted(tensors, key=lambda name: ".downsample." in name)
    renamed = {_renamed(name): tensors[name] for name in names if name != _UNUSED}
    _place_class_token(renamed)
    _join_gates(renamed)
    return renamed


def _renamed(name: str) -> str:
    for prefix, ours, rules in (
        ("depth_model.encoder.", "encoder.vit.", _ENCODER),
        ("depth_model.decoder.", "", _DECODER),
    ):
        if name.startswith(prefix):
            return ours + rename(name.removeprefix(prefix), rules)
    return name


def _place_class_token(tensors: dict[str, Tensor]) -> None:
    """The class token's position is the first of all; ours are the patches' only."""
    token, positions = (f"encoder.vit.{name}" for name in ("cls_token", "pos_embed"))
    if token in tensors and positions in tensors:
        tensors[token] = tensors[token] + tensors[positions][:, :1]
        tensors[positions] = tensors[positions][:, 1:]


def _join_gates(tensors: dict[str, Tensor]) -> None:
    """The update and reset gates of a unit are one convolution, and its candidate has a name."""
    for name in [name for name in tensors if re.match(r"refinement\.units\.\d\.[zq]\.", name)]:
        unit, gate, kind = name.rsplit(".", 2)
        if gate == "q":
            tensors[f"{unit}.candidate.{kind}"] = tensors.pop(name)
        elif f"{unit}.r.{kind}" in tensors:
            tensors[f"{unit}.gates.{kind}"] = torch.cat([tensors.pop(name), tensors.pop(f"{unit}.r.{kind}")])
