# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading torch's libraries without standing in the main thread's way.

`import torch` maps hundreds of megabytes of libraries while it holds Python's global lock, for up to a second in which
Blender cannot draw. A library that the process has mapped already is found at once; so they are mapped first, through
a foreign function, which gives the lock away.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from .own_blas import bind_own_blas

#: In this order: the second needs symbols of the first.
_LIBRARIES = (("libtorch_global_deps", os.RTLD_GLOBAL), ("libtorch_python", 0)) if os.name == "posix" else ()
_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"


def preload_torch() -> None:
    """Map torch's libraries; does nothing where torch is loaded, is not there, or (Windows) gives the lock away itself.

    What cannot be mapped is left to the import, which says why.
    """
    if "torch" in sys.modules or not _LIBRARIES:
        return
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return
    map_library = ctypes.CDLL(None).dlopen
    map_library.argtypes = [ctypes.c_char_p, ctypes.c_int]
    map_library.restype = ctypes.c_void_p
    for name, visibility in _LIBRARIES:
        path = Path(spec.submodule_search_locations[0], "lib", name + _SUFFIX)
        if path.exists():
            map_library(os.fsencode(path), os.RTLD_NOW | visibility)
    bind_own_blas()
