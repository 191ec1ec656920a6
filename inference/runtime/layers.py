# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress from within networks that are not written here: every layer that has computed tells so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from .run import Run


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
