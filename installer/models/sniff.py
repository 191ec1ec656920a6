# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file is, recognised by its content without running anything of it: named arrays and their shapes.

Reads safetensors, .npz, the checkpoints of PyTorch in both forms, and pickles of arrays (SMPL, MANO). Pickles are read
with stand-ins for every class that they name (`safe_pickle`), so that a hostile one makes nothing else. Used before a
file gets a published name; the inference checks every tensor again when it loads one.
"""

from __future__ import annotations

import ast
import io
import json
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..shared.disk import is_web_page
from . import catalogue
from .catalogue import File
from .safe_pickle import PickledObject, SafeUnpickler

Shape = tuple[int, ...]

#: Kinds of files. PAGE: a web page in place of a file.  POINTER: of Git's large file storage.  OTHER: none of these.
SAFETENSORS, TORCH, PICKLE, NPZ, JSON, PAGE, POINTER, EMPTY, OTHER = (
    "safetensors", "torch", "pickle", "npz", "json", "page", "pointer", "empty", "other",
)  # fmt: skip

#: The largest header or pickle that is read, in bytes; the numbers of a checkpoint lie outside both.
_LARGEST = 512 << 20
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

#: What runs programs or code, in a pickle that means harm. Nothing of it is run here, but such a file is refused.
_HOSTILE = {
    "asyncio", "bdb", "code", "codeop", "commands", "ctypes", "dill", "importlib", "imp", "marshal", "multiprocessing",
    "nt", "os", "pdb", "pip", "pkgutil", "platform", "popen2", "posix", "pty", "pydoc", "runpy", "shutil", "signal",
    "site", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "timeit", "trace", "urllib", "webbrowser",
}  # fmt: skip
_HOSTILE_BUILTINS = {
    "__import__", "compile", "delattr", "eval", "exec", "execfile", "getattr", "input", "open", "setattr",
}  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    kind : one of the constants above.  arrays : name -> shape, or None where it is not an array; an array that is the
    whole file has the name "".  damage : why it cannot be taken, in words (cut off, a web page, or hostile), or "".
    """

    kind: str
    arrays: dict[str, Shape | None] = field(default_factory=dict)
    damage: str = ""


