# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures through networks that are not written here: in batches, with progress from within."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..errors import BadModelFile

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .run import Run


def answers(
    network: nn.Module,
    pictures: Sequence[Tensor],
    run: Run,
    message: str,
    ask: Callable[[Tensor], Any] | None = None,
    *,
    alone: bool = False,
) -> list[list[Tensor]]:
    """What a network says of each picture (C, h, w): one tensor or several, float32 in main memory.

    Pictures of one shape pass the network together, unless each is to be `alone`, on its device and in its precision.
    ask : calls the network with (B, C, h, w); None for the network itself.
    """
    first = next(network.parameters())
    groups = [[index] for index in range(len(pictures))] if alone else by_shape(pictures)
    found: dict[int, list[Tensor]] = {}
    for number, members in enumerate(groups):
        part = run.part(number / len(groups), (number + 1) / len(groups))
        stack = torch.stack([pictures[index] for index in members]).to(first.device, first.dtype)
        with torch.inference_mode(), reporting(part, network, message):
            said = (ask or network)(stack)
        said = [tensor.float().cpu() for tensor in (said if isinstance(said, (list, tuple)) else [said])]
        check_numbers(said, run)
        for place, index in enumerate(members):
            found[index] = [tensor[place] for tensor in said]
    return [found[index] for index in range(len(pictures))]


def check_numbers(said: Iterable[Tensor], run: Run) -> None:
    """Raise `BadModelFile` where a network says NaN or infinity: weights within every limit can lead there."""
    if all(bool(torch.isfinite(values).all()) for values in said):
        return
    label = run.model.label if run.model is not None else "The network"
    raise BadModelFile(
        f"{label} gave values that are no numbers: its file is damaged"
        + (", or half precision too coarse for this photo." if run.precision == "float16" else "."),
        "Verify the model in Maquette's preferences, or download it again"
        + ("; or compute in full precision." if run.precision == "float16" else "."),
    )


def by_shape(pictures: Sequence[Any]) -> list[list[int]]:
    """The indices of arrays or tensors, those of one shape together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, picture in enumerate(pictures):
        groups.setdefault(tuple(picture.shape), []).append(index)
    return list(groups.values())


@contextmanager
def reporting(run: Run, network: nn.Module, message: str) -> Iterator[None]:
    """While this is held, `run` is told of every layer of the network, and can stop it there.

    The share is of the layers, each counted once however often it computes.
    """
    layers = [module for module in network.modules() if not any(module.children())]
    done: set[int] = set()

    def told(layer: nn.Module, _inputs: Any, _output: Any) -> None:
        done.add(id(layer))
        run.report(len(done) / len(layers), message)

    handles = [layer.register_forward_hook(told) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
