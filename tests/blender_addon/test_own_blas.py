# SPDX-License-Identifier: GPL-3.0-or-later
"""torch computes by its own BLAS, whatever Blender has brought into the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from importlib.util import find_spec
from pathlib import Path
from maquette.blender_addon.core import own_blas

libraries = Path(find_spec("torch").submodule_search_locations[0], "lib")
for name in ("libtorch_global_deps.so", "libtorch_cpu.so"):
    library = ctypes.CDLL(str(libraries / name), ctypes.RTLD_GLOBAL)
calls = [(place, own) for place, own in own_blas._calls(ctypes.CDLL(None), "libtorch_cpu.so")]
sgemm, dgemm = (ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in ("sgemm_", "dgemm_"))
place = next(place for place, own in calls if own == sgemm)
assert own_blas._writable(ctypes.CDLL(None), place)
own_blas.bind_own_blas()
ctypes.c_uint64.from_address(place).value = dgemm  # another one of that name
print(own_blas.bind_own_blas(), own_blas.bind_own_blas(), ctypes.c_uint64.from_address(place).value == sgemm)
import torch
print((torch.full((64, 48), 2.0) @ torch.full((48, 80), 3.0)).unique().tolist())
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="Linux on x86-64 alone")
def test_calls_of_another_blas_are_led_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1 0 True", "[288.0]"]
