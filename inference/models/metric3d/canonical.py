# SPDX-License-Identifier: GPL-3.0-or-later
"""Photos through the network: kept in memory between requests, its results remembered for the next task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...runtime.memory import keep
from ...runtime.passes import check_numbers
from ...runtime.result_cache import recall_all
from ...weights import load_network
from .checkpoint import published
from .encoder import BACKBONES
from .network import Metric3D, Prediction
from .picture import Placement, network_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ....installer.models import catalogue
    from ...photo import Photo
    from ...runtime import Run


@dataclass(frozen=True)
class Canonical:
    """What the network says of a photo, for the part (h, w) of its picture that shows it. float32.

    depth : (h, w) as if a lens of 1000 pixels had taken the network's picture, 0.1..200.  confidence : (h, w).
    normals, first_normals : (h, w, 3) unit vectors in camera axes of the last and of the first iteration.
    """

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]
    normals: NDArray[np.float32]
    first_normals: NDArray[np.float32]


def predict(photos: Sequence[Photo], run: Run) -> list[Canonical]:
    """`Canonical` of every photo, in one pass of the network over those that are not remembered.

    Raises `MissingModel`, `BadModelFile`.
    """
    pixels = [photo.pixels for photo in photos]
    return recall_all(pixels, run.model_key, lambda unknown: _compute([photos[index] for index in unknown], run))


def network(run: Run) -> Metric3D:
    """The run's network, loaded when it is not in memory."""
    model = _model(run)
    file, backbone = model.files[0].path, BACKBONES[str(model.options["backbone"])]
    return keep(
        run.model_key, lambda: load_network(run, published(file, taps=bool(backbone.taps)), lambda: Metric3D(backbone))
    )


def _model(run: Run) -> catalogue.Model:
    assert run.model is not None
    return run.model


def _compute(photos: list[Photo], run: Run) -> list[Canonical]:
    run.report(0.0, "Loading Metric3D")
    net = network(run)
    done = count(1)

    def step() -> None:
        run.report(next(done) / net.steps, "Estimating depth and normals")

    pictures = torch.from_numpy(np.stack([network_picture(photo.pixels) for photo in photos]))
    with torch.inference_mode():
        prediction = net(pictures.to(run.torch_device), step)
    check_numbers((prediction.depth, prediction.confidence, prediction.normal), run)
    return [_canonical(photo, prediction, index) for index, photo in enumerate(photos)]


def _canonical(photo: Photo, prediction: Prediction, index: int) -> Canonical:
    rows, columns = Placement.of(*photo.pixels.shape[:2]).area

    def part(values: Tensor) -> NDArray[np.float32]:
        shown = values[..., rows, columns].cpu().numpy()
        return np.ascontiguousarray(np.moveaxis(shown, 0, -1) if shown.ndim == 3 else shown)

    return Canonical(
        part(prediction.depth[index]),
        part(prediction.confidence[index]),
        part(prediction.normal[index, :3]),
        part(prediction.first_normal[index, :3]),
    )
