# SPDX-License-Identifier: GPL-3.0-or-later
"""A YOLO detector of the user's: its layers as the file lists them, and its head's numbers as boxes and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ....errors import BadModelFile
from ....weights.convert import check_finite
from ....weights.modules import Thing, read_modules
from .blocks import UnknownBlock, build

#: How many numbers a side of a box may be spread over, and coarsest grid: what no detector has more of.
_MOST_BINS, _MOST_STRIDE = 64, 128


class Seen(NamedTuple):
    """boxes (B, N, 4) xyxy in pixels of the network's picture.  scores (B, N, classes) 0..1.
    coefficients (B, N, M) and prototypes (B, M, h, w) of the masks; None where the detector has none."""

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor | None
    prototypes: Tensor | None


class Detector(nn.Module):
    """person : the class that is a person.  stride : sides of the picture are multiples of it."""

    def __init__(self, model: Thing) -> None:
        super().__init__()
        *layers, head = list(model.model)
        self.layers = nn.ModuleList(build(layer) for layer in layers)
        self.head = Head(head)
        self.sources = [_sources(layer, index) for index, layer in enumerate([*layers, head])]
        self.stride = int(max(self.head.strides))
        self.person = _person(model.held.get("names"))

    def forward(self, pictures: Tensor) -> Seen:
        """pictures : (B, 3, H, W) 0..1 RGB, sides multiples of `stride`."""
        found: list[Any] = []
        x: Any = pictures
        for layer, sources in zip([*self.layers, self.head], self.sources, strict=True):
            inputs = [x if source == -1 else found[source] for source in sources]
            x = layer(inputs if len(inputs) > 1 or isinstance(layer, Head) else inputs[0])
            found.append(x)
        return x


def _sources(layer: Thing, index: int) -> list[int]:
    """Which earlier layers a layer takes, -1 for the one before it."""
    listed = layer.f if isinstance(layer.f, (list, tuple)) else [layer.f]
    sources = [
        -1 if int(source) == -1 else int(source) % index if int(source) < 0 else int(source) for source in listed
    ]
    if any(source >= index for source in sources):
        raise ValueError("a layer that takes a later one")
    return sources


def _person(names: Any) -> int:
    """The number of the class of people; 0 where the file does not tell."""
    listed = names.items() if type(names) is dict else enumerate(names) if isinstance(names, (list, tuple)) else ()
    return next((int(number) for number, name in listed if str(name).lower() == "person"), 0)


class Head(nn.Module):
    """Boxes, classes and, with `cv4`, mixtures of masks, at each place of some grids."""

    def __init__(self, thing: Thing) -> None:
        super().__init__()
        if thing.kind not in ("Detect", "Segment"):
            raise UnknownBlock(thing.kind)
        self.sides, self.classes = build(thing.cv2), build(thing.cv3)
        self.masks = build(thing.cv4) if thing.kind == "Segment" else None
        self.proto = build(thing.proto) if thing.kind == "Segment" else None
        self.bins = int(thing.reg_max)
        self.strides = [float(stride) for stride in thing.stride]
        if not 1 <= self.bins <= _MOST_BINS or not all(1 <= stride <= _MOST_STRIDE for stride in self.strides):
            raise ValueError("grids that no detector has")

    def forward(self, features: list[Tensor]) -> Seen:
        batch = len(features[0])

        def gathered(heads: nn.Module) -> Tensor:
            parts = zip(heads.children(), features, strict=True)
            return torch.cat([head(feature).flatten(2) for head, feature in parts], 2).transpose(1, 2)

        scores = gathered(self.classes).sigmoid()
        sides = gathered(self.sides).reshape(batch, -1, 4, self.bins)
        if self.bins > 1:
            places = torch.arange(self.bins, dtype=sides.dtype, device=sides.device)
            sides = (sides.softmax(-1) * places).sum(-1)
        else:
            sides = sides[..., 0]
        middle, stride = self._grid(features)
        boxes = torch.cat([middle - sides[..., :2], middle + sides[..., 2:]], -1) * stride
        coefficients = None if self.masks is None else gathered(self.masks)
        return Seen(boxes, scores, coefficients, None if self.proto is None else self.proto(features[0]))

    def _grid(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Middles (N, 2) of the cells in cells, and their sizes (N, 1) in pixels."""
        middles, sizes = [], []
        for feature, stride in zip(features, self.strides, strict=True):
            rows, columns = (
                torch.arange(side, dtype=feature.dtype, device=feature.device) + 0.5 for side in feature.shape[2:]
            )
            y, x = torch.meshgrid(rows, columns, indexing="ij")
            middles.append(torch.stack([x, y], -1).reshape(-1, 2))
            sizes.append(torch.full((middles[-1].shape[0], 1), stride, dtype=feature.dtype, device=feature.device))
        return torch.cat(middles), torch.cat(sizes)


def load_detector(path: Path, device: torch.device) -> Detector:
    """The detector in a published .pt. Raises `BadModelFile`; nothing that the file holds is run."""
    content = read_modules(path)
    model = next((content[name] for name in ("ema", "model") if isinstance(content.get(name), Thing)), None)
    remedy = "Use person_yolov8m-seg.pt, or another YOLO detector of version 8, 9 or 11; or take the file away."
    try:
        if model is None:
            raise ValueError("no model")
        detector = Detector(model)
    except UnknownBlock as error:
        raise BadModelFile(f"{path} is a detector of an unknown kind (it has a {error}).", remedy) from error
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, RuntimeError, RecursionError) as error:
        raise BadModelFile(f"{path} is no YOLO detector.", remedy) from error
    check_finite(path, detector.state_dict())
    return detector.to(device).eval().requires_grad_(False)
