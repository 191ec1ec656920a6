# SPDX-License-Identifier: GPL-3.0-or-later
"""From a published checkpoint to a network: converted once to safetensors beside it, which later loads only map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import BadModelFile, MissingModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..runtime.run import Run

#: Names and tensors of a checkpoint.
State = dict[str, "Tensor"]


@dataclass(frozen=True)
class Published:
    """How a published checkpoint is laid out.

    path : below the root of the model files, as in the catalogue.
    convert : from the published names and tensors to those of our network; drops what is known to be unused, and
        leaves everything else, so that a name that nobody knows is noticed when the network takes the result.
    wrappers : names under which the tensors may lie in the file; none of them present means the file is the state dict.
    version : raised when `convert` changes, so that files converted earlier are made again.
    """

    path: str
    convert: Callable[[State], State]
    wrappers: tuple[str, ...] = ()
    version: int = 1


def load_network(run: Run, published: Published, build: Callable[[], nn.Module]) -> nn.Module:
    """The network with the published weights, on the run's device and in its precision, ready to compute.

    build : makes the network; called on the meta device, so that no random weights are made first.
    Raises `MissingModel` and `BadModelFile`.
    """
    with torch.device("meta"):
        network = build()
    state = state_dict(run, published)
    expected = network.state_dict()
    _check_keys(published.path, state, expected)
    network.load_state_dict(state, strict=True, assign=True)
    dtype = torch.float16 if run.precision == "float16" else torch.float32
    return network.to(run.torch_device, dtype).eval().requires_grad_(False)


def state_dict(run: Run, published: Published) -> State:
    """The converted tensors, mapped from the disk (CPU). Raises `MissingModel` and `BadModelFile`."""
    from safetensors.torch import load_file, save_file

    source = run.models_dir / published.path
    converted = source.with_suffix(".safetensors")
    if not converted.exists():
        if not source.exists():
            raise MissingModel(f"The model file {source} is missing.", "Download it and put it there.")
        content = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
        for wrapper in published.wrappers:
            content = content.get(wrapper, content)
        tensors = {name: tensor.contiguous() for name, tensor in published.convert(dict(content)).items()}
        save_file(tensors, converted)
    return load_file(converted)


def _check_keys(path: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unknown:
        raise BadModelFile(f"{Path(path).name}: {missing[:3]} missing, {unknown[:3]} unknown.", "Download it again.")
