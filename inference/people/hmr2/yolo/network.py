# SPDX-License-Identifier: GPL-3.0-or-later
"""A YOLO detector of the user's: the network that ultralytics builds from the layout in the file, with its weights.

The file is a pickle of the whole network. It is read as names, numbers and tensors (`weights.checkpoint`), its layout
is checked (`layout`), and the network is first built without memory, so that one which does not fit the tensors in the
file costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .....installer.models.safe_pickle import PickledObject
from ....errors import BadModelFile
from ....weights.checkpoint import read_objects
from ....weights.convert import check_finite
from .layout import UnknownLayer, checked_layout
from .package import ultralytics

#: The most elements of a layer's output for a picture of `_PROBE` pixels' side, several times what any detector has.
_PROBE, _MOST_ELEMENTS = 256, 1 << 24
#: Coarsest grid, pixels.
_MOST_STRIDE = 128


class Prediction(NamedTuple):
    """rows (B, 4 + classes + M, N): middle and size of N boxes in pixels of the network's picture, scores 0..1, and
    coefficients of masks.  prototypes (B, M, h, w) of the masks; None where the detector has none."""

    rows: Tensor
    prototypes: Tensor | None


class Detector:
    """classes : how many there are.  person : the one that is a person.  stride : sides of the picture are multiples of
    it."""

    def __init__(self, network: Any, classes: int, person: int) -> None:
        self.network, self.classes, self.person = network, classes, person
        self.stride = max(int(network.stride.max()), 32)

    def __call__(self, pictures: Tensor) -> Prediction:
        """pictures : (B, 3, H, W) 0..1 RGB, sides multiples of `stride`. The answer is on the CPU."""
        answer = self.network(pictures)[0]
        rows, prototypes = answer if isinstance(answer, tuple) else (answer, None)
        return Prediction(rows.cpu(), None if prototypes is None else prototypes.cpu())


def load_detector(path: Path, device: torch.device) -> Detector:
    """The detector in a published .pt. Raises `BadModelFile`, and `MissingPackages` without ultralytics.

    Nothing that the file holds is run.
    """
    tasks = ultralytics("nn.tasks")
    content = read_objects(path)
    saved = next((content[name] for name in ("ema", "model") if isinstance(content.get(name), PickledObject)), None)
    remedy = "Use person_yolov8m-seg.pt, or another YOLO detector or segmentation model; or remove the file."
    try:
        if saved is None:
            raise ValueError("no model")
        layout = checked_layout(saved.attributes.get("yaml"))
        tensors = {name: tensor for name, tensor in _tensors(saved, "") if name.startswith("model.")}
        network = _built(tasks, layout, tensors)
        person = _person(saved.attributes.get("names"))
    except UnknownLayer as error:
        raise BadModelFile(f"{path} is not a person detector: it has a layer {error}.", remedy) from error
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, RuntimeError, RecursionError) as error:
        raise BadModelFile(f"{path} is not a YOLO detector that can be read.", remedy) from error
    check_finite(path, network.state_dict())
    return Detector(network.to(device), layout["nc"], person)


def _tensors(saved: PickledObject, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor, float32 or of whole numbers, of every parameter and buffer of a pickled module."""
    attributes = saved.attributes
    transient = attributes.get("_non_persistent_buffers_set") or ()
    for group in ("_parameters", "_buffers"):
        for name, tensor in attributes.get(group, {}).items():
            if isinstance(tensor, Tensor) and name not in transient:
                kind = torch.float32 if tensor.is_floating_point() else tensor.dtype
                yield f"{prefix}{name}", tensor.detach().to(kind, copy=True)  # the file may go while this is in use
    for name, child in attributes.get("_modules", {}).items():
        if isinstance(child, PickledObject):
            yield from _tensors(child, f"{prefix}{name}.")


class _WithoutMemory(TorchFunctionMode):
    """New tensors have a shape only, as under `torch.device("meta")`. But some of torch's functions import a thousand
    modules before they take such a tensor: a range stays real, and random weights are not made."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.erfinv_, Tensor.clamp_):
            return args[0]
        makes = function in (torch.empty, torch.zeros, torch.ones, torch.tensor)
        return function(*args, **((kwargs or {}) | ({"device": "meta"} if makes else {})))


def _built(tasks: ModuleType, layout: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    """The network of a checked layout with these tensors, ready to compute (CPU)."""
    with _WithoutMemory():
        network = tasks.BaseModel()
        network.model, network.save = tasks.parse_model(layout, ch=3, verbose=False)
    tasks.initialize_weights(network)
    if not any(".bn." in name for name in tensors):  # saved after its normalisations were folded in
        network.fuse(verbose=False)
    network.load_state_dict(tensors, strict=True, assign=True)
    network = network.fuse(verbose=False).eval().requires_grad_(False)
    network.model[-1].stride = network.stride = torch.tensor(_strides(network))
    return network


def _strides(network: Any) -> list[float]:
    """Pixels between the places of each of the head's grids, as a small picture shows."""

    def check(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.numel() > _MOST_ELEMENTS:
            raise ValueError("a layer larger than any detector's")

    head = network.model[-1]
    hooks = [layer.register_forward_hook(check) for layer in network.model]
    head.training = True  # so that it gives its grids, and not boxes, which need the strides
    with torch.inference_mode():
        found = network(torch.zeros(1, 3, _PROBE, _PROBE))
    head.training = False
    for hook in hooks:
        hook.remove()
    strides = [_PROBE / feature.shape[-2] for feature in found.get("one2many", found)["feats"]]
    if not all(1 <= stride <= _MOST_STRIDE for stride in strides):
        raise ValueError("grids that no detector has")
    return strides


def _person(names: Any) -> int:
    """The number of the class of people; 0 where the file does not tell."""
    listed = names.items() if type(names) is dict else enumerate(names) if isinstance(names, (list, tuple)) else ()
    return next((int(number) for number, name in listed if str(name).lower() == "person"), 0)
