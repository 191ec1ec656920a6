# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth Anything 3: its pass over photos, each by itself.

The network is kept in memory between requests, and its results are cached.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from ...runtime.memory import keep
from ...runtime.passes import outputs
from ...runtime.result_cache import cached_results
from ...weights import Published, Rules, load_network, rename
from .. import IMAGENET
from ..dinov2 import PATCH
from ..dpt import RULES as DECODER
from .network import SIZES, DepthAnything3

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ...photo import Photo
    from ...runtime import Run

#: Long side of the network's picture, at which it was trained and is used by its authors.
LONG_SIDE = 504
#: In the files of any views, of no use to one photo: the rays of all pixels, where the camera stands among others, and
#: what is told of cameras that are known.
_UNUSED = re.compile(r"^model\.cam_(enc|dec\.fc_t|dec\.fc_qvec)\.|^model\.head\.scratch\.\w+_aux\.")
_RULES: Rules = (
    (r"^model\.backbone\.pretrained\.camera_token$", "encoder.camera_token"),
    (r"^model\.backbone\.pretrained\.", "encoder.vit."),
    (r"^model\.cam_dec\.backbone\.", "lens_head."),
    (r"^model\.cam_dec\.fc_fov\.0\.", "lens_head.4."),
    (r"^model\.head\.", ""),
    *DECODER,
    (r"^scratch\.output_conv1\.", "neck."),
    (r"^scratch\.output_conv2\.", "depth_head."),
    (r"^scratch\.sky_output_conv2\.", "sky_head."),
)


@dataclass(frozen=True)
class Answer:
    """What the network says of a photo, at the size of its own picture. float32.

    depth : (h, w) > 0; of the metric model, in metres where the focal length is 300 of the picture's pixels, of the
    others in a unit of its own.  sky : (h, w), from 0 (none) to about 1; None of the models of any views.
    angles : (2,) radians that the lens sees down and across; None of the models of one view.
    """

    depth: NDArray[np.float32]
    sky: NDArray[np.float32] | None
    angles: NDArray[np.float32] | None


def answers(photos: Sequence[Photo], run: Run) -> list[Answer]:
    """What the network says of each photo, in one pass over those that are not in the cache.

    Photos whose pictures have one size pass the network together. Raises `MissingModel`, `BadModelFile`.
    """
    run = replace(run, precision="float32")  # an exponential of what half precision rounds is off by percents
    return cached_results([photo.pixels for photo in photos], run.model_key, lambda unknown: _compute(unknown, run))


def kept_network(run: Run) -> DepthAnything3:
    """The run's network, loaded when it is not in memory."""
    assert run.model is not None
    size = SIZES[str(run.model.options["size"])]
    published = Published(run.model.files[0].path, _converted)
    return keep(run.model_key, lambda: load_network(run, published, lambda: DepthAnything3(size)))


def network_picture(pixels: NDArray[np.uint8]) -> Tensor:
    """(3, 14 r, 14 c) float32, normalised: resized in 8 bits to a long side of 504, then to whole patches, as published
    with the networks. A side shorter than a patch becomes one."""
    height, width = pixels.shape[:2]
    scale = LONG_SIDE / max(height, width)
    picture = _resized(pixels, *(max(1, round(side * scale)) for side in (height, width)))
    picture = _resized(picture, *(max(1, (side + PATCH // 2) // PATCH) * PATCH for side in picture.shape[:2]))
    mean, spread = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    return (torch.from_numpy(picture).permute(2, 0, 1).float() / 255 - mean) / spread


def _resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (height, width):
        return pixels
    larger = height > pixels.shape[0] or width > pixels.shape[1]
    way = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=way), np.uint8)


def _converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {rename(name, _RULES): tensor for name, tensor in tensors.items() if not _UNUSED.match(name)}


def _compute(pixels: list[NDArray[np.uint8]], run: Run) -> list[Answer]:
    assert run.model is not None
    run.report(0.0, f"Loading {run.model.label}")
    network = kept_network(run)
    found = outputs(network, [network_picture(one) for one in pixels], run, "Estimating depth")
    if network.lens_head is None:
        return [Answer(depth.numpy(), sky.numpy(), None) for depth, sky in found]
    return [Answer(depth.numpy(), None, angles.numpy()) for depth, angles in found]
