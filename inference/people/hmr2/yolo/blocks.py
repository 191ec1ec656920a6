# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks that YOLO networks (versions 8 to 11) are made of, each built from what its pickled namesake held.

Convolutions take the normalisation after them into their weights. C2f, SPPF and the heads are described in the
documentation of YOLOv8; Wang et al., "YOLOv9", 2024, section 4, describe the GELAN blocks, ADown and CBFuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....weights.modules import Thing


class UnknownBlock(Exception):
    """A block that this version does not know; the message is the name of its class."""


def build(thing: Any) -> nn.Module:
    """The module that a pickled one was. Raises `UnknownBlock`, and AttributeError or TypeError for what is damaged."""
    if not isinstance(thing, Thing):
        raise UnknownBlock(type(thing).__name__)
    if thing.kind not in _KINDS:
        raise UnknownBlock(thing.kind)
    return _KINDS[thing.kind](thing)


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, (tuple, list)) else (int(value), int(value))


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError("a weight that is no tensor")
    return value.detach().float()


def convolution(thing: Thing) -> nn.Conv2d:
    """A plain convolution, or one turned round (`ConvTranspose2d`)."""
    weight, bias = _tensor(thing.weight), thing.bias
    turned = thing.kind == "ConvTranspose2d"
    kind = nn.ConvTranspose2d if turned else nn.Conv2d
    groups = int(thing.groups)
    inputs, outputs = (weight.shape[0], weight.shape[1] * groups) if turned else (weight.shape[1] * groups, len(weight))
    made = kind(
        inputs,
        outputs,
        _pair(weight.shape[2:]),
        stride=_pair(thing.stride),
        padding=_pair(thing.padding),
        groups=groups,
        bias=bias is not None,
        dilation=_pair(thing.dilation),  # type: ignore[arg-type]
    )
    made.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(_tensor(bias), requires_grad=False)
    return made  # type: ignore[return-value]


def _folded(conv: nn.Conv2d, norm: Thing) -> nn.Conv2d:
    """The convolution with the normalisation after it: y = a x + b, both known."""
    scale = _tensor(norm.weight) / (_tensor(norm.running_var) + float(norm.eps)).sqrt()
    bias = conv.bias if conv.bias is not None else torch.zeros(len(scale))
    shift = _tensor(norm.bias) + (bias - _tensor(norm.running_mean)) * scale
    conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None], requires_grad=False)
    conv.bias = nn.Parameter(shift, requires_grad=False)
    return conv


class Conv(nn.Module):
    """Convolution, normalisation, activation."""

    def __init__(self, thing: Thing) -> None:
        super().__init__()
        conv = convolution(thing.conv)
        norm = thing.children.get("bn")
        self.conv = conv if norm is None else _folded(conv, norm)
        self.act = build(thing.act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


class RepConv(nn.Module):
    """Two convolutions side by side, of 3 x 3 and of one pixel, made one."""

    def __init__(self, thing: Thing) -> None:
        super().__init__()
        self.act = build(thing.act)
        if "conv" in thing.children:  # made one before it was saved
            self.conv = convolution(thing.conv)
            return
        if thing.children.get("bn") is not None:
            raise UnknownBlock("RepConv with a way past")
        wide, narrow = Conv(thing.conv1).conv, Conv(thing.conv2).conv
        wide.weight = nn.Parameter(wide.weight + functional.pad(narrow.weight, (1, 1, 1, 1)), requires_grad=False)
        assert wide.bias is not None and narrow.bias is not None
        wide.bias = nn.Parameter(wide.bias + narrow.bias, requires_grad=False)
        self.conv = wide

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


class _Parts(nn.Module):
    """The children of a pickled module under their names."""

    def __init__(self, thing: Thing) -> None:
        super().__init__()
        for name, child in thing.children.items():
            self.add_module(name, build(child))
        self.adds = bool(thing.held.get("add", False))

    def __getattr__(self, name: str) -> Any:
        """A child, whose kind only the file tells."""
        return super().__getattr__(name)


class Bottleneck(_Parts):
    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.adds else y


class C2f(_Parts):
    """Half of the channels go through one block after the other; everything on the way is kept."""

    def forward(self, x: Tensor) -> Tensor:
        found = list(self.cv1(x).chunk(2, 1))
        for block in self.m:
            found.append(block(found[-1]))
        return self.cv2(torch.cat(found, 1))


class C3(_Parts):
    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], 1))


class SPPF(_Parts):
    """The same pooling several times over: what is near, farther, and far."""

    def __init__(self, thing: Thing) -> None:
        super().__init__(thing)
        self.times = int(thing.held.get("n", 3))

    def forward(self, x: Tensor) -> Tensor:
        found = [self.cv1(x)]
        for _ in range(self.times):
            found.append(self.m(found[-1]))
        y = self.cv2(torch.cat(found, 1))
        return x + y if self.adds else y


class SPPELAN(_Parts):
    def forward(self, x: Tensor) -> Tensor:
        found = [self.cv1(x)]
        for pool in (self.cv2, self.cv3, self.cv4):
            found.append(pool(found[-1]))
        return self.cv5(torch.cat(found, 1))


