# SPDX-License-Identifier: GPL-3.0-or-later
"""NormalBae (Bae et al. 2021, "Estimating and Exploiting the Aleatoric Uncertainty in Surface Normal Estimation").

Its encoder is timm's EfficientNet-B5, its decoder controlnet-aux's. The published axes are left, up and towards the
viewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..geometry.normals_from_depth import normalise
from ..geometry.previews import network_size, padded, to_resolution
from ..geometry.resample import resize
from ..models import IMAGENET
from ..models.controlnet_aux import architecture, loaded, published
from ..photo import Photo
from ..results import NormalMap
from ..runtime import Run
from ..runtime.passes import finished, outputs
from ..runtime.result_cache import cached_results

#: Part of the time that the network takes.
_NETWORK_SHARE = 0.95
#: Most pixels of the picture that the network sees; at that size it takes about 8 GB.
_MOST_PIXELS = 2 << 20
#: Where the decoder looks for the encoder's features: the picture, three layers of the stem, seven stages, the last.
_STEM = 4


class NormalBae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.original_model = timm.create_model("tf_efficientnet_b5", pretrained=False, num_classes=0)
        settings = SimpleNamespace(
            architecture="BN", sampling_ratio=0.4, importance_ratio=0.7
        )  # the last two: training
        self.decoder = architecture("normalbae.nets.submodules.decoder", "Decoder")(settings)

    def forward(self, pictures: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W), sides multiples of 32 -> (B, 3, H, W) unit vectors, x left, y up, z out."""
        encoder: Any = self.encoder.original_model
        feature = encoder.bn1(encoder.conv_stem(pictures))
        features: list[Tensor | None] = [None] * _STEM
        for stage in encoder.blocks:
            feature = stage(feature)
            features.append(feature)
        features.append(encoder.conv_head(feature))
        return self.decoder(features)[0][-1][:, :3]


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[NormalMap]:
    """Normals of whole photos. `resolution` is the short side of what the network sees, and of the preview.

    Photos whose pictures have one size pass the network together.
    """
    resolution = options["resolution"]
    sizes = [network_size(photo.pixels.shape, resolution, _MOST_PIXELS) for photo in photos]
    pixels, network_run = [photo.pixels for photo in photos], run.part(0.0, _NETWORK_SHARE)
    predicted = cached_results(
        pixels,
        ("normals", *run.model_key, resolution),
        lambda unknown: _predict(unknown, resolution, network_run),
    )
    return finished(run, _NETWORK_SHARE, "Normals", _normal_map, photos, sizes, predicted)


def _normal_map(photo: Photo, size: tuple[int, int], predicted: NDArray[np.float32]) -> NormalMap:
    height, width = photo.pixels.shape[:2]
    seen = np.ascontiguousarray(predicted[: size[0], : size[1]])
    preview = (((seen + 1) * 0.5).clip(0, 1) * 255).astype(np.uint8)
    normals = resize(-seen, height, width)
    normalise(normals)
    return NormalMap(normals, np.ones((height, width), bool), photo.camera_or_default(), preview)


def _predict(pixels: list[NDArray[np.uint8]], resolution: int, run: Run) -> list[NDArray[np.float32]]:
    """Normals (h, w, 3) of each photo's working picture, in the network's axes."""
    assert run.model is not None
    path = run.model.files[0].path
    run.report(0.0, "Loading NormalBae")
    network = loaded(run, published(path, "model"), NormalBae)
    mean, deviation = (np.array(values, np.float32) for values in IMAGENET)
    pictures = [(padded(to_resolution(one, resolution)).astype(np.float32) / 255 - mean) / deviation for one in pixels]
    tensors = [torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]
    found = outputs(network, tensors, run, "Estimating normals")
    return [np.ascontiguousarray(normals.permute(1, 2, 0).numpy()) for (normals,) in found]
