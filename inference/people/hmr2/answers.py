# SPDX-License-Identifier: GPL-3.0-or-later
"""The network over the people of one photo or many, and what it says of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import MissingModel, MissingPackages
from ...geometry.rotations_torch import orthonormal
from ...runtime.memory import keep
from ...runtime.passes import reporting
from ...runtime.run import Run
from ...weights import load_network
from .body import Template, load_template
from .checkpoint import PUBLISHED
from .fingered import Fingered, load_fingered
from .network import HMR2, Size

#: The published network.
SIZE = Size()

_INSTEAD = "The built-in people need no file and no further package."

Tag = TypeVar("Tag")
#: Somebody who is to be read, with a `stretch`.
Query = TypeVar("Query", bound=Any)


@dataclass(frozen=True)
class NetworkOutput:
    """The network's output for one person.

    matrices : (24, 3, 3) float32, SMPL's rotations; the first one from SMPL's axes to the camera's.
    shape : (10,) float32.  camera : (3,) float32, scale and shift in the square crop.
    """

    matrices: NDArray[np.float32]
    shape: NDArray[np.float32]
    camera: NDArray[np.float32]

    @property
    def is_usable(self) -> bool:
        """Whether there is a body of some size in it."""
        values = (self.matrices, self.shape, self.camera)
        return all(np.isfinite(value).all() for value in values) and self.camera[0] > 1e-3


@dataclass(frozen=True)
class CropQuery(Generic[Tag]):
    """A person that the network is to look at.

    picture : (3, 256, 192), the square as the network sees it.  tag : whatever tells whose it is.
    run : the part of the work that this person is.  stretch : of a clip; those of different ones are read apart.
    """

    picture: NDArray[np.float32]
    tag: Tag
    run: Run
    stretch: int = 0


def ready(run: Run, kind: str = "smpl") -> None:
    """Load what is needed, before the detector works for it. Raises `MissingModel`, `BadModelFile`, and
    `MissingPackages` without smplx.

    kind : the body that people are to have.
    """
    try:
        template(run)
        _network(run)
    except (MissingModel, MissingPackages) as error:
        raise type(error)(error.message, f"{error.remedy} {_INSTEAD}", error.operator, error.arguments) from error
    fingered(run, kind)


def fingered(run: Run, kind: str) -> Fingered | None:
    """The user's body of a kind with fingers; None for SMPL itself. Raises `MissingModel` and `BadModelFile`."""
    if kind == "smpl":
        return None
    return keep((*run.model_key, kind), lambda: load_fingered(kind, template(run), run.models_dir))


def template(run: Run) -> Template:
    """The user's body."""
    return keep((*run.model_key, "body"), lambda: load_template(run.models_dir))


def predict(people: Iterable[CropQuery[Tag]], run: Run, batch: int) -> Iterator[tuple[Tag, NetworkOutput]]:
    """The network's answers in order, `batch` people at a time whichever photos they are from.

    people : read no further than the next batch needs, so that a long clip streams.
    """
    for some in batches(people, batch):
        yield from _answered(some, run)


def batches(people: Iterable[Query], size: int) -> Iterator[list[Query]]:
    """`size` people at a time, or fewer where a stretch ends; read no further than the next of them needs."""
    for _, stretch in groupby(people, key=lambda one: one.stretch):
        while some := list(islice(stretch, size)):
            yield some


def _answered(people: Sequence[CropQuery[Tag]], run: Run) -> Iterator[tuple[Tag, NetworkOutput]]:
    network = _network(run)
    dtype = next(network.parameters()).dtype
    pictures = torch.from_numpy(np.stack([one.picture for one in people])).to(run.torch_device, dtype)
    with torch.inference_mode(), reporting(people[-1].run, network, "Reading poses"):
        answer = network(pictures)
        turns = orthonormal(answer.turns)
    values = zip(*(part.cpu().numpy() for part in (turns, answer.shape, answer.camera)), strict=True)
    for one, value in zip(people, values, strict=True):
        yield one.tag, NetworkOutput(*value)


def _network(run: Run) -> HMR2:
    return keep((*run.model_key, SIZE), lambda: cast("HMR2", load_network(run, PUBLISHED, lambda: HMR2(SIZE))))
