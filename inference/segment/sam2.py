# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting out by SAM 2.1 (Ravi et al. 2024), with the network of the library transformers.

What it sees of a photo is remembered, so that further clicks only pass its small decoder. The published files hold the
memory for films too: see `sam2_film`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

from ..errors import NothingFound
from ..models import IMAGENET
from ..photo import Photo
from ..results import CutOut
from ..runtime import Run
from ..runtime.memory import keep
from ..runtime.passes import check_finite, reporting
from ..runtime.result_cache import cached_result
from ..weights import Published, load_network
from .edges import finished
from .prompt import Prompt, extent, innermost

#: Side of the network's picture, and of the masks that it takes.
SIDE, MASK_SIDE = 1024, 256
#: Log odds of a rough mask's inside, and of its outside below 0.
_SURE = 6.0
#: Size -> blocks of each stage, and those that see the whole picture.
SIZES: dict[str, dict[str, list[int]]] = {
    "tiny": {"blocks_per_stage": [1, 2, 7, 2], "global_attention_blocks": [5, 7, 9]},
    "small": {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
}
#: Published tensors of the memory.
_MEMORY = re.compile(
    r"^(memory_|mask_downsample|object_pointer_proj|temporal_positional|no_memory_positional|no_object_pointer|occlusion)"
)


def build(size: str) -> nn.Module:
    """The network of this size."""
    return Sam2Model(Sam2Config(vision_config=Sam2VisionConfig(backbone_config=Sam2HieraDetConfig(**SIZES[size]))))  # type: ignore[arg-type]


def cut_out(photo: Photo, run: Run, options: Mapping[str, Any]) -> CutOut:
    """See `inference.cut_out`. Raises `NothingFound` where the network sees nothing there."""
    prompt = Prompt.of(photo, options)
    network: Any = _kept(run)
    request = ("sam2", *run.model_key)
    features = cached_result(photo.pixels, request, lambda: _features(network, photo.pixels, run.part(0.1, 0.9)))
    logits, score = _masks(network, features, prompt, photo.size, run)
    mask = mask_of(logits, photo.size)
    if not (mask > 0.5).any():
        raise NothingFound("The model sees nothing to cut out there.", "Click elsewhere, or draw a box around it.")
    return finished(photo, mask, score, run, options)


def _kept(run: Run) -> nn.Module:
    assert run.model is not None
    size = str(run.model.options["size"])
    published = Published(run.model.files[0].path, _without_memory)
    run.report(0.0, f"Loading {run.model.label}")
    return keep(run.model_key, lambda: load_network(run, published, lambda: build(size)))


def _without_memory(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not _MEMORY.match(name)}


def picture(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network sees of a photo (1024, 1024, 3)."""
    mean, spread = (np.array(values, np.float32) for values in IMAGENET)
    seen = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return (seen / 255 - mean) / spread


def mask_of(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """The mask (H, W) of a photo's size by the network's log odds."""
    large = cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR)
    return (1 / (1 + np.exp(-np.clip(large, -30, 30)))).astype(np.float32)


def _features(network: Any, pixels: NDArray[np.uint8], run: Run) -> list[NDArray[np.float32]]:
    """What the encoder says of a photo, in three sizes."""
    first = next(network.parameters())
    stack = torch.from_numpy(picture(pixels)).permute(2, 0, 1)[None].to(first.device, first.dtype)
    with torch.inference_mode(), reporting(run, network.vision_encoder, "Looking at the photo"):
        levels = network.get_image_embeddings(stack)
    found = [level.float().cpu() for level in levels]
    check_finite(found, run)
    return [level.numpy() for level in found]


def _masks(
    network: Any, features: list[NDArray[np.float32]], prompt: Prompt, size: tuple[int, int], run: Run
) -> tuple[NDArray[np.float32], float]:
    """Log odds (256, 256) of the best mask, and how sure the network is of it."""
    first = next(network.parameters())
    scale = np.array([SIDE / size[0], SIDE / size[1]])
    points, wanted, box, rough = prompt.points, prompt.wanted, prompt.box, None
    if prompt.mask is not None:
        small = cv2.resize(prompt.mask.astype(np.float32), (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)
        rough = (small * 2 - 1) * _SURE
        if not len(points):
            points, wanted = np.array([innermost(prompt.mask)]), np.array([True])
        box = extent(prompt.mask) if box is None else box
    given: dict[str, Tensor] = {}
    if len(points):
        given["input_points"] = _tensor(points * scale - 0.5, first)[None, None]
        given["input_labels"] = torch.tensor(wanted.astype(np.int64), device=first.device)[None, None]
    if box is not None:
        given["input_boxes"] = _tensor(box * np.tile(scale, 2) - 0.5, first)[None, None]
    if rough is not None:
        given["input_masks"] = _tensor(rough, first)[None, None]
    several = len(points) == 1 and box is None and rough is None  # one click may mean a part or the whole
    with torch.inference_mode():
        levels = [_tensor(level, first) for level in features]
        answer = network(image_embeddings=levels, multimask_output=several, **given)
    masks, scores = answer.pred_masks[0, 0].float().cpu(), answer.iou_scores[0, 0].float().cpu()
    check_finite([masks, scores], run)
    best = int(scores.argmax())
    return masks[best].numpy(), float(scores[best].clamp(0, 1))


def _tensor(values: NDArray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device, like.dtype)
