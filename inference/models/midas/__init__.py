# SPDX-License-Identifier: GPL-3.0-or-later
"""MiDaS (DPT-Hybrid): the pass of the network that depth and normals share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch.nn import functional

from ...geometry.previews import preview_size
from ...runtime.memory import keep
from ...runtime.passes import outputs
from ...runtime.result_cache import cached_results
from ...weights import load_network
from .checkpoint import published
from .network import Midas
from .picture import working_picture, working_side

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ...photo import Photo
    from ...runtime import Run

#: Part of the time that the network takes.
NETWORK_SHARE = 0.9


@dataclass(frozen=True)
class Relative:
    """The relative inverse depth of a photo: padded (h, w) as the network saw it, and rows and columns of the photo."""

    padded: NDArray[np.float32]
    rows: int
    columns: int

    @property
    def shown(self) -> NDArray[np.float32]:
        """What the photo shows (rows, columns)."""
        return np.ascontiguousarray(self.padded[: self.rows, : self.columns])


def relative_inverse(photos: Sequence[Photo], run: Run, resolution: int) -> list[Relative]:
    """The network's output for every photo at its working size, cached for the next task on it.

    It takes the first `NETWORK_SHARE` of the run.
    """

    def working(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return working_picture(pixels, working_side(resolution, pixels.shape[0], pixels.shape[1]))

    pixels = [photo.pixels for photo in photos]
    sizes = [(height, width) for height, width, _ in (one.shape for one in pixels)]
    sizes = [preview_size(*size, working_side(resolution, *size)) for size in sizes]
    request = (*run.model_key, resolution)
    inverses = cached_results(pixels, request, lambda unknown: _predict(list(map(working, unknown)), run))
    return [Relative(inverse, *size) for inverse, size in zip(inverses, sizes, strict=True)]


def _predict(pictures: list[NDArray[np.uint8]], run: Run) -> list[NDArray[np.float32]]:
    """Relative inverse depth (H, W) of working pictures (H, W, 3)."""
    assert run.model is not None
    side, path = int(str(run.model.options["side"])), run.model.files[0].path
    run.report(0.0, "Loading MiDaS")
    net = keep(run.model_key, lambda: loaded(run, path))
    seen = [_seen(picture, side) for picture in pictures]
    found = outputs(net, seen, run.part(0.0, NETWORK_SHARE), "Estimating relative depth")
    inverses = [inverse for (inverse,) in found]
    if side:
        inverses = [
            functional.interpolate(inverse[None, None], picture.shape[:2], mode="bicubic")[0, 0]
            for inverse, picture in zip(inverses, pictures, strict=True)
        ]
    return [inverse.numpy() for inverse in inverses]


def loaded(run: Run, path: str) -> Midas:
    """The network in the run's precision, see `Midas.halved`. Raises `MissingModel`, `BadModelFile`."""
    network = cast("Midas", load_network(replace(run, precision="float32"), published(path), Midas))
    return network.halved() if run.precision == "float16" else network


def _seen(picture: NDArray[np.uint8], side: int) -> Tensor:
    """What the network sees (3, h, w), from -1 to 1, of a working picture (H, W, 3).

    side : 0 for the picture at its own size; otherwise it is brought to a square of this side, in 8 bits and
        antialiased, and the network's output is brought back, as the later form of the node does.
    """
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    if side:
        tensor = functional.interpolate(tensor[None], (side, side), mode="bilinear", antialias=True)[0]
    return tensor.float() / 127.5 - 1
