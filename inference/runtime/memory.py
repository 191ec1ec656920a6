# SPDX-License-Identifier: GPL-3.0-or-later
"""Models kept in memory between two requests: least recently used, bounded by bytes."""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import Any

import numpy as np

from . import result_cache

#: Bytes of weights that may stay loaded; past it the least recently used model goes, but never the one just asked for.
#: The largest published network, 5.5 GB, fits with the shipped ones; on the CPU it is mapped from its file besides.
LIMIT = 6 * 2**30

#: What torch (CUDA, Apple, CPU), OpenCV and the system say when memory runs out.
_SIGNS = ("out of memory", "can't allocate memory", "insufficient memory", "failed to allocate", "cannot allocate")

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
    """The keys of the models in memory, least recently used first.

    Without the lock, which is held as long as a model loads: a panel that asks must not wait for that.
    """
    return tuple(_kept)


def free_memory() -> None:
    """Drop every model and cached result, and give the memory back to the system.

    The device finishes first: freeing under a kernel that still writes faults on some drivers.
    """
    for backend in _used_backends():
        backend.synchronize()
    with _lock:
        _kept.clear()
    result_cache.clear()
    release_unused()


def release_unused() -> None:
    """Give back what no model and no result holds any more."""
    gc.collect()
    for backend in _used_backends():
        backend.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, numpy or OpenCV says that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, (RuntimeError, OSError)) and type(error).__module__ != "cv2":
        return False
    text = str(error).lower()
    return any(sign in text for sign in _SIGNS)


def _used_backends() -> list[Any]:
    """The accelerators of torch that this process has used; asking must not start one."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    used = [backend for backend in (torch.cuda, getattr(torch, "xpu", None)) if backend and backend.is_initialized()]
    return [*used, torch.mps] if torch.backends.mps.is_available() else used


def _bytes(model: Any) -> int:
    """Bytes of a model's weights: a network, or an object that holds networks and tensors."""
    found: dict[int, int] = {}
    _count(model, found, 3)
    return sum(found.values())


def _count(thing: Any, found: dict[int, int], levels: int) -> None:
    """Note the size of every tensor and array in `thing`, each one once."""
    if hasattr(thing, "element_size") or isinstance(thing, np.ndarray):
        found[id(thing)] = thing.nbytes
    elif hasattr(thing, "parameters") and hasattr(thing, "buffers"):
        for tensor in (*thing.parameters(), *thing.buffers()):
            found[id(tensor)] = tensor.nbytes
    elif levels:
        inner = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else ()
        for part in (*inner, *getattr(thing, "__dict__", {}).values()):
            _count(part, found, levels - 1)
