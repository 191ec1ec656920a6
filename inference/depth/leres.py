# SPDX-License-Identifier: GPL-3.0-or-later
"""LeReS (Yin et al. 2021, "Learning to Recover 3D Scene Shape"): depth up to a factor and an offset.

It sees the photo as its authors prepared it: 448 x 448, RGB from 0 to 1, normalised. (The field's node feeds it
BGR from 0 to 255.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..camera import Camera
from ..geometry.previews import preview_size
from ..geometry.relative import inverse_at_photo_size, near_is_bright, relative_map, unit
from ..models import IMAGENET
from ..models.controlnet_aux import architecture, loaded, published
from ..photo import Photo
from ..results import DepthMap
from ..runtime import Run
from ..runtime.passes import finished, outputs
from ..runtime.result_cache import cached_results

#: Side of the network's picture.
_SIDE = 448
#: Part of the time that the network takes.
_NETWORK_SHARE = 0.9
#: Height of the farthest point: a depth that is only relative has no infinity, so all of it is surface.
_FARTHEST = 1e-6


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[DepthMap]:
    """Height of whole photos, 1 nearest, in one pass of the network. See `inference.estimate_depth`."""
    resolution = options["resolution"]
    cameras = [photo.camera_or_default(options["fx"], options["fy"]) for photo in photos]
    for camera in cameras:
        preview_size(camera.height, camera.width, resolution)
    pixels, network_run = [photo.pixels for photo in photos], run.part(0.0, _NETWORK_SHARE)
    predicted = cached_results(pixels, ("depth", *run.model_key), lambda unknown: _predict(unknown, network_run))

    def depth_map(depth: NDArray[np.float32], camera: Camera) -> DepthMap:
        height = inverse_at_photo_size(1 - unit(depth), camera.height, camera.width)
        return relative_map(np.maximum(height, _FARTHEST), camera, near_is_bright(height, resolution))

    return finished(run, _NETWORK_SHARE, "Depth", depth_map, predicted, cameras)


def build() -> nn.Module:
    """The network as published, with a ResNeXt-101."""
    return architecture("leres.leres.multi_depth_model_woauxi", "RelDepthModel")("resnext101")


def _predict(pixels: list[NDArray[np.uint8]], run: Run) -> list[NDArray[np.float32]]:
    """Relative depth (448, 448) of each photo, larger is farther."""
    assert run.model is not None
    path = run.model.files[0].path
    run.report(0.0, "Loading LeReS")
    network: Any = loaded(run, published(path, "depth_model"), build)
    mean, deviation = (np.array(values, np.float32) for values in IMAGENET)
    pictures = [(cv2.resize(one, (_SIDE, _SIDE)).astype(np.float32) / 255 - mean) / deviation for one in pixels]
    tensors = [torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]
    return [depth[0].numpy() for (depth,) in outputs(network, tensors, run, "Estimating depth", network.depth_model)]
