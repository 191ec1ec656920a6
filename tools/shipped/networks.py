# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the network files of hands in `assets` from the public wheel of mediapipe 0.10.21 (the later wheels hold no
networks), and the pose network in float16, of which `squeeze.py` makes what ships, from Google's package on npm.

    pip install tflite
    pip download --no-deps mediapipe==0.10.21
    python tools/shipped/networks.py mediapipe-0.10.21-*.whl
    npm pack @mediapipe/pose@0.5.1675469404
    python tools/shipped/networks.py mediapipe-pose-0.5.1675469404.tgz --output FOLDER

The weights are float16 already, some of them stored sparse; both are kept, so the files hold the same numbers
in fewer bytes than the originals. The graph is simplified once here (explicit padding, channels first, activations
within the convolutions), so that running it needs no more than `networks.py`, and neither tflite nor flatbuffers.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import tflite  # pyright: ignore[reportMissingImports]

SOURCES = {
    "palm_detection": "mediapipe/modules/palm_detection/palm_detection_full.tflite",
    "hand_landmark": "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
}
POSE = "package/pose_landmark_heavy.tflite"
ASSETS = Path(__file__).parents[2] / "inference" / "shipped" / "assets"

_OPERATORS = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32}
_ACTIVATIONS = {0: None, 1: "relu", 3: "relu6"}
_SAME = 0


def options(operator, kind):
    """The options table of an operator, read as `kind`."""
    table = operator.BuiltinOptions()
    read = kind()
    read.Init(table.Bytes, table.Pos)
    return read


def _index_vector(kind: int, table) -> np.ndarray:
    """The segments or indices of a sparse dimension, stored in the narrowest integer that holds them."""
    reader = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}[kind]()
    reader.Init(table.Bytes, table.Pos)
    return reader.ValuesAsNumpy().astype(np.int64)


def densify(tensor, values: np.ndarray) -> np.ndarray:
    """Expand a sparse tensor (TensorFlow Lite's block-sparse format: the levels of a tree, each dense or compressed).

    Walks the tree level by level for all entries at once; `position` numbers the nodes of the present level.
    """
    sparsity = tensor.Sparsity()
    shape = [int(size) for size in tensor.ShapeAsNumpy()]
    order = sparsity.TraversalOrderAsNumpy()
    blocks = sparsity.BlockMapAsNumpy() if sparsity.BlockMapLength() else np.zeros(0, np.int64)
    position = np.zeros(1, np.int64)
    coordinates = np.zeros((0, 1), np.int64)
    block_sizes = np.ones(len(shape), np.int64)
    for level in range(sparsity.DimMetadataLength()):
        dimension = sparsity.DimMetadata(level)
        if dimension.Format() == tflite.DimensionType.DENSE:
            size = dimension.DenseSize()
            index = np.tile(np.arange(size), len(position))
            parent = np.repeat(np.arange(len(position)), size)
            position = position[parent] * size + index
            if level >= len(shape):
                block_sizes[blocks[level - len(shape)]] = size
        else:
            segments = _index_vector(dimension.ArraySegmentsType(), dimension.ArraySegments())
            counts = segments[position + 1] - segments[position]
            parent = np.repeat(np.arange(len(position)), counts)
            first = np.concatenate([[0], np.cumsum(counts)[:-1]])
            position = segments[position][parent] + np.arange(len(parent)) - first[parent]
            index = _index_vector(dimension.ArrayIndicesType(), dimension.ArrayIndices())[position]
        coordinates = np.concatenate([coordinates[:, parent], index[None]])
    place = np.zeros((len(shape), len(position)), np.int64)
    place[order[: len(shape)]] = coordinates[: len(shape)]
    for block, row in zip(blocks, coordinates[len(shape) :], strict=True):
        place[block] = place[block] * block_sizes[block] + row
    dense = np.zeros(shape, values.dtype)
    dense[tuple(place)] = values[position]
    return dense


