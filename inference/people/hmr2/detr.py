# SPDX-License-Identifier: GPL-3.0-or-later
"""People found by an RT-DETR detector (Apache-2.0) of the user's, built and run by the library transformers.

The file is safetensors. Its tensors say how large the network is: no description is read beside it, and no code of a
model's page is run. What does not fit to the last tensor is refused.

Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", 2024; Lv et al., "RT-DETRv2", 2024.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from ...errors import BadModelFile
from ...runtime.device import missing_package
from ...runtime.memory import keep
from ...weights import rename
from ...weights.checkpoint import read_tensors
from .find import Detection, Finder, Thresholds, apart

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ...photo import Photo
    from ...runtime.run import Run

#: Side of the picture that the network sees, whatever the photo's, and the number of people among its classes.
SIDE, PERSON = 640, 0
#: Names as the files were published -> the library's.
RULES = (
    (r"(attn)\.out_proj\.", r"\1.o_proj."),
    (r"(layers\.\d+)\.(fc[12]\.)", r"\1.mlp.\2"),
    (r"encoder\.encoder\.(\d+)\.layers", r"encoder.aifi.\1.layers"),
)
#: Heads that the file holds once; the network has them under one of two names, or under both.
_SHARED = re.compile(r"^(?:model\.decoder\.)?((?:bbox|class)_embed\..*)$")
_LAYER = re.compile(
    r"^model\.backbone\.model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.convolution\.weight$"
)


def detr_finder(path: Path, run: Run, thresholds: Thresholds) -> Finder:
    """A finder with this detector. Raises `BadModelFile` and `MissingPackages`."""
    stat = path.stat()
    state: Hashable = (path, stat.st_mtime_ns, stat.st_size)
    network = keep(("detr", state, run.device), lambda: load_detr(path).to(run.torch_device))

    def find(photos: Sequence[Photo], part: Run) -> list[list[Detection]]:
        part.report(0.0, "Looking for people")
        with torch.inference_mode():
            answer = network(torch.cat([_seen(photo.pixels) for photo in photos]).to(run.torch_device))
        scores = torch.sigmoid(answer.logits[..., PERSON]).float().cpu().numpy()
        boxes = answer.pred_boxes.float().cpu().numpy()
        answers = zip(scores, boxes, photos, strict=True)
        return [_people(score, box, *photo.size, thresholds) for score, box, photo in answers]

    return find


def _seen(pixels: NDArray[np.uint8]) -> Tensor:
    """The network's picture (1, 3, S, S) of a photo, whose sides become equal."""
    picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float().div_(255.0)
    return F.interpolate(picture, (SIDE, SIDE), mode="bilinear", antialias=True)


def _people(scores: NDArray, boxes: NDArray, width: int, height: int, thresholds: Thresholds) -> list[Detection]:
    """The people of a photo, the surest first. scores (Q,), boxes (Q, 4): middle and size in shares of the photo."""
    order = np.argsort(-scores)[: int((scores >= thresholds.confidence).sum())]
    middle, size = boxes[order, :2], boxes[order, 2:]
    corners = np.concatenate([middle - size / 2, middle + size / 2], 1).clip(0, 1) * ([width, height] * 2)
    return apart(scores[order], corners, thresholds.overlap)


def load_detr(path: Path) -> nn.Module:
    """The network of a file, on the CPU. Raises `BadModelFile` and `MissingPackages`."""
    tensors = {rename(name, RULES): tensor for name, tensor in read_tensors(path).items()}
    for name in list(tensors):
        if shared := _SHARED.match(name):
            for twin in (shared[1], f"model.decoder.{shared[1]}"):
                tensors.setdefault(twin, tensors[name])
    try:
        with torch.device("meta"):
            network = _network({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    except ImportError as error:
        raise missing_package(error.name, error, "maps") from error
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise _not_a_detector(path) from error
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    tensors = {name: tensor for name, tensor in tensors.items() if name in expected or not _SHARED.match(name)}
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise _not_a_detector(path)
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.float().eval().requires_grad_(False)


def _not_a_detector(path: Path) -> BadModelFile:
    return BadModelFile(
        f"{path} is not an RT-DETR detector with people among its classes.",
        "Choose one in safetensors form (such as rtdetr_v2_r18vd), a YOLO file, or the detector 'builtin'.",
    )


def _network(shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """The network (of random weights) whose tensors have these shapes."""
    from transformers import (
        RTDetrConfig,
        RTDetrForObjectDetection,
        RTDetrResNetConfig,
        RTDetrV2Config,
        RTDetrV2ForObjectDetection,
    )

    stages: dict[int, dict[tuple[int, int], int]] = {}
    for name, shape in shapes.items():
        if found := _LAYER.match(name):
            stage, layer, number = (int(group) for group in found.groups())
            stages.setdefault(stage, {})[layer, number] = shape[0]
    widths = [layers[max(layers)] for _, layers in sorted(stages.items())]
    layout: dict[str, Any] = {
        "embedding_size": shapes["model.backbone.model.embedder.embedder.2.convolution.weight"][0],
        "hidden_sizes": widths,
        "depths": [max(layers)[0] + 1 for _, layers in sorted(stages.items())],
        "layer_type": "bottleneck" if max(number for _, number in stages[0]) == 2 else "basic",
        "out_features": ["stage2", "stage3", "stage4"],
    }
    levels = _count(shapes, r"model\.encoder_input_proj\.(\d+)\.")
    width = shapes["model.encoder_input_proj.0.0.weight"][0]
    heads, decoder = 8, "model.decoder.layers.0"
    sizes: dict[str, Any] = {
        "backbone_config": RTDetrResNetConfig(**layout),
        "encoder_in_channels": widths[-levels:],
        "encoder_hidden_dim": width,
        "encoder_ffn_dim": shapes["model.encoder.aifi.0.layers.0.mlp.fc1.weight"][0],
        "hidden_expansion": shapes["model.encoder.fpn_blocks.0.conv1.conv.weight"][0] / width,
        "d_model": shapes["model.decoder_input_proj.0.0.weight"][0],
        "decoder_in_channels": [width] * levels,
        "decoder_ffn_dim": shapes[f"{decoder}.mlp.fc1.weight"][0],
        "decoder_layers": _count(shapes, r"model\.decoder\.layers\.(\d+)\."),
        "decoder_n_points": shapes[f"{decoder}.encoder_attn.attention_weights.weight"][0] // (heads * levels),
        "num_labels": shapes["class_embed.0.weight"][0],
    }
    if f"{decoder}.encoder_attn.n_points_scale" in shapes:
        return RTDetrV2ForObjectDetection(RTDetrV2Config(**sizes))
    return RTDetrForObjectDetection(RTDetrConfig(**sizes))


def _count(names: Mapping[str, Any], pattern: str) -> int:
    return 1 + max(int(found[1]) for name in names if (found := re.match(pattern, name)))