class ELAN(_Parts):
    def forward(self, x: Tensor) -> Tensor:
        found = list(self.cv1(x).chunk(2, 1))
        for block in (self.cv2, self.cv3):
            found.append(block(found[-1]))
        return self.cv4(torch.cat(found, 1))


class AConv(_Parts):
    def forward(self, x: Tensor) -> Tensor:
        return self.cv1(functional.avg_pool2d(x, 2, 1))


class ADown(_Parts):
    """Half of the resolution: one half of the channels by a convolution, the other by its greatest values."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = functional.avg_pool2d(x, 2, 1).chunk(2, 1)
        return torch.cat([self.cv1(first), self.cv2(functional.max_pool2d(second, 3, 2, 1))], 1)


class CBLinear(nn.Module):
    """A convolution whose channels go to several places."""

    def __init__(self, thing: Thing) -> None:
        super().__init__()
        self.conv, self.widths = convolution(thing.conv), [int(width) for width in thing.c2s]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.conv(x).split(self.widths, 1)


class CBFuse(nn.Module):
    """The last input, with those parts of the others that are meant for it, at its resolution."""

    def __init__(self, thing: Thing) -> None:
        super().__init__()
        self.chosen = [int(index) for index in thing.idx]

    def forward(self, inputs: list) -> Tensor:
        total = inputs[-1]
        for parts, index in zip(inputs[:-1], self.chosen, strict=True):
            total = total + functional.interpolate(parts[index], size=total.shape[2:], mode="nearest")
        return total


class PSA(_Parts):
    """Attention over one half of the channels (C2PSA)."""

    def forward(self, x: Tensor) -> Tensor:
        kept, seen = self.cv1(x).chunk(2, 1)
        return self.cv2(torch.cat([kept, self.m(seen)], 1))


class PSABlock(_Parts):
    def forward(self, x: Tensor) -> Tensor:
        if not self.adds:
            return self.ffn(self.attn(x))
        x = x + self.attn(x)
        return x + self.ffn(x)


class Attention(_Parts):
    """Attention among all pixels, with a convolution of the values that tells where they are."""

    def __init__(self, thing: Thing) -> None:
        super().__init__(thing)
        self.heads, self.width, self.values = (int(getattr(thing, n)) for n in ("num_heads", "key_dim", "head_dim"))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        together = self.qkv(x).view(batch, self.heads, 2 * self.width + self.values, height * width)
        query, key, value = together.split([self.width, self.width, self.values], 2)
        seen = functional.scaled_dot_product_attention(*(part.transpose(2, 3) for part in (query, key, value)))
        seen = seen.transpose(2, 3).reshape(batch, channels, height, width)
        return self.proj(seen + self.pe(value.reshape(batch, channels, height, width)))


class Concat(nn.Module):
    def __init__(self, thing: Thing) -> None:
        super().__init__()
        self.axis = int(thing.held.get("d", 1))

    def forward(self, inputs: list[Tensor]) -> Tensor:
        return torch.cat(inputs, self.axis)


class Proto(_Parts):
    """What masks are mixed from."""

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(self.cv2(self.upsample(self.cv1(x))))


def _sequence(thing: Thing) -> nn.Module:
    return nn.Sequential(*(build(child) for child in thing))


def _upsample(thing: Thing) -> nn.Module:
    if thing.mode != "nearest":
        raise UnknownBlock(f"Upsample by {thing.mode}")
    return nn.Upsample(scale_factor=float(_pair(thing.scale_factor)[0]))


def _max_pool(thing: Thing) -> nn.Module:
    kernel, stride, padding = (_pair(thing.held[name]) for name in ("kernel_size", "stride", "padding"))
    return nn.MaxPool2d(kernel, stride, padding)


#: Class in the file -> what it becomes here.
_KINDS: dict[str, Callable[[Thing], nn.Module]] = {
    "Conv": Conv,
    "DWConv": Conv,
    "RepConv": RepConv,
    "Bottleneck": Bottleneck,
    "RepBottleneck": Bottleneck,
    "C2f": C2f,
    "C3k2": C2f,
    "C3": C3,
    "C3k": C3,
    "RepCSP": C3,
    "SPPF": SPPF,
    "SPPELAN": SPPELAN,
    "RepNCSPELAN4": ELAN,
    "ELAN1": ELAN,
    "AConv": AConv,
    "ADown": ADown,
    "CBLinear": CBLinear,
    "CBFuse": CBFuse,
    "C2PSA": PSA,
    "PSABlock": PSABlock,
    "Attention": Attention,
    "Concat": Concat,
    "Proto": Proto,
    "Silence": lambda _thing: nn.Identity(),
    "Identity": lambda _thing: nn.Identity(),
    "SiLU": lambda _thing: nn.SiLU(inplace=True),
    "ReLU": lambda _thing: nn.ReLU(inplace=True),
    "Conv2d": convolution,
    "ConvTranspose2d": convolution,
    "Sequential": _sequence,
    "ModuleList": lambda thing: nn.ModuleList(build(child) for child in thing),
    "MaxPool2d": _max_pool,
    "Upsample": _upsample,
}
