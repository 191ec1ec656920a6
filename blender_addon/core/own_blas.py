# SPDX-License-Identifier: GPL-3.0-or-later
"""torch's matrix products by torch's own BLAS.

Blender as distributions build it brings a BLAS into the process, often the plain reference one. Linux binds a library's
calls to whoever defined the function first, so that one would compute torch's products as well: thirty times slower, as
measured in Debian's Blender. The table through which torch's library makes such calls is pointed at its own functions.
(Binding the whole library to itself would be simpler, but it must share `malloc` with Blender.)
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_LIBRARY = "libtorch_cpu.so"
#: Functions of BLAS and LAPACK as Fortran names them.
_BLAS = re.compile(rb"[sdcz][a-z0-9]{3,8}_")
#: Entries of ELF's dynamic section, and the kinds of relocation that hold a function's address (x86-64).
_STRINGS, _SYMBOLS, _CALLS, _CALLS_BYTES = 5, 6, 23, 2
_SLOTS = {6, 7}
#: The kind of symbol that is a function at its address; others (IFUNC) choose one when they are bound.
_FUNCTION = 2


class _Header(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64), ("physical", ctypes.c_uint64), ("in_file", ctypes.c_uint64),
        ("in_memory", ctypes.c_uint64), ("align", ctypes.c_uint64),
    )  # fmt: skip


class _Loaded(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_uint64), ("name", ctypes.c_char_p), ("headers", ctypes.POINTER(_Header)),
        ("count", ctypes.c_uint16),
    )  # fmt: skip


class _Symbol(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_uint32), ("info", ctypes.c_uint8), ("other", ctypes.c_uint8), ("section", ctypes.c_uint16),
        ("value", ctypes.c_uint64), ("size", ctypes.c_uint64),
    )  # fmt: skip


class _Relocation(ctypes.Structure):
    _fields_ = (("place", ctypes.c_uint64), ("info", ctypes.c_uint64), ("addend", ctypes.c_int64))


def bind_own_blas(library: str = _LIBRARY) -> int:
    """Point the calls of a library that is mapped to the BLAS in it, where the process has another; returns how many
    were changed. Does nothing on other systems than Linux on x86-64."""
    process = ctypes.CDLL(None) if sys.platform == "linux" and platform.machine() == "x86_64" else None
    if process is None or not hasattr(process, "sgemm_"):
        return 0
    changed = 0
    for place, own in _calls(process, library):
        slot = ctypes.c_uint64.from_address(place)
        if slot.value != own and _writable(process, place):
            slot.value = own
            changed += 1
    return changed


def _calls(process: ctypes.CDLL, library: str) -> Iterator[tuple[int, int]]:
    """Of each call of a BLAS function that the library has itself: where its address is kept, and the library's own."""
    found: list[tuple[int, int]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Loaded), ctypes.c_size_t, ctypes.c_void_p)
    def look(loaded: ctypes._Pointer[_Loaded], _size: int, _data: object) -> int:
        one = loaded.contents
        if Path((one.name or b"").decode(errors="replace")).name == library:
            found.extend((one.base, one.base + head.address) for head in one.headers[: one.count] if head.kind == 2)
        return 0

    process.dl_iterate_phdr(look, None)
    for base, section in found:
        yield from _own_calls(base, _entries(section))


def _entries(section: int) -> dict[int, int]:
    """The dynamic section of a library."""
    entries: dict[int, int] = {}
    while (kind := ctypes.c_int64.from_address(section).value) != 0:
        entries[kind] = ctypes.c_uint64.from_address(section + 8).value
        section += 16
    return entries


def _own_calls(base: int, entries: dict[int, int]) -> Iterator[tuple[int, int]]:
    if not entries.keys() >= {_STRINGS, _SYMBOLS, _CALLS, _CALLS_BYTES}:
        return
    for offset in range(0, entries[_CALLS_BYTES], ctypes.sizeof(_Relocation)):
        call = _Relocation.from_address(entries[_CALLS] + offset)
        symbol = _Symbol.from_address(entries[_SYMBOLS] + (call.info >> 32) * ctypes.sizeof(_Symbol))
        own = symbol.section != 0 and symbol.info & 15 == _FUNCTION and symbol.value
        if own and call.info & 0xFFFFFFFF in _SLOTS and _BLAS.fullmatch(_name(entries[_STRINGS] + symbol.name)):
            yield base + call.place, base + symbol.value


def _name(place: int) -> bytes:
    """A string of C's, where it is short enough for a name of BLAS."""
    return ctypes.string_at(place, 12).partition(b"\0")[0]


def _writable(process: ctypes.CDLL, place: int) -> bool:
    """Make the page writable in which an address is kept: the loader may have closed it."""
    start = place - place % mmap.PAGESIZE
    return process.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(mmap.PAGESIZE), 3) == 0