class Converter:
    """Turns one tflite graph into `steps` (what `networks.Network` runs) and `tensors` (its weights)."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.steps: list[dict] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.constants: dict[int, np.ndarray] = {}
        self.paddings: dict[int, tuple[int, list[int]]] = {}  # output of a spatial PAD -> its input, [left, right, ...]

    def convert(self) -> dict:
        graph = self.graph
        for index in range(graph.OperatorsLength()):
            operator = graph.Operators(index)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            name = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            inputs = [int(i) for i in operator.InputsAsNumpy()]
            step = getattr(self, "on_" + name.lower())(operator, inputs, int(operator.Outputs(0)))
            if step is not None:
                self.steps.append({"inputs": inputs[:1], "output": int(operator.Outputs(0)), **step})
        outputs = [int(i) for i in graph.OutputsAsNumpy()]
        return {
            "input": int(graph.Inputs(0)),
            "size": self.shape(graph.Inputs(0))[1],
            "outputs": outputs,
            "steps": self.steps,
        }

    def shape(self, index: int) -> list[int]:
        return [int(size) for size in self.graph.Tensors(index).ShapeAsNumpy()]

    def constant(self, index: int) -> np.ndarray:
        if index not in self.constants:
            tensor = self.graph.Tensors(index)
            data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
            values = np.frombuffer(data.tobytes(), _DTYPES[tensor.Type()])
            sparse = tensor.Sparsity() is not None
            self.constants[index] = densify(tensor, values) if sparse else values.reshape(self.shape(index))
        return self.constants[index]

    def weight(self, array: np.ndarray) -> str:
        """Keep a weight as float16; where much of it is zero, as the other values and a bit mask of their places."""
        name = f"w{len(self.tensors):03d}"
        half = np.ascontiguousarray(array, np.float16)
        if not np.array_equal(half, array):
            raise ValueError(f"{name} is not float16 in the source; converting it would change the network")
        occupied = half != 0
        if occupied.mean() < 0.8:
            self.tensors[name + ".values"] = half[occupied]
            self.tensors[name + ".places"] = np.packbits(occupied)
            self.tensors[name + ".shape"] = np.array(half.shape, np.int32)
        else:
            self.tensors[name] = half
        return name

    # One method an operator: returns the step, or None where nothing is left to do at run time.

    def on_dequantize(self, operator, inputs, output):
        self.constants[output] = self.constant(inputs[0])

    on_densify = on_dequantize

    def on_pad(self, operator, inputs, output):
        amounts = self.constant(inputs[1])
        if amounts[3].any():
            if amounts[:3].any():
                raise ValueError("PAD of channels and pixels at once")
            return {"op": "pad_channels", "amount": int(amounts[3][1])}
        self.paddings[output] = (inputs[0], [int(n) for n in (*amounts[2], *amounts[1])])
        return None

    def _padded(self, source: int, padding: int, kernel: tuple[int, int], stride: tuple[int, int]):
        """Tensor that a window operator truly reads, and its explicit zero padding [left, right, top, bottom]."""
        if padding != _SAME:
            return self.paddings.get(source, (source, [0, 0, 0, 0]))
        if source in self.paddings:
            raise ValueError("SAME padding of a tensor that is padded already")
        amounts: list[int] = []
        for axis in (1, 0):
            size = self.shape(source)[1 + axis]
            total = max((-(-size // stride[axis]) - 1) * stride[axis] + kernel[axis] - size, 0)
            amounts += [total // 2, total - total // 2]
        return source, amounts

    def _convolution(self, settings, inputs, weight, depthwise):
        stride = (settings.StrideH(), settings.StrideW())
        if settings.DilationHFactor() != 1 or stride[0] != stride[1]:
            raise ValueError("dilated or anisotropic convolution")
        source, padding = self._padded(inputs[0], settings.Padding(), weight.shape[2:], stride)
        return {
            "op": "convolution",
            "inputs": [source],
            "weight": self.weight(weight),
            "bias": self.weight(self.constant(inputs[2])),
            "stride": stride[0],
            "padding": padding,
            "groups": weight.shape[0] if depthwise else 1,
            "activation": _ACTIVATIONS[settings.FusedActivationFunction()],
        }

    def on_conv_2d(self, operator, inputs, output):
        weight = self.constant(inputs[1]).transpose(0, 3, 1, 2)
        return self._convolution(options(operator, tflite.Conv2DOptions), inputs, weight, depthwise=False)

    def on_depthwise_conv_2d(self, operator, inputs, output):
        weight = self.constant(inputs[1]).transpose(3, 0, 1, 2)
        return self._convolution(options(operator, tflite.DepthwiseConv2DOptions), inputs, weight, depthwise=True)

    def on_max_pool_2d(self, operator, inputs, output):
        settings = options(operator, tflite.Pool2DOptions)
        size = (settings.FilterHeight(), settings.FilterWidth())
        _, padding = self._padded(inputs[0], settings.Padding(), size, (settings.StrideH(), settings.StrideW()))
        if any(padding) or size[0] != size[1] or size[0] != settings.StrideH():
            raise ValueError("padded or overlapping pooling")
        return {"op": "max_pool", "size": size[0]}

    def on_add(self, operator, inputs, output):
        activation = options(operator, tflite.AddOptions).FusedActivationFunction()
        return {"op": "add", "inputs": inputs, "activation": _ACTIVATIONS[activation]}

    def on_prelu(self, operator, inputs, output):
        return {"op": "prelu", "weight": self.weight(self.constant(inputs[1]).reshape(-1))}

    def on_resize_bilinear(self, operator, inputs, output):
        settings = options(operator, tflite.ResizeBilinearOptions)
        if settings.AlignCorners() or not settings.HalfPixelCenters():
            raise ValueError("bilinear scaling that is not by pixel centres")
        return {"op": "upsample", "size": [int(n) for n in self.constant(inputs[1])]}

    def on_depth_to_space(self, operator, inputs, output):
        return {"op": "depth_to_space", "block": options(operator, tflite.DepthToSpaceOptions).BlockSize()}

    def on_reshape(self, operator, inputs, output):
        return {"op": "reshape", "shape": self.shape(output)[1:]}

    def on_concatenation(self, operator, inputs, output):
        if options(operator, tflite.ConcatenationOptions).Axis() not in (1, -2) or len(self.shape(output)) != 3:
            raise ValueError("concatenation along another axis than the rows")
        return {"op": "concatenate", "inputs": inputs}

    def on_mean(self, operator, inputs, output):
        if sorted(self.constant(inputs[1]).tolist()) != [1, 2]:
            raise ValueError("mean over other axes than the pixels")
        return {"op": "mean"}

    def on_fully_connected(self, operator, inputs, output):
        weight, bias = (self.weight(self.constant(i)) for i in inputs[1:3])
        return {"op": "linear", "weight": weight, "bias": bias}

    def on_logistic(self, operator, inputs, output):
        return {"op": "sigmoid"}


def published(package: Path) -> dict[str, tuple[str, bytes]]:
    """Network -> where it comes from, and the file, of those that a package holds."""
    if package.suffix == ".tgz":
        with tarfile.open(package) as archive:
            file = archive.extractfile(POSE)
            assert file is not None
            return {"pose_landmark": (f"@mediapipe/pose 0.5.1675469404, {POSE}", file.read())}
    with zipfile.ZipFile(package) as archive:
        return {name: (f"mediapipe 0.10.21, {source}", archive.read(source)) for name, source in SOURCES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the network files from the packages that publish them.")
    parser.add_argument("package", type=Path, help="mediapipe's wheel, or @mediapipe/pose's .tgz")
    parser.add_argument("--output", type=Path, default=ASSETS)
    options = parser.parse_args()
    for name, (source, data) in published(options.package).items():
        converter = Converter(data)
        graph = converter.convert()
        target = options.output / f"{name}.npz"
        graph["source"] = f"{source}, sha256 {sha256(data).hexdigest()}, Apache-2.0"
        np.savez_compressed(target, network=json.dumps(graph, separators=(",", ":")), **converter.tensors)  # pyright: ignore[reportArgumentType]
        target.chmod(0o644)
        print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB, {len(graph['steps'])} steps")


if __name__ == "__main__":
    main()
