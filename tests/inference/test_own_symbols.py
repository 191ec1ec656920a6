# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenEXR in a process that is linked with another version of it, as Blender's own program is."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest
from maquette.inference.photo import own_symbols

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems look names up in the library first")
#: Loads Blender's OpenEXR for everybody, then has the package write and read a picture.
SCRIPT = """
    import ctypes, io, os, sys
    import numpy as np
    ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
    from maquette.inference.photo import exr
    file = io.BytesIO()
    exr.write_exr(file, np.arange(12, dtype=np.float32).reshape(3, 4))
    print(exr.read_exr(file.getvalue())["Y"].sum(), sys.modules["OpenEXR"].__file__)
    sys.stdout.flush()
    os._exit(0)
"""


def test_blenders_own_openexr_is_not_called() -> None:
    spec = find_spec("bpy")
    found = list(Path(spec.submodule_search_locations[0]).glob("lib/libOpenEXRCore.so*")) if spec else []
    if not found:
        pytest.skip("this bpy has no shared OpenEXR")
    run = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(found[0])]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.startswith("66.0 ") and "site-packages" not in done.stdout, (
        done.stdout + done.stderr
    )


def test_only_libraries_are_changed() -> None:
    assert own_symbols.symbolic(b"MZ" + bytes(100)) is None
    spec = find_spec("OpenEXR")
    whole = Path(str(spec.origin)).read_bytes()
    changed = own_symbols.symbolic(whole)
    assert changed is not None and len(changed) == len(whole)
    assert own_symbols.import_own("OpenEXR", "no_such_function_anywhere") is None
