# SPDX-License-Identifier: GPL-3.0-or-later
"""The published checkpoint of a training run, and how its names become those of our network."""

from __future__ import annotations

from torch import Tensor

from ...weights import Published, rename

PATH = "hmr2/epoch=35-step=1000000.ckpt"

#: What the network needs; beside it lie the judge of the training, the licensed body, and counters.
_NEEDED = ("backbone.", "smpl_head.")
#: Published name -> ours, in this order.
_RULES = (
    (r"^backbone\.patch_embed\.proj\.", "backbone.patch."),
    (r"^backbone\.last_norm\.", "backbone.norm."),
    (r"^(backbone\.blocks\.\d+\.)(attn|mlp)\.", r"\1"),
    (r"^smpl_head\.transformer\.transformer\.", "head."),
    (r"^smpl_head\.decpose\.", "head.turns."),
    (r"^smpl_head\.decshape\.", "head.shape."),
    (r"^smpl_head\.deccam\.", "head.camera."),
    (r"(layers\.\d+)\.0\.norm\.", r"\1.own_norm."),
    (r"(layers\.\d+)\.1\.norm\.", r"\1.cross_norm."),
    (r"(layers\.\d+)\.2\.norm\.", r"\1.mlp_norm."),
    (r"(layers\.\d+)\.0\.fn\.to_qkv\.", r"\1.own_value."),
    (r"(layers\.\d+)\.0\.fn\.to_out\.0\.", r"\1.own_out."),
    (r"(layers\.\d+)\.1\.fn\.to_kv\.", r"\1.key_value."),
    (r"(layers\.\d+)\.1\.fn\.to_q\.", r"\1.query."),
    (r"(layers\.\d+)\.1\.fn\.to_out\.0\.", r"\1.cross_out."),
    (r"(layers\.\d+)\.2\.fn\.net\.0\.", r"\1.fc1."),
    (r"(layers\.\d+)\.2\.fn\.net\.3\.", r"\1.fc2."),
)
#: Decoded part -> the mean that is added to it.
_MEANS = {"turns": "init_body_pose", "shape": "init_betas", "camera": "init_cam"}


def converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published names and tensors -> those of `HMR2`. An unknown name is left as it is, to be noticed.

    What is constant is made one: the position of the token that is not there, the token's beginning, the means.
    """
    needed = {name: tensor for name, tensor in tensors.items() if name.startswith(_NEEDED)}
    if "backbone.pos_embed" in needed:
        positions = needed.pop("backbone.pos_embed")[0]
        needed["backbone.positions"] = positions[1:] + positions[:1]
    start = "smpl_head.transformer."
    if f"{start}to_token_embedding.bias" in needed:
        # The token begins as nothing, whose embedding is the bias alone.
        del needed[f"{start}to_token_embedding.weight"]
        bias = needed.pop(f"{start}to_token_embedding.bias")
        needed["head.token"] = bias + needed.pop(f"{start}pos_embedding").reshape(-1)
    renamed = {}
    for name, tensor in needed.items():
        name = rename(name, _RULES)
        renamed[name] = tensor[2 * len(tensor) // 3 :] if name.endswith(".own_value.weight") else tensor
    for part, mean in _MEANS.items():
        if f"smpl_head.{mean}" in renamed:
            renamed[f"head.{part}.bias"] = renamed[f"head.{part}.bias"] + renamed.pop(f"smpl_head.{mean}").reshape(-1)
    return renamed


PUBLISHED = Published(PATH, converted, wrappers=("state_dict",), objects=True)
