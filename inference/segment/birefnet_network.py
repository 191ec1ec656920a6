# SPDX-License-Identifier: GPL-3.0-or-later
"""BiRefNet (Zheng et al. 2024, "Bilateral Reference for High-Resolution Dichotomous Image Segmentation").

A Swin transformer (the library transformers') sees the picture at its size and at half of it. A decoder goes back up,
and is shown the picture itself at every level, and where edges are. Modules bear the published names. Where steps are
linear they are taken in the order that needs least memory: published, the last ones hold 240 channels of every pixel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import deform_conv2d
from transformers import SwinBackbone, SwinConfig

from ..weights import rename

#: Channels inside a block of the decoder, of each look around in it, and of what tells edges.
_INNER, _CONTEXT, _EDGES = 64, 256, 16
#: Sides of the kernels that look around.
_KERNELS = (1, 3, 7)
_STAGES = ("stage1", "stage2", "stage3", "stage4")


@dataclass(frozen=True)
class Backbone:
    """width : channels of the first stage, doubled by each.  depths : blocks of each.  heads : of each.
    window : side of what attends to each other."""

    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int


BACKBONES = {
    "tiny": Backbone(96, (2, 2, 6, 2), (3, 6, 12, 24), 7),
    "large": Backbone(192, (2, 2, 18, 2), (6, 12, 24, 48), 12),
}


class BiRefNet(nn.Module):
    """Pictures (B, 3, S, S), normalised, S a multiple of 64 -> log odds (B, 1, S, S) that a pixel is of the main
    thing."""

    def __init__(self, size: Backbone) -> None:
        super().__init__()
        self.bb: Any = _swin(size)
        widths = [2 * size.width << stage for stage in range(4)]
        self.squeeze_module = nn.Sequential(_Block(sum(widths), widths[3]))
        self.decoder = _Decoder(widths)

    def forward(self, pictures: Tensor) -> Tensor:
        whole = self.bb(pictures).feature_maps
        half = self.bb(_resized(pictures, [side // 2 for side in pictures.shape[2:]])).feature_maps
        levels = [torch.cat([one, _like(other, one)], 1) for one, other in zip(whole, half, strict=True)]
        deepest = self.squeeze_module(torch.cat([_like(level, levels[3]) for level in levels], 1))
        return self.decoder(pictures, levels[:3], deepest)


def _swin(size: Backbone) -> nn.Module:
    """The backbone. What no file holds, and is computed from the sizes, is on the processor."""
    given: dict[str, Any] = {"embed_dim": size.width, "depths": list(size.depths), "num_heads": list(size.heads)}
    given |= {"window_size": size.window, "out_features": list(_STAGES), "attn_implementation": "sdpa"}
    backbone: Any = SwinBackbone(SwinConfig(**given))
    backbone.swin.layernorm = nn.Identity()  # of an answer that is not used
    for module in backbone.modules():
        if hasattr(module, "relative_position_index"):
            with torch.device("cpu"):
                index = module._create_relative_position_index().view(-1)
            module.relative_position_index = nn.Buffer(index, persistent=False)
    return backbone


class _Decoder(nn.Module):
    def __init__(self, widths: list[int]) -> None:
        """widths : channels of the levels, finest first."""
        super().__init__()
        for number in (1, 2, 3, 4):
            before, after = widths[number - 1], widths[number - 2] if number > 1 else widths[0] // 2
            shown = widths[min(number, 3)] // 8
            self.add_module(f"ipt_blk{number + 1}", _Shown(3 * 4 ** (number + 1), shown))
            self.add_module(f"decoder_block{number}", _Block(before + shown, after))
            if number > 1:
                self.add_module(f"lateral_block{number}", _Named(conv=nn.Conv2d(after, after, 1)))
                edges = nn.Conv2d(after, _EDGES, 3, padding=1), nn.BatchNorm2d(_EDGES), nn.ReLU()
                self.add_module(f"gdt_convs_{number}", nn.Sequential(*edges))
                self.add_module(f"gdt_convs_attn_{number}", nn.Sequential(nn.Conv2d(_EDGES, 1, 1)))
        self.ipt_blk1 = _Shown(3, widths[0] // 8)
        self.conv_out1 = nn.Sequential(nn.Conv2d(widths[0] // 2 + widths[0] // 8, 1, 1))

    def forward(self, pictures: Tensor, levels: list[Tensor], level: Tensor) -> Tensor:
        parts: Any = self._modules
        for number in (4, 3, 2):
            level = parts[f"decoder_block{number}"](self._shown(number, pictures, level))
            level = level * parts[f"gdt_convs_attn_{number}"](parts[f"gdt_convs_{number}"](level)).sigmoid()
            finer = levels[number - 2]
            level = _like(level, finer) + parts[f"lateral_block{number}"].conv(finer)
        level = parts["decoder_block1"](self._shown(1, pictures, level))
        return self._answer(pictures, level)

    def _shown(self, number: int, pictures: Tensor, level: Tensor) -> Tensor:
        """The level, and beside it the picture, cut into as many pieces of the level's size as fit side by side."""
        count, channels, height, width = pictures.shape
        rows, columns = height // level.shape[2], width // level.shape[3]
        pieces = pictures.view(count, channels, rows, height // rows, columns, width // columns)
        pieces = pieces.permute(0, 1, 2, 4, 3, 5).flatten(1, 3)
        return torch.cat([level, self.get_submodule(f"ipt_blk{number + 1}")(pieces)], 1)

    def _answer(self, pictures: Tensor, level: Tensor) -> Tensor:
        """The last convolution of the enlarged level and of the picture beside it, each for itself."""
        last: Any = self.conv_out1[0]
        own, shown = last.weight.split([level.shape[1], last.weight.shape[1] - level.shape[1]], 1)
        answer = _like(functional.conv2d(level, own), pictures)
        kernel = torch.einsum("os,sikl->oikl", shown[:, :, 0, 0], self.ipt_blk1.conv_out.weight)
        bias = last.bias + shown[:, :, 0, 0] @ self.ipt_blk1.conv_out.bias
        return answer + functional.conv2d(self.ipt_blk1.conv1(pictures), kernel, bias, padding=1)


class _Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(before, _INNER, 3, padding=1)
        self.bn_in = nn.BatchNorm2d(_INNER)
        self.dec_att = _Around()
        self.conv_out = nn.Conv2d(_INNER, after, 3, padding=1)
        self.bn_out = nn.BatchNorm2d(after)

    def forward(self, level: Tensor) -> Tensor:
        level = self.dec_att(torch.relu(self.bn_in(self.conv_in(level))))
        return self.bn_out(self.conv_out(level))


class _Around(nn.Module):
    """Looks around by kernels that are bent to what is there, and at the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.aspp1 = _Bent(1)
        self.aspp_deforms = nn.ModuleList(map(_Bent, _KERNELS))
        whole = nn.Conv2d(_INNER, _CONTEXT, 1, bias=False), nn.BatchNorm2d(_CONTEXT), nn.ReLU()
        self.global_avg_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), *whole)
        self.conv1 = nn.Conv2d(_CONTEXT * (2 + len(_KERNELS)), _INNER, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_INNER)

    def forward(self, level: Tensor) -> Tensor:
        looks = (self.aspp1, *self.aspp_deforms, self.global_avg_pool)
        weights = self.conv1.weight.split(_CONTEXT, 1)
        found: Any = sum(functional.conv2d(look(level), weight) for look, weight in zip(looks, weights, strict=True))
        return torch.relu(self.bn1(found))


class _Bent(nn.Module):
    """A convolution whose kernel's points are moved and weighed at every pixel."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.atrous_conv: Any = _Named(
            offset_conv=nn.Conv2d(_INNER, 2 * side * side, side, padding=side // 2),
            modulator_conv=nn.Conv2d(_INNER, side * side, side, padding=side // 2),
            regular_conv=nn.Conv2d(_INNER, _CONTEXT, side, padding=side // 2, bias=False),
        )
        self.bn = nn.BatchNorm2d(_CONTEXT)

    def forward(self, level: Tensor) -> Tensor:
        kernel, padding = self.atrous_conv.regular_conv.weight, self.atrous_conv.regular_conv.padding
        moved, weighed = self.atrous_conv.offset_conv(level), 2 * self.atrous_conv.modulator_conv(level).sigmoid()
        return torch.relu(self.bn(deform_conv2d(level, moved, kernel, padding=padding, mask=weighed)))


class _Shown(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, _INNER, 3, padding=1)
        self.conv_out = nn.Conv2d(_INNER, after, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.conv_out(self.conv1(pictures))


class _Named(nn.Module):
    """Modules under published names, which something else calls."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def _resized(level: Tensor, size: Any) -> Tensor:
    return functional.interpolate(level, size=tuple(size), mode="bilinear", align_corners=True)


def _like(level: Tensor, other: Tensor) -> Tensor:
    return level if level.shape[2:] == other.shape[2:] else _resized(level, other.shape[2:])


#: What only training asks for, and what follows from the window's size.
_UNUSED = re.compile(r"^decoder\.(conv_ms_spvn|gdt_convs_pred)_|\.relative_position_index$")
#: From the published names of the backbone to those of the library.
_RULES = (
    (r"^bb\.patch_embed\.proj\.", "bb.swin.embeddings.patch_embeddings.projection."),
    (r"^bb\.patch_embed\.norm\.", "bb.swin.embeddings.norm."),
    (r"^bb\.norm(\d)\.", lambda match: f"bb.hidden_states_norms.stage{int(match[1]) + 1}."),
    (r"^bb\.layers\.", "bb.swin.encoder.layers."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.relative_position_bias_table$", ".attention.relative_position_bias.relative_position_bias_table"),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.mlp\.fc(\d)\.", r".mlp.fc\1."),
)


def converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors under our names; the library holds query, key and value apart."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if _UNUSED.search(name):
            continue
        if ".attn.qkv." in name:
            start, end = rename(name, _RULES).split(".attn.qkv.")
            parts = zip("qkv", tensor.chunk(3), strict=True)
            found |= {f"{start}.attention.{part}_proj.{end}": values for part, values in parts}
        else:
            found[rename(name, _RULES)] = tensor
    return found
