# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading torch leaves the main thread free."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from maquette.blender_addon.core.preload import considerately

_MAPPED = """
import sys
from pathlib import Path
from maquette.blender_addon.core.preload import preload
preload()
assert not {"torch", "cv2"} & set(sys.modules)
print(Path("/proc/self/maps").read_text())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is mapped")
def test_the_large_libraries_are_mapped_before_anything_is_imported():
    done = subprocess.run([sys.executable, "-c", _MAPPED], capture_output=True, text=True, timeout=60, check=False)
    names = {Path(line.split()[-1]).name for line in done.stdout.splitlines() if line}
    assert {"libtorch_cpu.so", "libtorch_python.so", "cv2.abi3.so"} <= names, done.stderr


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_set_for_the_whole_process_is_put_back(fails):
    turn, frozen = sys.getswitchinterval(), gc.get_freeze_count()
    try:
        with considerately():
            assert sys.getswitchinterval() < turn and not gc.isenabled()
            assert not fails, "as an import does"
    except AssertionError:
        assert fails
    assert sys.getswitchinterval() == pytest.approx(turn) and gc.isenabled()
    assert (gc.get_freeze_count() > frozen) is not fails
    gc.unfreeze()
