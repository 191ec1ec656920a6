# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures through networks: in batches, with progress from within; and what is made of each afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import BadModelFile
from .run import Run

Result = TypeVar("Result")


def outputs(
    network: nn.Module,
    pictures: Sequence[Tensor],
    run: Run,
    message: str,
    call: Callable[[Tensor], Any] | None = None,
    *,
    one_by_one: bool = False,
) -> list[list[Tensor]]:
    """The network's output for each picture (C, h, w): one tensor or several, float32 in main memory.

    Pictures of one shape pass the network together, unless they are to go `one_by_one`, on its device and in its
    precision.  call : calls the network with (B, C, h, w); None for the network itself.
    """
    first = next(network.parameters())
    groups = [[index] for index in range(len(pictures))] if one_by_one else by_shape(pictures)
    results: dict[int, list[Tensor]] = {}
    for members, part in zip(groups, run.parts(len(groups)), strict=True):
        stack = torch.stack([pictures[index] for index in members]).to(first.device, first.dtype)
        with torch.inference_mode(), reporting(part, network, message):
            output = (call or network)(stack)
        tensors = [one.float().cpu() for one in (output if isinstance(output, (list, tuple)) else [output])]
        check_finite(tensors, run)
        for place, index in enumerate(members):
            results[index] = [tensor[place] for tensor in tensors]
    return [results[index] for index in range(len(pictures))]


def check_finite(tensors: Iterable[Tensor], run: Run) -> None:
    """Raise `BadModelFile` where a network's output is NaN or infinite: weights within every limit can lead there."""
    if all(bool(torch.isfinite(values).all()) for values in tensors):
        return
    label = run.model.label if run.model is not None else "The network"
    raise BadModelFile(
        f"{label} returned values that are not finite: its file is damaged"
        + (", or half precision is too coarse for this photo." if run.precision == "float16" else "."),
        "Verify the model in Maquette's preferences, or download it again"
        + ("; or compute in full precision." if run.precision == "float16" else "."),
    )


def finished(run: Run, start: float, what: str, make: Callable[..., Result], *inputs: Sequence[Any]) -> list[Result]:
    """What `make` makes of each photo's inputs, at the photo's size, from the run's share `start` to its end.

    what : "Depth" or "Normals".
    """
    results: list[Result] = []
    for one in zip(*inputs, strict=True):
        run.report(start + (1 - start) * len(results) / len(inputs[0]), f"Resizing {what.lower()} to the photo")
        results.append(make(*one))
    run.report(1.0, f"{what} ready")
    return results


def by_shape(pictures: Sequence[Any]) -> list[list[int]]:
    """The indices of arrays or tensors, those of one shape together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, picture in enumerate(pictures):
        groups.setdefault(tuple(picture.shape), []).append(index)
    return list(groups.values())


@contextmanager
def reporting(run: Run, network: nn.Module, message: str) -> Iterator[None]:
    """While this is held, `run` reports every layer of the network, and can stop it there.

    The share is of the layers, each counted once however often it computes.
    """
    leaves = (module for module in network.modules() if not any(module.children()))
    layers = [module for module in leaves if not isinstance(module, torch.nn.Identity)]
    done: set[int] = set()

    def report(layer: nn.Module, _inputs: Any, _output: Any) -> None:
        done.add(id(layer))
        run.report(len(done) / len(layers), message)

    handles = [layer.register_forward_hook(report) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
