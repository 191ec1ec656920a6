# SPDX-License-Identifier: GPL-3.0-or-later
"""MiDaS (DPT-Hybrid): the pass of the network that depth and normals share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch.nn import functional

from ...geometry.previews import preview_size
from ...runtime.memory import keep
from ...runtime.passes import by_shape, check_finite
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
#: Calls of the network's step: stages, blocks and levels.
_STEPS = 3 + 12 + 4


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
    groups = by_shape(pictures)
    done = count(1)

    def step() -> None:
        run.report(NETWORK_SHARE * next(done) / (_STEPS * len(groups)), "Estimating relative depth")

    results: dict[int, NDArray[np.float32]] = {}
    for members in groups:
        stack = torch.from_numpy(np.stack([pictures[index] for index in members])).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            inverses = _inverses(net, stack, run.torch_device, side, step)
        check_finite([inverses], run)
        results.update(zip(members, inverses.cpu().numpy(), strict=True))
    return [results[index] for index in range(len(pictures))]


def loaded(run: Run, path: str) -> Midas:
    """The network in the run's precision, see `Midas.halved`. Raises `MissingModel`, `BadModelFile`."""
    network = cast("Midas", load_network(replace(run, precision="float32"), published(path), Midas))
    return network.halved() if run.precision == "float16" else network


def _inverses(net: Midas, pictures: Tensor, device: torch.device, side: int, step: Callable[[], None]) -> Tensor:
    """Relative inverse depth (B, H, W) of pictures (B, 3, H, W) uint8 in main memory.

    side : 0 for the network at the pictures' own size; otherwise they are brought to a square of this side, in 8 bits
        and antialiased, and its output is brought back, as the later form of the node does.
    """
    if not side:
        return net(pictures.to(device).float() / 127.5 - 1, step)
    # In main memory: devices interpolate no 8-bit pictures.
    square = functional.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)
    square = square.to(device).float()
    inverses = net((square / 255 - 0.5) / 0.5, step)
    return functional.interpolate(inverses[:, None], size=pictures.shape[2:], mode="bicubic")[:, 0]
