# SPDX-License-Identifier: GPL-3.0-or-later
"""Make `assets/pose_landmark.npz`: BlazePose's "heavy" network in a third of its bytes.

    npm pack @mediapipe/pose@0.5.1675469404
    python tools/shipped/networks.py mediapipe-pose-0.5.1675469404.tgz --output FOLDER     # float16, 26 MB
    python3 -m installer run benchmarks/people_truth.py --stills
    python3 -m installer run tools/shipped/squeeze.py FOLDER/pose_landmark.npz .maquette/truth/stills

A weight is rounded to steps that are as fine as the network's answers ask for: coarse where its input hardly varies or
its output hardly counts. Both are measured on crops of rendered people. The inputs of a layer are rounded one after the
other, and what one loses is made good by those that follow. The whole numbers that come of it are small; the file's
compression keeps each in as many bits as it needs, 4 on average. One number, `STEP`, thus deals the bytes out over
all layers: with the one that is set, answers change by less than noise of one grey level in the picture changes them
(medians: 0.25 of 0.36 pixels, 6 of 8 mm).

Frantar and Alistarh, "Optimal Brain Compression", 2022 (the order of rounding); Martens and Grosse, "Optimizing Neural
Networks with Kronecker-factored Approximate Curvature", 2015 (what a layer's inputs and outputs count for).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from maquette.inference import load_photo
from maquette.inference.shipped.crops import Pyramid, Region
from maquette.inference.shipped.networks import ASSETS, Network, read_network
from torch import Tensor, nn

#: How much of the answers' tolerance (`_loss`) the rounding of one weight may take.
STEP = 0.007
#: Crops a person, and what their sizes, places (sides) and turns (radians) are drawn from.
VARIANTS, SIZES, OFF, TURN = 4, (0.75, 1.3), 0.04, 0.15
#: Convolutions with fewer weights are kept as they are, and depthwise ones (a twentieth of all weights).
_MANY = 2000
_BATCH, _ROWS = 4, 1500


def crops(folder: Path) -> Tensor:
    """(N, 3, 256, 256) 0..1: each of the rendered people several times."""
    random, pictures = np.random.default_rng(0), list[np.ndarray]()
    for path in sorted(folder.glob("*.npz")):
        pyramid = Pyramid(load_photo(path.with_suffix(".png")).pixels)
        with np.load(path) as truth:
            boxes = truth["boxes"]
        for x0, y0, x1, y1 in boxes:
            middle, side = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), 1.25 * max(x1 - x0, y1 - y0)
            for variant in range(VARIANTS):
                at, turned = middle + random.normal(0, OFF, 2) * side, float(random.normal(0, TURN))
                region = Region(float(at[0]), float(at[1]), float(side * random.uniform(*SIZES)), turned)
                picture = pyramid.crop(region, 256, True)
                pictures.append(picture[:, ::-1] if variant % 2 else picture)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


class Measured:
    """What goes into each convolution of a network, and what comes out counts for.

    convolutions : those with many weights.  mean, spread : of a convolution's inputs (I,), (I, I).
    counts : (O,) expected square of how far one unit more of an output takes the answers, in their tolerances.
    """

    def __init__(self, network: Network, pictures: Tensor) -> None:
        self.network = network
        self.convolutions = {
            name: module
            for name, module in network.named_children()
            if getattr(module, "groups", 0) == 1 and module.weight.numel() > _MANY  # pyright: ignore
        }
        #: Rows seen, their sum and products; squares of the outputs' gradients.
        self._sums: dict[str, list] = {name: [0, 0, 0, 0] for name in self.convolutions}
        network.requires_grad_(True)
        for start in range(0, len(pictures), _BATCH):
            self._add(pictures[start : start + _BATCH])
        network.requires_grad_(False)
        self.counts = {name: squares / len(pictures) for name, (*_, squares) in self._sums.items()}
        self.mean = {name: total / number for name, (number, total, *_) in self._sums.items()}
        self.spread = {
            name: products / number - torch.outer(self.mean[name], self.mean[name])
            for name, (number, _, products, _) in self._sums.items()
        }

    def _add(self, pictures: Tensor) -> None:
        network = self.network
        values, outputs = {network._input: pictures.contiguous(memory_format=torch.channels_last)}, {}
        for name, inputs, output in network._steps:
            module = getattr(network, name)
            value = [values[i] for i in inputs]
            if hasattr(module, "activation"):  # before it, and not in place: its gradient is wanted
                activation, module.activation = module.activation, None
                result = module(*value)
                module.activation = activation
                if name in self.convolutions:
                    result.retain_grad()
                    outputs[name] = result
                    self._see(name, module, value[0].detach())
                result = {None: lambda x: x, "relu": F.relu, "relu6": F.relu6}[activation](result)
            else:
                result = module(*value)
            values[output] = result
        network.zero_grad()
        _loss(*(values[i] for i in network._outputs)).backward()
        for name, result in outputs.items():
            self._sums[name][3] += (result.grad.double() ** 2).sum((0, 2, 3))

    def _see(self, name: str, module: nn.Module, value: Tensor) -> None:
        weight = module.weight
        patches = F.unfold(value, tuple(weight.shape[2:]), padding=module.padding, stride=module.stride)  # pyright: ignore
        rows = patches.permute(0, 2, 1).reshape(-1, patches.shape[1])
        rows = rows[:: max(1, len(rows) // _ROWS)].double()
        for place, more in enumerate((len(rows), rows.sum(0), rows.T @ rows)):
            self._sums[name][place] += more


def _loss(landmarks: Tensor, score: Tensor, mask: Tensor, heat: Tensor, world: Tensor) -> Tensor:
    """A random mixture of all answers, each in units of what it may be off by: half a pixel of the crop, 15 mm ..."""
    tolerance = torch.tensor([0.5, 0.5, 2.0, 0.5, 0.5])
    near = (torch.sigmoid(heat.detach()) > 0.1).float()
    peaks = near / near.sum((2, 3), keepdim=True).clamp(min=1).sqrt()
    parts = (
        (landmarks.reshape(-1, 39, 5), 1 / tolerance),
        (score, 1 / 0.03),
        (mask, 2 / 256),
        (heat, peaks / 0.3),
        (world, 1 / 0.015),
    )
    return sum(((torch.randn_like(answer) * answer * weight).sum() for answer, weight in parts), torch.zeros(()))


def rounded(
    weight: np.ndarray, mean: np.ndarray, spread: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Whole numbers (O, I), steps of the outputs (O,) and of the inputs (I,), and what is lost of the mean (O,)."""
    order = np.argsort(-np.diag(spread))
    spread = spread + np.eye(len(spread)) * (0.002 * np.diag(spread).mean() + 1e-9)
    # Rows of what rounding an input costs in those that follow it; on the diagonal one over what is new in an input.
    passed_on = np.linalg.cholesky(np.linalg.inv(spread[np.ix_(order, order)])).T
    # Many outputs are silent (the network was pruned); those that only are in these crops may speak in others.
    rows, columns = STEP / np.sqrt(np.maximum(counts, 1e-4 * counts.mean())), np.diag(passed_on)
    left, whole = weight[:, order].copy(), np.zeros(weight.shape)
    for i, column in enumerate(columns):
        whole[:, i] = np.round(left[:, i] / (rows * column))
        lost = (left[:, i] - whole[:, i] * rows * column) / column
        left[:, i + 1 :] -= np.outer(lost, passed_on[i, i + 1 :])
    back = np.argsort(order)
    whole, columns = whole[:, back], columns[back]
    return whole, rows, columns, (weight - whole * np.outer(rows, columns)) @ mean