def look(path: Path) -> Contents:
    """The contents of a file. Raises OSError where it cannot be read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if not head:
            return Contents(EMPTY, damage="it is empty")
        if is_web_page(head):
            return Contents(PAGE, damage="it is a web page, not a model")
        if head.startswith(b"version https://git-lfs"):
            return Contents(POINTER, damage="it is only a Git LFS pointer (run git lfs pull)")
        try:
            if head[8:9] == b"{":
                return _safetensors(file, size)
            if head[:4] == b"PK\3\4":
                return _zip(path)
            if head[:1] == b"\x80" or head[:1] in (b"(", b"c", b"]", b"}"):
                return _pickles(file)
            if head.lstrip()[:1] in (b"{", b"["):
                return Contents(JSON if _is_json(path) else OTHER)
        except _Unreadable as error:
            return Contents(OTHER, damage=str(error))
        except (zipfile.BadZipFile, EOFError):
            return Contents(OTHER, damage="it is cut off or damaged")
        except OSError:
            raise
        except Exception:  # a damaged pickle or header can raise anything
            return Contents(OTHER, damage="it is cut off, damaged, or of an unknown kind")
    return Contents(OTHER)


def matches(file: File, contents: Contents, size: int, name: str) -> bool:
    """Whether a file with these contents can be `file`, as far as contents tell; `name` is what it is called.

    Where the catalogue says what the file holds, that decides; elsewhere its published name, kind and size together.
    """
    if contents.damage:
        return False
    if file.holds:
        return all(_holds(contents, wanted) for wanted in file.holds) and not any(
            _holds(contents, unwanted) for unwanted in file.lacks
        )
    if name.lower() != Path(file.path).name.lower() or contents.kind not in _kinds(Path(file.path).suffix):
        return False
    return file.about_bytes < 5e6 or 0.5 * file.about_bytes <= size <= 2 * file.about_bytes


def check(file: File, path: Path) -> str:
    """Why the file at `path` cannot be `file`, in words; "" where nothing speaks against it."""
    contents = look(path)
    if contents.damage:
        return contents.damage
    if not matches(file, contents, path.stat().st_size, Path(file.path).name):
        return "it is another file, or another size of this model"
    return ""


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except ValueError:  # a template for text begins in the same way
        return False
    return True


def _kinds(suffix: str) -> set[str]:
    return {
        ".safetensors": {SAFETENSORS},
        ".npz": {NPZ},
        ".json": {JSON},
        ".pkl": {PICKLE, NPZ},
        ".txt": {OTHER},
        ".jinja": {OTHER},
    }.get(suffix, {TORCH, PICKLE})


def _holds(contents: Contents, wanted: str) -> bool:
    """`wanted` is a name, or a name and a shape: "cls_token 1x1x384"."""
    name, _, shape = wanted.rpartition(" ")
    if not shape.replace("x", "").isdigit():
        return wanted in contents.arrays
    return contents.arrays.get(name) == tuple(int(side) for side in shape.split("x"))


class _Unreadable(Exception):
    """Why a file cannot be read, in words."""


def _safetensors(file: IO[bytes], size: int) -> Contents:
    file.seek(0)
    length = struct.unpack("<Q", file.read(8))[0]
    if not 2 <= length <= min(_LARGEST, size - 8):
        raise _Unreadable("it is cut off or damaged")
    header = json.loads(file.read(length))
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if 8 + length + end != size:
        raise _Unreadable("it is cut off or damaged")
    return Contents(SAFETENSORS, {name: tuple(entry["shape"]) for name, entry in tensors.items()})


def _zip(path: Path) -> Contents:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        size = path.stat().st_size
        if any(entry.header_offset + entry.compress_size > size for entry in entries.values()):
            raise _Unreadable("it is cut off or damaged")
        pickled = [name for name in entries if name.endswith("data.pkl") and name.count("/") <= 1]
        if pickled:
            if entries[pickled[0]].file_size > _LARGEST:
                raise _Unreadable("it is too large for a checkpoint")
            if any("/code/" in name for name in entries):
                return _script(_Reader(io.BytesIO(archive.read(pickled[0]))))
            return _described(TORCH, _Reader(io.BytesIO(archive.read(pickled[0]))))
        if entries and all(name.endswith(".npy") for name in entries):
            return Contents(NPZ, {name[:-4]: _npy_shape(archive, name) for name in entries})
    return Contents(OTHER)


def _script(reader: _Reader) -> Contents:
    """A TorchScript program, which is only taken where the catalogue knows the tensors beside its code."""
    arrays: dict[str, Shape | None] = {}

    def add(content: Any, name: str, depth: int) -> None:
        for own, value in content.attributes.items() if depth else ():
            full = f"{name}.{own}" if name else str(own)
            if (shape := _shape(_plain(value))) is not None:
                # Whoever traced a network may have wrapped it once or twice.
                arrays.update({".".join(full.split(".")[wraps:]): shape for wraps in range(3)})
            elif isinstance(value, PickledObject):
                add(value, full, depth - 1)

    content = reader.load()
    if isinstance(content, PickledObject):
        add(content, "", 16)
    found = Contents(TORCH, arrays, reader.hostile and f"it would call {reader.hostile}; nothing of it was run")
    if found.damage or any(file.holds and all(_holds(found, one) for one in file.holds) for file in catalogue.files()):
        return found
    return Contents(OTHER, damage="it is a TorchScript program, not a checkpoint")


def _npy_shape(archive: zipfile.ZipFile, name: str) -> Shape | None:
    """The shape in the header of a .npy file; None for one whose values are objects."""
    with archive.open(name) as file:
        if file.read(6) != b"\x93NUMPY":
            raise _Unreadable("it is damaged")
        version = file.read(2)[0]
        length = struct.unpack("<H", file.read(2))[0] if version == 1 else struct.unpack("<I", file.read(4))[0]
        header = ast.literal_eval(file.read(min(length, 1 << 16)).decode("latin1"))
    return None if "O" in str(header["descr"]) else tuple(header["shape"])


def _pickles(file: IO[bytes]) -> Contents:
    """A pickle of arrays, or PyTorch's older form: magic number, version, machine, then the content."""
    file.seek(0)
    reader = _Reader(file)
    first = reader.load()
    if first != _LEGACY_MAGIC:
        return _described(PICKLE, reader, first)
    for _ in range(2):
        _Reader(file).load()
    return _described(TORCH, _Reader(file))


def _described(kind: str, reader: _Reader, content: Any = None) -> Contents:
    content = reader.load() if content is None else content
    arrays: dict[str, Shape | None] = {}
    for name, value in _named(content, 3):
        if name not in arrays or arrays[name] is None:
            arrays[name] = _shape(value)
    return Contents(kind, arrays, reader.hostile and f"it would call {reader.hostile}; nothing of it was run")


def _named(content: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Every name in the dictionaries of a file, down to a depth, with what it names; chumpy's objects as arrays."""
    if _shape(content) is not None:
        yield "", content
    if not isinstance(content, dict) or not depth:
        return
    for name, value in content.items():
        value = _plain(value)
        if isinstance(name, str):
            yield name, value
        if not isinstance(value, PickledObject):
            yield from _named(value, depth - 1)


def _shape(value: Any) -> Shape | None:
    """The shape of a tensor or of numpy's array; None for what is neither."""
    if not isinstance(value, PickledObject):
        return None
    if value.name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
        size = value.arguments[2] if len(value.arguments) > 2 else None
    else:
        size = value.state[1] if _is_array(value) and len(value.state) == 5 else None
    return tuple(int(side) for side in size) if isinstance(size, (tuple, list)) else None


def _is_array(value: Any) -> bool:
    return isinstance(value, PickledObject) and value.name == "_reconstruct" and isinstance(value.state, tuple)


def _plain(value: Any) -> Any:
    """What a wrapper holds: the tensor of a parameter, the array of an object of chumpy."""
    if not isinstance(value, PickledObject):
        return value
    if value.name == "_rebuild_parameter" and value.arguments:
        return value.arguments[0]
    held = value.attributes.get("x")
    return held if _is_array(held) else value


class _Reader(SafeUnpickler):
    """Makes nothing but stand-ins, and notes the first program that the pickle would call."""

    hostile = ""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")

    def resolve(self, module: str, name: str) -> Any:
        package = module.partition(".")[0]
        if package in _HOSTILE or (package in ("builtins", "__builtin__") and name in _HOSTILE_BUILTINS):
            self.hostile = self.hostile or f"{module}.{name}"
        return None
