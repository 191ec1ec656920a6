# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the files of licensed body models (SMPL, SMPL+H, SMPL-X, MANO) without running anything that is in them.

Such files are dictionaries of numpy arrays and scipy's sparse matrices, often written by Python 2, some of whose arrays
are objects of the library chumpy. Only the functions that rebuild arrays are known here; a chumpy object becomes the
array that it holds, everything else makes the file an error.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...installer.models.safe_pickle import PickledObject, Refused, SafeUnpickler
from ..errors import BadModelFile

#: Largest licensed file, bytes: SMPL's largest variant has about 250 MB.
_LARGEST = 1 << 30

#: Elements of the largest matrix: SMPL-X's joints over its vertices are 55 x 10475.
_LARGEST_MATRIX = 1 << 25

#: Sparse matrices of scipy that such files hold.
_SPARSE = {"csc_matrix", "csc_array", "csr_matrix", "csr_array", "coo_matrix", "coo_array"}

_REMEDY = "Download it again from the page of its owner, and put it there unchanged."


class _Reader(SafeUnpickler):
    """Rebuilds arrays of numpy; objects of chumpy and scipy stay stand-ins, and anything else is refused."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")

    def resolve(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in ("_reconstruct", "scalar"):
            return _array_builder(name)
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        known = module.partition(".")[0] == "chumpy" or (module.startswith("scipy.sparse") and name in _SPARSE)
        if known or (module, name) in (("__builtin__", "object"), ("builtins", "object")):
            return None
        raise Refused(f"{module}.{name}")


def read_licensed(path: Path) -> dict[str, Any]:
    """The named arrays of a licensed file: a pickle or an .npz. Sparse matrices come dense.

    Raises `BadModelFile`: for what is cut off, is not a dictionary, or names anything but arrays.
    """
    content = read_content(path)
    if not isinstance(content, dict):
        raise BadModelFile(f"{path} is not a body model.", _REMEDY)
    return content


def read_content(path: Path) -> Any:
    """What a licensed file holds, named arrays or a single one; see `read_licensed`. Raises `BadModelFile`."""
    try:
        if path.stat().st_size > _LARGEST:
            raise BadModelFile(f"{path} is too large for a body model.", _REMEDY)
        data = path.read_bytes()
    except OSError as error:
        raise BadModelFile(f"{path} cannot be read: {error}.", "Check its permissions, or copy it again.") from error
    try:
        if data[:4] == b"PK\3\4":
            return dict(_plain_members(data))
        return read_pickle(data)
    except Refused as error:
        raise BadModelFile(
            f"{path} holds {error}, which no body model needs; nothing of it was run.", _REMEDY
        ) from error
    except MemoryError as error:
        raise BadModelFile(
            f"{path} asks for more memory than there is: it is damaged, or not a body model.", _REMEDY
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise BadModelFile(f"{path} is cut off or damaged, or not a body model.", _REMEDY) from error


def _plain_members(data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of an .npz. Members that hold objects are left out unread: SMPL-X's file has dictionaries of names."""
    with np.load(io.BytesIO(data), allow_pickle=False) as content:
        for name in content.files:
            try:
                yield name, content[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise


def read_object_arrays(path: Path, names: tuple[str, ...]) -> dict[str, list[Any]]:
    """The members of an .npz that numpy keeps as pickled lists of objects (sparse matrices, dense here).

    Raises `BadModelFile`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = {}
            for name in names:
                file = io.BytesIO(archive.read(f"{name}.npy"))
                version = np.lib.format.read_magic(file)
                read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
                _shape, _order, kind = read_header(file)
                if not kind.hasobject:
                    raise Refused(f"no objects in {name}")
                found[name] = list(np.asarray(read_pickle(file.read()), object))
            return found
    except Refused as error:
        raise BadModelFile(f"{path} holds {error}; nothing of it was run.", _REMEDY) from error
    except Exception as error:  # a damaged archive or pickle can raise anything
        raise BadModelFile(f"{path} is cut off or damaged.", _REMEDY) from error


def read_pickle(data: bytes) -> Any:
    """The plain contents of a pickle: dictionaries, lists, numbers, text and arrays."""
    return _plain(_Reader(io.BytesIO(data)).load())


def _plain(value: Any) -> Any:
    if isinstance(value, PickledObject):
        return _sparse_matrix(value) if value.name in _SPARSE else _chumpy_array(value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        flat = np.empty(value.size, object)
        flat[:] = [_plain(item) for item in value.ravel()]
        return flat.reshape(value.shape)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value


def _chumpy_array(held: PickledObject) -> np.ndarray:
    """The array that an object of chumpy holds as `x`, or the part of another that it selects."""
    state = held.attributes
    if "x" in state:
        return np.asarray(_plain(state["x"]))
    if "a" in state and "idxs" in state:
        chosen = np.asarray(_plain(state["a"])).ravel()[np.asarray(_plain(state["idxs"]))]
        shape = state.get("preferred_shape")
        return chosen.reshape(shape) if shape is not None else chosen
    raise Refused("a chumpy object that is not an array")


def _sparse_matrix(held: PickledObject) -> np.ndarray:
    """A sparse matrix of any version of scipy, dense (rows, columns)."""
    state = {name.lstrip("_"): _plain(value) for name, value in held.attributes.items() if isinstance(name, str)}
    rows, columns = (int(side) for side in state["shape"])
    if not 0 <= rows * columns <= _LARGEST_MATRIX:
        raise Refused(f"a matrix of {rows} x {columns}")
    dense = np.zeros((rows, columns), np.asarray(state["data"]).dtype)
    if "indptr" in state:
        major = np.repeat(np.arange(len(state["indptr"]) - 1), np.diff(state["indptr"]))
        places = (state["indices"], major) if held.name.startswith("csc") else (major, state["indices"])
    else:
        places = (state["row"], state["col"]) if "row" in state else state["coords"]
    np.add.at(dense, tuple(np.asarray(place) for place in places), state["data"])
    return dense


def _array_builder(name: str) -> Any:
    """numpy's own function under the module name that this numpy has."""
    multiarray = import_module("numpy._core.multiarray" if hasattr(np, "_core") else "numpy.core.multiarray")
    if name == "scalar":
        return multiarray.scalar
    # Always begun empty, as numpy writes it: the state that follows brings shape, type and values.
    return lambda _kind, _shape, _type: multiarray._reconstruct(np.ndarray, (0,), b"b")
