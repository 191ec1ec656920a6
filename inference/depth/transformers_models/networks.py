# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that the library transformers brings, and how the published files name their tensors.

A network is made from the sizes written here, never from a downloaded description, and takes its weights through
`weights`: nothing is asked of a network, and no code of a model's page is run. A new size is one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BeitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)

from ...weights import Published, Rules, rename


@dataclass(frozen=True)
class Network:
    """build : makes the network.  renamed : (pattern, replacement) from published names to the library's.

    unused : pattern of published tensors that no result hangs on.
    """

    build: Callable[[], nn.Module]
    renamed: Rules = ()
    unused: str = r"$^"

    def published(self, path: str) -> Published:
        return Published(path, self._convert)

    def _convert(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        unused = re.compile(self.unused)
        return {rename(name, self.renamed): tensor for name, tensor in tensors.items() if not unused.search(name)}


#: Names of a transformer's attention as they were when the files were published.
_ATTENTION: Rules = (
    (r"\.attention\.attention\.(q|k|v)(uery|ey|alue)\.", r".attention.\1_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
)
_BEIT: Rules = (
    (r"^backbone\.(embeddings\.)", r"backbone.beit.\1"),
    (r"^backbone\.encoder\.layer\.", "backbone.beit.layers."),
    (r"\.attention\.attention\.relative_position_bias\.", ".relative_position_bias."),
    *_ATTENTION,
    (r"^(backbone\..*)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"^(backbone\..*)\.output\.dense\.", r"\1.mlp.fc2."),
)
#: Tables that each network reckons for itself.
_BEIT_UNUSED = r"\.relative_position_index$|\.k_idx$|\.k_minus_1$|^backbone\.layernorm\."

#: Depth Anything: width, heads and depth of the encoder, blocks handed on, channels of the neck and of the decoder.
DEPTH_ANYTHING = {
    "small": (384, 6, 12, [3, 6, 9, 12], [48, 96, 192, 384], 64),
    "base": (768, 12, 12, [3, 6, 9, 12], [96, 192, 384, 768], 128),
    "large": (1024, 16, 24, [5, 12, 18, 24], [256, 512, 1024, 1024], 256),
}

DPT: dict[str, dict[str, Any]] = {
    "large": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "backbone_out_indices": [5, 11, 17, 23],
        "neck_hidden_sizes": [256, 512, 1024, 1024],
    },
}

ZOEDEPTH_ENCODER: dict[str, Any] = {
    "image_size": 384,
    "num_hidden_layers": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "out_features": ["stage6", "stage12", "stage18", "stage24"],
}
ZOEDEPTH_NECK = [256, 512, 1024, 1024]
_INDOORS = {"name": "nyu", "n_bins": 64, "min_depth": 1e-3, "max_depth": 10.0}
_OUTDOORS = {"name": "kitti", "n_bins": 64, "min_depth": 1e-3, "max_depth": 80.0}
ZOEDEPTH: dict[str, dict[str, Any]] = {
    "nyu": {"bin_centers_type": "softplus", "bin_configurations": [_INDOORS]},
    "kitti": {"bin_centers_type": "normed", "bin_configurations": [_OUTDOORS]},
    "nyu-kitti": {
        "bin_centers_type": "softplus",
        "bin_configurations": [_INDOORS, _OUTDOORS],
        "num_patch_transformer_layers": 4,
        "patch_transformer_hidden_size": 128,
        "patch_transformer_intermediate_size": 1024,
        "patch_transformer_num_attention_heads": 4,
    },
}


def depth_anything(size: str, most: int) -> Network:
    """Depth Anything V2 (Yang et al. 2024). most : metres at the far end, 0 for relative inverse depth."""
    width, heads, depth, taps, neck, decoder = DEPTH_ANYTHING[size]
    shape = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": depth, "out_indices": taps}
    encoder = Dinov2Config(image_size=518, patch_size=14, reshape_hidden_states=False, apply_layernorm=True, **shape)
    kind = {"depth_estimation_type": "metric", "max_depth": most} if most else {}
    sizes = {"reassemble_hidden_size": width, "neck_hidden_sizes": neck, "fusion_hidden_size": decoder}
    config = DepthAnythingConfig(backbone_config=encoder, **sizes, **kind)
    return Network(lambda: DepthAnythingForDepthEstimation(config), _ATTENTION)


def dpt(size: str) -> Network:
    """DPT (Ranftl et al. 2021) with a plain vision transformer: relative inverse depth."""
    config = DPTConfig(**DPT[size])
    return Network(lambda: DPTForDepthEstimation(config), (), r"^dpt\.pooler\.")


def zoedepth(trained_on: str) -> Network:
    """ZoeDepth (Bhat et al. 2023): metres, of the data set it was trained on or of the one it takes a photo for."""
    encoder = BeitConfig(use_relative_position_bias=True, reshape_hidden_states=False, **ZOEDEPTH_ENCODER)
    config = ZoeDepthConfig(backbone_config=encoder, neck_hidden_sizes=ZOEDEPTH_NECK, **ZOEDEPTH[trained_on])
    return Network(lambda: _with_tables(ZoeDepthForDepthEstimation(config)), _BEIT, _BEIT_UNUSED)


def _with_tables(network: nn.Module) -> nn.Module:
    """The network with the constant tables that it keeps beside its weights, which a file does not hold."""
    for module in network.modules():
        if hasattr(module, "k_idx"):
            count = int(module.k)  # type: ignore[arg-type]
            module.k_idx = torch.arange(count, device="cpu").view(1, -1, 1, 1)
            module.k_minus_1 = torch.tensor([count - 1], device="cpu").view(1, -1, 1, 1)
    return network
