# SPDX-License-Identifier: GPL-3.0-or-later
"""The four small networks that ship with Maquette: MoveNet, BlazePose and BlazePalm/BlazeHand, as torch modules.

Each file in `assets` holds a network's weights (float16, as published, or whole numbers with their steps) and its graph
as a list of operators; `tools/shipped` writes them. A `Network` takes pictures (B, 3, S, S) float32 and returns its
outputs in the order of the published file:

people_detection -1..1, S = 256 or any multiple of 32: maps (B, S / 4, S / 4, C) of people's middles (logits), sizes,
                offsets and keypoints, see `detect.py`.
pose_landmark   0..1, S = 256: landmarks (B, 195), score (B, 1), mask logits (B, 256, 256, 1),
                heat maps (B, 64, 64, 39), world landmarks (B, 117).
palm_detection  0..1, S = 192: regressors (B, 2016, 18), logits (B, 2016, 1).
hand_landmark   0..1, S = 224: landmarks (B, 63), score (B, 1), handedness (B, 1), world landmarks (B, 63).

Google, "MoveNet.MultiPose" (model card), 2021; Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking",
2020; Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", 2020.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import MaquetteError
from ..runtime import memory

ASSETS = Path(__file__).with_name("assets")
#: Whether this torch has oneDNN's kernels with an activation (elsewhere than on x86 nobody has tried them), and what
#: they call it.
_HAS_FUSED = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
_FUSED = {None: ("none", ()), "relu": ("relu", ()), "relu6": ("hardtanh", (0.0, 6.0))}


def load_network(name: str, device: str | torch.device = "cpu") -> Network:
    """A network ("people_detection", "pose_landmark", "palm_detection", "hand_landmark"), kept between calls."""
    return memory.keep(("builtin", name, str(device)), lambda: Network(ASSETS / f"{name}.npz").to(device).packed())


class Network(nn.Module):
    """A published network. Computes in float32, channels last in memory, whatever the device.

    size : side S of the square input in pixels.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph, weights = read_network(path)
        self.size: int = graph["size"]
        self._input: int = graph["input"]
        self._outputs: list[int] = graph["outputs"]
        self._steps: list[tuple[str, list[int], int]] = []
        for index, step in enumerate(graph["steps"]):
            module = f"step{index:03d}"
            self.add_module(module, _MODULES[step["op"]](step, weights))
            self._steps.append((module, step["inputs"], step["output"]))
        self._plans: dict[tuple[int, ...], list[tuple[str, list[int], int, list[int]]]] = {}
        self.requires_grad_(False).eval()

    def _plan(self, wanted: tuple[int, ...]) -> list[tuple[str, list[int], int, list[int]]]:
        """The steps that the wanted outputs depend on, each with the values that nothing reads after it."""
        if wanted not in self._plans:
            needed = {self._outputs[i] for i in wanted}
            plan = []
            for module, inputs, output in reversed(self._steps):
                if output in needed:
                    plan.append((module, inputs, output, [i for i in set(inputs) if i not in needed]))
                    needed.update(inputs)
            self._plans[wanted] = plan[::-1]
        return self._plans[wanted]

    @torch.inference_mode()
    def packed(self) -> Network:
        """Itself, made faster where it is on a CPU, to stay there."""
        for module in self.modules():
            if isinstance(module, _Convolution) and _HAS_FUSED and module.weight.device.type == "cpu":
                module.pack()
        return self

    @torch.inference_mode()
    def forward(self, pictures: Tensor, wanted: tuple[int, ...] | None = None) -> list[Tensor]:
        """pictures (B, 3, S, S) float32 on the network's device -> its outputs, channels in the last axis.

        wanted : numbers of the outputs to compute, in rising order (all); what only the others need is left out.
        """
        wanted = tuple(range(len(self._outputs))) if wanted is None else wanted
        values = {self._input: pictures.contiguous(memory_format=torch.channels_last)}
        # TensorFloat-32, on by default for convolutions, rounds to 10 bits: the landmarks would differ from the CPU's.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for module, inputs, output, finished in self._plan(wanted):
                values[output] = getattr(self, module)(*(values[i] for i in inputs))
                for index in finished:
                    del values[index]
        outputs = [values[self._outputs[i]] for i in wanted]
        return [value.permute(0, 2, 3, 1) if value.dim() == 4 else value for value in outputs]


