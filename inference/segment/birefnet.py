# SPDX-License-Identifier: GPL-3.0-or-later
"""The main thing of a photo with hair and fine edges, by BiRefNet (Zheng et al. 2024); no click is needed.

Inside a box, the main thing there. Clicks and rough masks are what another model answers to; then the edges are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import NothingFound
from ..models import IMAGENET
from ..options.common import AUTO
from ..photo import Photo
from ..registry import answering, model_module
from ..results import CutOut
from ..runtime import Run
from ..runtime.memory import keep
from ..runtime.passes import outputs
from ..runtime.result_cache import cached_result
from ..weights import Published, load_network
from .birefnet_network import BACKBONES, BiRefNet, converted
from .edges import around, finished, refined
from .prompt import Prompt

#: Megabytes beside the weights for a picture of 1024 pixels; measured.
_BESIDE = 1800


def cut_out(photo: Photo, run: Run, options: Mapping[str, Any]) -> CutOut:
    """See `inference.cut_out`. Raises `NothingFound` where nothing stands out."""
    prompt = Prompt.of(photo, options, needed=False)
    own = {**options, "edges": "model"}
    if len(prompt.points) or prompt.mask is not None:
        finder = next(model for model in answering("segment", AUTO, run.models_dir) if not model.options.get("main"))
        with_finder = replace(run.part(0.0, 0.3), model=finder)
        found = model_module("segment", finder.id).cut_out(photo, with_finder, own)
        mask, notes = refined(photo.pixels, found.mask, lambda pixels: matte(pixels, run.part(0.3, 1.0)))
        return replace(finished(photo, mask, found.score, run, own), notes=notes)
    mask = np.zeros(photo.pixels.shape[:2], np.float32)
    window = (slice(None), slice(None)) if prompt.box is None else around(prompt.box, photo.size)
    mask[window] = matte(np.ascontiguousarray(photo.pixels[window]), run)
    inside = mask > 0.5
    if not inside.any():
        raise NothingFound("Nothing stands out there as the main thing.", "Draw a box around it, or click on it.")
    return finished(photo, mask, float(mask[inside].mean()), run, own)


def matte(pixels: NDArray[np.uint8], run: Run) -> NDArray[np.float32]:
    """How much of each pixel (h, w) is of the main thing. Raises `MissingModel`, `BadModelFile`."""
    assert run.model is not None
    side = int(str(run.model.options["side"]))

    def computed() -> NDArray[np.float32]:
        network = _kept(run, side)
        ((answer,),) = outputs(network, [picture(pixels, side)], run, f"Drawing fine edges ({run.device})")
        return answer[0].sigmoid().numpy()

    small = cached_result(pixels, ("matte", *run.model_key), computed)
    shrinks = pixels.shape[0] < side and pixels.shape[1] < side
    size = pixels.shape[1], pixels.shape[0]
    shown = cv2.resize(small, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.clip(np.asarray(shown, np.float32), 0, 1)


def _kept(run: Run, side: int) -> BiRefNet:
    assert run.model is not None
    published = Published(run.model.files[0].path, converted)
    size = BACKBONES[str(run.model.options["size"])]
    need = run.model.memory_mb + _BESIDE * (side / 1024) ** 2
    run.report(0.0, f"Loading {run.model.label}, which takes about {need / 1000:.1f} GB of memory")
    return keep(run.model_key, lambda: load_network(run, published, lambda: BiRefNet(size)))


def picture(pixels: NDArray[np.uint8], side: int) -> Tensor:
    """What the network sees of a photo: (3, side, side), stretched, antialiased."""
    mean, spread = (np.array(values, np.float32) for values in IMAGENET)
    seen = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR), np.float32)
    return torch.from_numpy(np.ascontiguousarray(((seen / 255 - mean) / spread).transpose(2, 0, 1)))
