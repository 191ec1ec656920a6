# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading torch and OpenCV without standing in the main thread's way.

Importing them maps hundreds of megabytes of libraries while Python's global lock is held, for up to a second in which
Blender cannot draw. A library that the process has mapped already is found at once; so they are mapped first, through
a foreign function, which gives the lock away. `considerately` does what can be done for the Python that follows.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from .own_blas import bind_own_blas

#: Module, library in its folder and how it is mapped, in this order: the second needs symbols of the first. Nothing on
#: Windows, which gives the lock away itself.
_LIBRARIES = (
    ("torch", "lib/libtorch_global_deps", os.RTLD_GLOBAL), ("torch", "lib/libtorch_python", 0), ("cv2", "cv2.abi3", 0),
) if os.name == "posix" else ()  # fmt: skip
#: Seconds after which whoever waits for Python's lock gets it, while torch is imported: a panel asks for it dozens of
#: times a redraw, each time behind whoever has it, for 5 ms as Python has it.
_TURN = 0.0005
_SUFFIXES = (".so", ".dylib")  # macOS has both: libraries, and Python's modules


def preload() -> None:
    """Map the libraries of torch and OpenCV; does nothing for a module that is loaded or not there. What cannot be
    mapped is left to the import, which says why."""
    for module, library, visibility in _LIBRARIES:
        spec = None if module in sys.modules else find_spec(module)
        if spec is not None and spec.submodule_search_locations:
            stem = Path(spec.submodule_search_locations[0], library)
            for path in filter(Path.exists, (stem.with_name(stem.name + suffix) for suffix in _SUFFIXES)):
                _map(path, os.RTLD_NOW | visibility)
    bind_own_blas()


def _map(path: Path, how: int) -> None:
    map_library = ctypes.CDLL(None).dlopen
    map_library.argtypes = [ctypes.c_char_p, ctypes.c_int]
    map_library.restype = ctypes.c_void_p
    map_library(os.fsencode(path), how)


@contextmanager
def considerately() -> Iterator[None]:
    """While this lasts, Python's lock changes hands quickly and no garbage is collected; what has been made by its end
    is never looked through for garbage. torch's modules are 160,000 objects that stay: a full collection of them holds
    everybody up for 0.1 s, again and again."""
    gc.collect(1)  # the young, where most of it is; a full one would hold everybody up as well
    turn, collecting = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(min(turn, _TURN))
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        sys.setswitchinterval(turn)
        if collecting:
            gc.enable()
