# SPDX-License-Identifier: GPL-3.0-or-later
"""Models kept in memory between two requests: least recently used, bounded by bytes."""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import Any

#: Bytes of weights that may stay loaded; past it the least recently used model goes.
LIMIT = 6 * 2**30

_kept: OrderedDict[tuple, Any] = OrderedDict()
_lock = RLock()


def keep(key: tuple, build: Callable[[], Any]) -> Any:
    """The model under `key`, built when it is not in memory. `key` names the model, device and precision."""
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
        model = build()
        _kept[key] = model
        while len(_kept) > 1 and sum(map(_bytes, _kept.values())) > LIMIT:
            _kept.popitem(last=False)
        return model


def kept_models() -> tuple[tuple, ...]:
    """The keys of the models in memory, least recently used first."""
    return tuple(_kept)


def free_memory() -> None:
    """Drop every model and give the memory back to the system.

    The device finishes first: freeing under a kernel that still writes faults on some drivers.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    with _lock:
        _kept.clear()
    gc.collect()
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _bytes(model: Any) -> int:
    tensors = [*model.parameters(), *model.buffers()] if hasattr(model, "parameters") else []
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
