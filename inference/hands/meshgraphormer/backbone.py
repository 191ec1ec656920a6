# SPDX-License-Identifier: GPL-3.0-or-later
"""HRNet-W64 with its classification head, but the last layer: a vector and a 7 x 7 map of features for each picture.

Four branches of halving resolution and doubling width run side by side and exchange what they found after every few
layers. The normalisation that follows each convolution is a part of its weights here (see `checkpoint`). The modules
bear the published names. (timm holds the same network, but to import it takes longer than to load the weights.)

Sun et al., "Deep High-Resolution Representation Learning for Visual Recognition", 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

#: Sides of the pictures, channels of the vector and of the map, cells of the map.
SIDE, VECTOR, CHANNELS, CELLS = 224, 2048, 1024, 49
_WIDTHS = (64, 128, 256, 512)
#: Exchanges in the stages of two, three and four branches; blocks of a branch before each.
_EXCHANGES, _BLOCKS = (1, 4, 3), 4
#: A bottleneck's output is so many times as wide as its middle.
_EXPANSION = 4


class HRNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(3, 64, stride=2), _conv(64, 64, stride=2)
        wide = 64 * _EXPANSION
        self.layer1 = nn.Sequential(_Bottleneck(64, 64), *(_Bottleneck(wide, 64) for _ in range(3)))
        down = nn.Sequential(_step(wide, _WIDTHS[1], stride=2))
        self.transition1 = nn.ModuleList([_step(wide, _WIDTHS[0]), down])
        self.transition2, self.transition3 = _new_branch(2), _new_branch(3)
        self.stage2, self.stage3, self.stage4 = (
            nn.ModuleList(_Exchange(_WIDTHS[: number + 2]) for _ in range(count))
            for number, count in enumerate(_EXCHANGES)
        )
        heads = [width * 2 for width in _WIDTHS]
        self.incre_modules = nn.ModuleList(
            nn.Sequential(_Bottleneck(width, head // _EXPANSION)) for width, head in zip(_WIDTHS, heads, strict=True)
        )
        self.downsamp_modules = nn.ModuleList(_step(narrow, wide, stride=2) for narrow, wide in pairwise(heads))
        self.final_layer = _step(CHANNELS, VECTOR, size=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The vector (B, 2048) and the map (B, 49, 1024), row by row, of pictures (B, 3, 224, 224)."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(pictures))))
        x = self.layer1(x)
        branches: Sequence[Tensor] = [step(x) for step in self.transition1]
        for transition, stage in (
            (None, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            if transition is not None:
                branches = [*branches, transition[-1](branches[-1])]
            for exchange in stage:
                branches = exchange(branches)
        first, *others = (step(branch) for step, branch in zip(self.incre_modules, branches, strict=True))
        for reduce, finer in zip(self.downsamp_modules, others, strict=True):
            first = finer + reduce(first)
        return self.final_layer(first).mean((2, 3)), first.flatten(2).transpose(1, 2)


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2)


def _step(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, size, stride), nn.ReLU(inplace=True))


def _new_branch(number: int) -> nn.ModuleList:
    """What makes branch `number` of the one before; the other branches go on as they are."""
    made = nn.Sequential(_step(_WIDTHS[number - 1], _WIDTHS[number], stride=2))
    return nn.ModuleList([*(nn.Identity() for _ in range(number)), made])


class _Bottleneck(nn.Module):
    """Three convolutions, the middle one narrow, added to what came in."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.conv1, self.conv2, self.conv3 = _conv(inputs, width, 1), _conv(width, width), _conv(width, outputs, 1)
        self.downsample = nn.Sequential(_conv(inputs, outputs, 1)) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        return functional.relu(self.conv3(y) + self.downsample(x))


class _Basic(nn.Module):
    """Two convolutions, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(width, width), _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv2(functional.relu(self.conv1(x))) + x)


class _Exchange(nn.Module):
    """Some layers in each branch; then each branch becomes the sum of all, brought to its resolution."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(_Basic(width) for _ in range(_BLOCKS))) for width in widths)
        count = range(len(widths))
        self.fuse_layers = nn.ModuleList(nn.ModuleList(_path(widths, start, end) for start in count) for end in count)

    def forward(self, x: Sequence[Tensor]) -> list[Tensor]:
        x = [branch(one) for branch, one in zip(self.branches, x, strict=True)]
        return [self._sum(paths, x) for paths in self.fuse_layers]

    def _sum(self, paths: nn.Module, x: Sequence[Tensor]) -> Tensor:
        total, *others = (path(one) for path, one in zip(paths.children(), x, strict=True))
        for other in others:
            total = total + other
        return functional.relu(total)


def _path(widths: Sequence[int], start: int, end: int) -> nn.Module:
    """From branch `start` to branch `end`: enlarged after one convolution, or halved by one after the other."""
    if start == end:
        return nn.Identity()
    if start > end:
        return nn.Sequential(_conv(widths[start], widths[end], 1), nn.Upsample(scale_factor=2 ** (start - end)))
    halvings = [_step(widths[start], widths[start], stride=2) for _ in range(end - start - 1)]
    return nn.Sequential(*halvings, nn.Sequential(_conv(widths[start], widths[end], stride=2)))