def squeezed(graph: dict, weights: dict[str, Tensor], measured: Measured) -> dict[str, np.ndarray]:
    """The arrays of the file. Of a weight `.scale` and `.columns` are its steps; `.carry`, as a rule nothing but zeros,
    is what its whole numbers have above 8 bits."""
    arrays = {name: value.numpy().astype(np.float16) for name, value in weights.items()}
    for number, step in enumerate(graph["steps"]):
        name = f"step{number:03d}"
        if name not in measured.convolutions:
            continue
        weight, counts = weights[step["weight"]].double().numpy(), measured.counts[name].numpy()
        mean, spread = measured.mean[name].numpy(), measured.spread[name].numpy()
        whole, rows, columns, lost = rounded(weight.reshape(len(weight), -1), mean, spread, counts)
        low = whole.astype(np.int32).astype(np.int8)
        arrays |= {
            step["weight"]: low.reshape(weight.shape),
            step["weight"] + ".carry": ((whole.astype(np.int32) - low) >> 8).astype(np.int8).reshape(weight.shape),
            step["weight"] + ".scale": rows.astype(np.float32),
            step["weight"] + ".columns": columns.astype(np.float32),
            step["bias"]: (weights[step["bias"]].numpy() + lost).astype(np.float32),
        }
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description="Round the landmark network to as few bits as its answers need.")
    parser.add_argument("network", type=Path, help="the float16 file that networks.py wrote")
    parser.add_argument("stills", type=Path, help="the rendered people of benchmarks/people_truth.py")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    graph, weights = read_network(options.network)
    arrays = squeezed(graph, weights, Measured(Network(options.network), crops(options.stills)))
    target = ASSETS / "pose_landmark.npz"
    np.savez_compressed(target, network=json.dumps(graph, separators=(",", ":")), **arrays)  # pyright: ignore[reportArgumentType]
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
