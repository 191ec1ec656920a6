# SPDX-License-Identifier: GPL-3.0-or-later
"""The network over the hands of one photo or many, and its answers turned to the photo: a left hand is a left one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from ...errors import MissingModel
from ...models import IMAGENET
from ...runtime.memory import keep
from ...runtime.passes import reporting
from ...weights import load_network
from .checkpoint import PUBLISHED
from .crop import picture
from .template import Template, load_template
from .transformer import MeshGraphormer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...photo import Photo
    from ...runtime.run import Run
    from .crop import Crop

#: Hands in the network at once; on the CPU more only make a task harder to cancel.
BATCH_CPU, BATCH = 4, 16

_INSTEAD = "The built-in hands need no file."


@dataclass(frozen=True)
class NetworkOutput:
    """One hand, of its own side, seen by a camera that looks along z with y down; metres.

    camera : (3,) scale and shift, of the square as the network saw it.
    vertices : (778, 3) float32.  faces : (1538, 3) int32, outwards.  joints : (21, 3) float64.
    """

    camera: NDArray[np.float32]
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    joints: NDArray[np.float64]

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.camera).all() and np.isfinite(self.vertices).all())


def ready(run: Run) -> None:
    """Load what is needed, before the detector works for it. Raises `MissingModel` and `BadModelFile`."""
    try:
        _template(run)
        _network(run)
    except MissingModel as error:
        raise MissingModel(error.message, f"{error.remedy} {_INSTEAD}", error.operator, error.arguments) from error


def predict(crops: Sequence[tuple[Photo, Crop]], run: Run, exact: bool) -> list[NetworkOutput]:
    """The hand in each square. exact : see `crop.picture`."""
    if not crops:
        return []
    template, network = _template(run), _network(run)
    dtype = next(network.parameters()).dtype
    points, adjacency = (
        torch.from_numpy(array).to(run.torch_device, dtype) for array in (template.points, template.adjacency)
    )
    size = BATCH_CPU if run.device == "cpu" else BATCH
    found: list[NetworkOutput] = []
    for start in range(0, len(crops), size):
        some = crops[start : start + size]
        part = run.part(start / len(crops), (start + len(some)) / len(crops))
        part.report(0.0, "Reading hands")
        pictures = _normalised(np.stack([picture(photo.pixels, crop, exact) for photo, crop in some]), run, dtype)
        with torch.inference_mode(), reporting(part, network, "Reading hands"):
            answers = network(pictures, points, adjacency)
        cameras, vertices = (answers[index].float().cpu().numpy() for index in (0, 2))
        for (_, crop), camera, mesh in zip(some, cameras, vertices, strict=True):
            found.append(_turned(camera, mesh, template, crop.side))
    return found


def _normalised(pictures: NDArray[np.uint8], run: Run, dtype: torch.dtype) -> torch.Tensor:
    """Pictures (B, 224, 224, 3) -> (B, 3, 224, 224) as the network was trained on them."""
    device = run.torch_device
    mean, spread = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in IMAGENET)
    tensor = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().div_(255)
    return ((tensor - mean) / spread).to(dtype, memory_format=torch.channels_last)


def _turned(camera: NDArray[np.float32], vertices: NDArray[np.float32], template: Template, side: str) -> NetworkOutput:
    """The network's answer, mirrored where it saw a left hand mirrored; faces stay outwards."""
    faces = template.faces
    if side == "left":
        vertices, faces = vertices * np.array([-1, 1, 1], np.float32), faces[:, ::-1]
    return NetworkOutput(
        camera, vertices, np.ascontiguousarray(faces), np.einsum("jv,va->ja", template.joints, vertices)
    )


def _network(run: Run) -> MeshGraphormer:
    return keep(run.model_key, lambda: _loaded(run))


def _loaded(run: Run) -> MeshGraphormer:
    """The network; its convolutions are an eighth faster with the channels last, also on the CPU."""
    network = cast("MeshGraphormer", load_network(run, PUBLISHED, MeshGraphormer))
    network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _template(run: Run) -> Template:
    return keep((*run.model_key, "template"), lambda: load_template(run.models_dir))
