# SPDX-License-Identifier: GPL-3.0-or-later
"""A compiled package whose functions another library of the process has too, in another version.

On Linux a name is looked up among all that the program itself was linked with before it is looked up in the library
that uses it. A Blender that is linked with OpenEXR (those of the distributions, and blender.org's) would so have the
package OpenEXR call into its own, older one, and end. `DT_SYMBOLIC` in a library's dynamic section turns the order
round; its compiler did not set it, so a copy gets it in place of the search path, which the package does not need.
"""

from __future__ import annotations

import ctypes
import importlib.util
import struct
import sys
import tempfile
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path
from types import ModuleType

_PT_DYNAMIC, _DT_NULL, _DT_SYMBOLIC, _DT_RUNPATH, _DT_RPATH = 2, 0, 16, 29, 15


def import_own(module: str, symbol: str) -> ModuleType | None:
    """The module from a copy that prefers its own functions, where the process has `symbol` already; None where it
    has not, or where this is not needed or possible, and a plain import does."""
    if module in sys.modules or sys.platform != "linux" or not hasattr(ctypes.CDLL(None), symbol):
        return None
    found = importlib.util.find_spec(module)
    if found is None or not str(found.origin).endswith(tuple(EXTENSION_SUFFIXES)):
        return None
    changed = symbolic(Path(str(found.origin)).read_bytes())
    if changed is None:
        return None
    with tempfile.NamedTemporaryFile(suffix=".so") as copy:  # mapped, it needs no name
        copy.write(changed)
        copy.flush()
        loader = ExtensionFileLoader(module, copy.name)
        spec = importlib.util.spec_from_file_location(module, copy.name, loader=loader)
        assert spec is not None
        made = importlib.util.module_from_spec(spec)
        sys.modules[module] = made
        try:
            loader.exec_module(made)
        except BaseException:
            del sys.modules[module]
            raise
    return made


def symbolic(library: bytes) -> bytes | None:
    """A 64-bit ELF library, little-endian, that looks its names up in itself first; None for any other file."""
    if library[:6] != b"\x7fELF\x02\x01":
        return None
    headers, size, count = *struct.unpack_from("<Q", library, 32), *struct.unpack_from("<HH", library, 54)
    for number in range(count):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", library, headers + number * size)
        if kind != _PT_DYNAMIC:
            continue
        for place in range(start, start + length, 16):
            (tag,) = struct.unpack_from("<Q", library, place)
            spare = tag == _DT_NULL and place + 16 < start + length  # another one has to end the list
            if tag in (_DT_RUNPATH, _DT_RPATH) or spare:
                return library[:place] + struct.pack("<QQ", _DT_SYMBOLIC, 0) + library[place + 16 :]
            if tag == _DT_NULL:
                return None
    return None
