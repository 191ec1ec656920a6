# SPDX-License-Identifier: GPL-3.0-or-later
"""The two published checkpoints, and how their names become those of our network."""

from __future__ import annotations

import re
from functools import partial

import torch
from torch import Tensor

from ...weights import Published, rename
from .network import KEYPOINTS

PATHS = {kind: f"sam-3d-body/{kind}/model.ckpt" for kind in ("dinov3", "vith")}
#: What nothing here asks for: the rig has the faces, and the other constants are of the training.
_UNUSED = re.compile(r"mask_token$|\.faces$|hand_pose_comps_ori$|^hand_cls_embed\.|not_a_point_embed|\.bias_mask$")
#: Published name -> ours, in this order.
_RULES = (
    (r"^backbone\.encoder\.rope_embed\.", "seen.encoder."),
    (r"^backbone\.encoder\.", "seen.encoder.vit."),
    (r"\.storage_tokens$", ".reg_token"),
    (r"\.ls([12])\.gamma$", r".gamma_\1"),
    (r"\.mlp\.w1\.", ".mlp.fc1_g."),
    (r"\.mlp\.w2\.", ".mlp.fc1_x."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
    (r"^backbone\.patch_embed\.proj\.", "seen.encoder.patch."),
    (r"^backbone\.last_norm\.", "seen.encoder.norm."),
    (r"^backbone\.(blocks\.\d+\.)(?:attn|mlp)\.", r"seen.encoder.\1"),
    (r"^backbone\.", "seen.encoder."),
)


#: The beginning of a name that only one of the two has.
_OWN = {"dinov3": "backbone.encoder.rope_embed.", "vith": "backbone.last_norm."}


def converted(tensors: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Published names and tensors -> those of `SAM3DBody`, their types kept; an unknown name stays, to be noticed.

    Raises ValueError for the checkpoint of the other kind.
    """
    others = tuple(own for other, own in _OWN.items() if other != kind)
    if any(name.startswith(others) for name in tensors):
        raise ValueError(f"this is not the checkpoint with {kind}")
    made: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if _UNUSED.search(name):
            continue
        if name == "backbone.pos_embed":
            made["seen.encoder.positions"] = (tensor[0, 1:].float() + tensor[0, :1].float()).to(torch.float32)
        elif name.endswith("attn.qkv.bias") and name.startswith("backbone.encoder."):
            mask = tensors.get(f"{name}_mask")
            bias = tensor if mask is None else tensor * mask
            for letter, part in zip("qkv", bias.chunk(3), strict=True):
                made[rename(name.replace("qkv.bias", f"{letter}_bias"), _RULES)] = part.contiguous()
        elif name.endswith("keypoint_mapping"):
            made[name] = tensor[:KEYPOINTS].contiguous()
        else:
            made[rename(name, _RULES)] = tensor
    return made


PUBLISHED = {kind: Published(path, partial(converted, kind=kind), ("state_dict",)) for kind, path in PATHS.items()}