def read_network(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Graph and float32 weights of a network file; sparse weights are spread out, whole numbers take their steps."""
    if not path.is_file():
        raise MaquetteError(f"The built-in network {path.name} is missing.", "Install Maquette again.")
    with np.load(path) as file:
        stored = dict(file)
    graph = json.loads(str(stored.pop("network")))
    names = {name.partition(".")[0] for name in stored}
    return graph, {name: torch.from_numpy(_weight(name, stored)) for name in names}


def _weight(name: str, stored: dict[str, np.ndarray]) -> NDArray[np.float32]:
    """A weight in full: `.values` at `.places` (bits), zeros elsewhere; or whole numbers, 8 bits and what `.carry` has
    above them, in the steps of their outputs (`.scale`) and inputs (`.columns`)."""
    if name + ".values" in stored:
        shape = stored[name + ".shape"]
        dense = np.zeros(int(np.prod(shape)), np.float32)
        dense[np.unpackbits(stored[name + ".places"], count=dense.size).astype(bool)] = stored[name + ".values"]
        return dense.reshape(shape)
    full = stored[name].astype(np.float32)
    if name + ".carry" in stored:
        full += 256 * stored[name + ".carry"].astype(np.float32)
        full *= stored[name + ".columns"].reshape(-1, *full.shape[1:])
    full *= stored.get(name + ".scale", np.ones(1, np.float32)).reshape(-1, *[1] * (full.ndim - 1))
    return full


def _activate(value: Tensor, activation: str | None) -> Tensor:
    """In place: the value was made by the step itself, so nothing else reads it."""
    if activation == "relu":
        return F.relu_(value)
    return value.clamp_(0.0, 6.0) if activation == "relu6" else value


class _Convolution(nn.Module):
    """Convolution with explicit zero padding [left, right, top, bottom] and its activation."""

    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()
        weight = weights[step["weight"]].contiguous(memory_format=torch.channels_last)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(weights[step["bias"]])
        self.stride, self.groups, self.activation = step["stride"], step["groups"], step["activation"]
        left, right, top, bottom = step["padding"]
        symmetric = left == right and top == bottom
        self.outside = None if symmetric else (left, right, top, bottom)
        self.padding = (top, left) if symmetric else (0, 0)
        self.pointwise = weight.shape[2:] == (1, 1) and self.groups == 1 and self.stride == 1
        self._packed: Tensor | None = None

    def pack(self) -> None:
        """Take oneDNN's kernels, of the CPU: they add the bias and activate as they write."""
        if self.pointwise:  # its matrix products take the weights as they are, whatever the picture's size
            self._packed = self.weight[:, :, 0, 0]
            return
        weight, padding = self.weight, self.padding
        if self.outside:  # more at the end: as much on both sides, and weights that begin with zeros, instead of a copy
            left, right, top, bottom = self.outside
            weight, padding = F.pad(weight, (right - left, 0, bottom - top, 0)), (bottom, right)
        self._geometry = padding, (self.stride, self.stride), (1, 1), self.groups
        self._packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._geometry)

    def forward(self, value: Tensor) -> Tensor:
        if self._packed is not None:
            kernels, activation = torch.ops.mkldnn, _FUSED[self.activation]
            if not self.pointwise:
                return kernels._convolution_pointwise(value, self._packed, self.bias, *self._geometry, *activation, "")
            rows = kernels._linear_pointwise(value.permute(0, 2, 3, 1), self._packed, self.bias, *activation, "")
            return rows.permute(0, 3, 1, 2)
        if self.pointwise:  # a matrix product on the pixels as they lie: torch's own path copies them first, and
            # `F.linear` its bias to every pixel
            rows = torch.matmul(value.permute(0, 2, 3, 1), self.weight[:, :, 0, 0].t()).add_(self.bias)
            return _activate(rows.permute(0, 3, 1, 2), self.activation)
        if self.outside:
            value = F.pad(value, self.outside)
        value = F.conv2d(value, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        return _activate(value, self.activation)


class _Linear(nn.Module):
    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weights[step["weight"]]), nn.Parameter(weights[step["bias"]])

    def forward(self, value: Tensor) -> Tensor:
        return F.linear(value, self.weight, self.bias)


class _Prelu(nn.Module):
    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights[step["weight"]])

    def forward(self, value: Tensor) -> Tensor:
        return F.prelu(value, self.weight)


class _Add(nn.Module):
    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.activation = step["activation"]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return _activate(first + second, self.activation)


class _MaxPool(nn.Module):
    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.size = step["size"]

    def forward(self, value: Tensor) -> Tensor:
        return F.max_pool2d(value, self.size)


class _Upsample(nn.Module):
    """Twice the size, bilinear by pixel centres."""

    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()

    def forward(self, value: Tensor) -> Tensor:
        return F.interpolate(value, scale_factor=2.0, mode="bilinear", align_corners=False)


class _DepthToSpace(nn.Module):
    """Channels into blocks of pixels; unlike in torch's pixel shuffle the place in the block varies slowest."""

    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.block = step["block"]

    def forward(self, value: Tensor) -> Tensor:
        batch, channels, height, width = value.shape
        rest = channels // self.block**2
        parts = value.reshape(batch, self.block, self.block, rest, height, width).permute(0, 3, 4, 1, 5, 2)
        shuffled = parts.reshape(batch, rest, height * self.block, width * self.block)
        return shuffled.contiguous(memory_format=torch.channels_last)


class _PadChannels(nn.Module):
    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.amount = step["amount"]

    def forward(self, value: Tensor) -> Tensor:
        empty = value.new_zeros(value.shape[0], self.amount, *value.shape[2:])
        return torch.cat([value, empty.contiguous(memory_format=torch.channels_last)], 1)


class _Reshape(nn.Module):
    """Pixels and channels into rows, in the order (y, x, channel); as many rows as the picture has cells."""

    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.shape = (-1, *step["shape"][1:])

    def forward(self, value: Tensor) -> Tensor:
        return value.permute(0, 2, 3, 1).reshape(value.shape[0], *self.shape)


class _Concatenate(nn.Module):
    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()

    def forward(self, *values: Tensor) -> Tensor:
        return torch.cat(values, 1)


class _Mean(nn.Module):
    """Mean over the pixels: (B, C, H, W) -> (B, C)."""

    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()

    def forward(self, value: Tensor) -> Tensor:
        return value.mean((2, 3))


class _Sigmoid(nn.Module):
    def __init__(self, step: dict, weights: dict[str, Tensor]) -> None:
        super().__init__()

    def forward(self, value: Tensor) -> Tensor:
        return torch.sigmoid(value)


_MODULES = {
    "add": _Add,
    "concatenate": _Concatenate,
    "convolution": _Convolution,
    "depth_to_space": _DepthToSpace,
    "linear": _Linear,
    "max_pool": _MaxPool,
    "mean": _Mean,
    "pad_channels": _PadChannels,
    "prelu": _Prelu,
    "reshape": _Reshape,
    "sigmoid": _Sigmoid,
    "upsample": _Upsample,
}
