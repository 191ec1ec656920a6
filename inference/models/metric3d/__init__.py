# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric3D v2: the pass of the network that depth and normals share.

The network is kept in memory between requests, and its results are cached for the next task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...geometry.previews import preview_size
from ...runtime.memory import keep
from ...runtime.passes import outputs
from ...runtime.result_cache import cached_results
from ...weights import load_network
from .checkpoint import published
from .decoder import FARTHEST
from .encoder import BACKBONES
from .network import Metric3D, Prediction
from .picture import Placement, network_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ...photo import Photo
    from ...runtime import Run

#: Part of the time that the network takes.
NETWORK_SHARE = 0.95
#: Confidence was trained towards 1 - |error| / depth: at this and below the network expects to be wrong by all of it.
LEAST_CONFIDENCE = 0.0
#: Canonical depth from which on it is sky, which training pulled to the far end of the range: no surface.
SKY = 0.95 * FARTHEST


@dataclass(frozen=True)
class Canonical:
    """The network's output for a photo, of the part (h, w) of its picture that shows it. float32.

    depth : (h, w) as if a lens of 1000 pixels had taken the network's picture, 0.1..200.  confidence : (h, w).
    normals, first_normals : (h, w, 3) unit vectors in camera axes of the last and of the first iteration.
    """

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]
    normals: NDArray[np.float32]
    first_normals: NDArray[np.float32]


def check_photos(photos: Sequence[Photo], resolution: int) -> None:
    """Raise `BadInput` for a preview that cannot be made, before the network works for it."""
    for photo in photos:
        place = Placement.of(*photo.pixels.shape[:2])
        for height, width in (photo.pixels.shape[:2], (place.height, place.width)):
            preview_size(height, width, resolution)


def predict(photos: Sequence[Photo], run: Run) -> list[Canonical]:
    """`Canonical` of every photo, in one pass of the network over those that are not in the cache.

    Raises `MissingModel`, `BadModelFile`.
    """
    return cached_results([photo.pixels for photo in photos], run.model_key, lambda unknown: _compute(unknown, run))


def kept_network(run: Run) -> Metric3D:
    """The run's network, loaded when it is not in memory."""
    assert run.model is not None
    model = run.model
    file, backbone = model.files[0].path, BACKBONES[str(model.options["backbone"])]
    return keep(
        run.model_key, lambda: load_network(run, published(file, taps=bool(backbone.taps)), lambda: Metric3D(backbone))
    )


def surface(depth: NDArray[np.float32], confidence: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a canonical depth is a surface: believed in, and not the sky."""
    return (confidence > LEAST_CONFIDENCE) & (depth < SKY)


def _compute(pixels: list[NDArray[np.uint8]], run: Run) -> list[Canonical]:
    run.report(0.0, "Loading Metric3D")
    pictures = [torch.from_numpy(network_picture(one)) for one in pixels]
    found = outputs(kept_network(run), pictures, run, "Estimating depth and normals")
    return [_canonical(one, Prediction(*values)) for one, values in zip(pixels, found, strict=True)]


def _canonical(pixels: NDArray[np.uint8], prediction: Prediction) -> Canonical:
    rows, columns = Placement.of(*pixels.shape[:2]).area

    def part(values: Tensor) -> NDArray[np.float32]:
        shown = values[..., rows, columns].numpy()
        return np.ascontiguousarray(np.moveaxis(shown, 0, -1) if shown.ndim == 3 else shown)

    return Canonical(
        part(prediction.depth),
        part(prediction.confidence),
        part(prediction.normal[:3]),
        part(prediction.first_normal[:3]),
    )
