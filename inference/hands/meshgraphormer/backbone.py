# SPDX-License-Identifier: GPL-3.0-or-later
"""HRNet-W64 with its classification head, but the last layer: a vector and a 7 x 7 map of features for each picture.

timm's network holds the published tensors under the published names and gives the same numbers (within 1e-5 of values
up to 30), so it is not written again. Only the walk through it is ours: it stops where a task can be cancelled, and
hands out the map before the last convolution, which timm keeps to itself.

Sun et al., "Deep High-Resolution Representation Learning for Visual Recognition", 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import timm
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

#: Sides of the pictures, channels of the vector and of the map, cells of the map.
SIDE, VECTOR, CHANNELS, CELLS = 224, 2048, 1024, 49
#: How often `features` calls `tick`.
TICKS = 10


def hrnet() -> nn.Module:
    """The network without weights."""
    return timm.create_model("hrnet_w64", pretrained=False, num_classes=0)


def features(network: nn.Module, pictures: Tensor, tick: Callable[[], None]) -> tuple[Tensor, Tensor]:
    """The vector (B, 2048) and the map (B, 49, 1024), row by row, of pictures (B, 3, 224, 224).

    tick : called about every tenth of the way.
    """
    part: dict[str, Any] = dict(network.named_children())
    x = part["act1"](part["bn1"](part["conv1"](pictures)))
    x = part["layer1"](part["act2"](part["bn2"](part["conv2"](x))))
    tick()
    branches = [step(x) for step in part["transition1"]]
    branches = _stage(part["stage2"], branches, tick)
    branches = _stage(part["stage3"], _widened(part["transition2"], branches), tick)
    branches = _stage(part["stage4"], _widened(part["transition3"], branches), tick)
    first, *others = (step(branch) for step, branch in zip(part["incre_modules"], branches, strict=True))
    for reduce, finer in zip(part["downsamp_modules"], others, strict=True):
        first = finer + reduce(first)
    tick()
    return part["final_layer"](first).mean((2, 3)), first.flatten(2).transpose(1, 2)


def _stage(modules: nn.Module, branches: Sequence[Tensor], tick: Callable[[], None]) -> Sequence[Tensor]:
    for module in modules.children():
        branches = module(list(branches))
        tick()
    return branches


def _widened(transition: nn.Module, branches: Sequence[Tensor]) -> list[Tensor]:
    """The branches and one more, made from the coarsest."""
    *kept, new = transition.children()
    return [step(branch) for step, branch in zip(kept, branches, strict=True)] + [new(branches[-1])]
