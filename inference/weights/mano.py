# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own MANO file: the right hand that published hand networks were trained on (Romero et al. 2017)."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from ..errors import BadModelFile
from .convert import identity
from .load import missing
from .pickles import read_licensed

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Below the root of the model files.
PATH = "mano/MANO_RIGHT.pkl"
LICENCE = "MANO licence (Max Planck Society): non-commercial scientific research only"

_VERTICES, _FACES, _JOINTS = 778, 1538, 16
_REMEDY = "Download MANO_RIGHT.pkl from https://mano.is.tue.mpg.de, and put it there unchanged."
_THUMB, _MIDDLE = 13, 4

#: The array, in a plain file, that tells what it was made from.
_STAMP = "made_from"


@dataclass(frozen=True)
class Mano:
    """The right hand at rest: metres, fingers along -x, back of the hand +y, thumb +z.

    vertices : (778, 3) float64.            faces : (1538, 3) int32, counter-clockwise seen from outside.
    shape_blend_shapes : (778, 3, 10).      pose_blend_shapes : (778, 3, 135) over the elements of R - I.
    joint_regressor : (16, 778) float64.    skin_weights : (778, 16) float64.
    hands_mean : (45,) float64, axis-angle of the 15 finger joints of the mean pose.
    parents : (16,) int32, -1 for the wrist.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    shape_blend_shapes: NDArray[np.float64]
    pose_blend_shapes: NDArray[np.float64]
    joint_regressor: NDArray[np.float64]
    skin_weights: NDArray[np.float64]
    hands_mean: NDArray[np.float64]
    parents: NDArray[np.int32]

    @property
    def licence(self) -> str:
        """The licence of the model and of what is made with it."""
        return LICENCE


#: Name in the published file -> ours, and its shape.
_PUBLISHED: dict[str, tuple[str, tuple[int, ...]]] = {
    "v_template": ("vertices", (_VERTICES, 3)),
    "f": ("faces", (_FACES, 3)),
    "shapedirs": ("shape_blend_shapes", (_VERTICES, 3, 10)),
    "posedirs": ("pose_blend_shapes", (_VERTICES, 3, 135)),
    "J_regressor": ("joint_regressor", (_JOINTS, _VERTICES)),
    "weights": ("skin_weights", (_VERTICES, _JOINTS)),
    "hands_mean": ("hands_mean", (45,)),
    "kintree_table": ("parents", (2, _JOINTS)),
}


def load_mano(models_dir: Path) -> Mano:
    """Read the user's file, and keep a plain .npz of it beside it; that alone is enough the next time.

    A replaced file is read again. The published arrays as an .npz are taken as well, under either name.
    Raises `MissingModel`, and `BadModelFile` for a left hand, another model, or a damaged or unsafe file.
    """
    source = models_dir / PATH
    plain = source.with_suffix(".npz")
    if not source.exists():
        if not plain.exists():
            raise missing(source, PATH)
        return _from_any(read_licensed(plain), plain)
    stamp = identity(source)
    if _stamp(plain) == stamp:
        return _checked(read_licensed(plain), plain)
    mano = _from_any(read_licensed(source), source)
    if not plain.exists() or _stamp(plain) is not None:  # another's file of this name stays as it is
        _keep(mano, plain, stamp)
    return mano


def _stamp(plain: Path) -> str | None:
    """What a plain file was made from; None where there is none, it is damaged, or it was not written here."""
    try:
        with np.load(plain, allow_pickle=False) as content:
            return str(content[_STAMP]) if _STAMP in content.files else None
    except Exception:  # a damaged archive can raise anything
        return None


def _keep(mano: Mano, plain: Path, stamp: str) -> None:
    """Write the arrays under their name in one step; a folder that cannot be written keeps the published file only."""
    part = plain.with_name(f"{plain.name}.{os.getpid()}-{uuid4().hex[:6]}.part")
    arrays: dict[str, Any] = {field.name: getattr(mano, field.name) for field in fields(Mano)}
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays, **{_STAMP: np.array(stamp)})
        part.replace(plain)
    except OSError:
        pass
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _from_any(content: dict[str, Any], path: Path) -> Mano:
    return _checked(content, path) if "vertices" in content else _from_published(content, path)


def _from_published(content: dict[str, Any], path: Path) -> Mano:
    arrays = {}
    for name, (ours, shape) in _PUBLISHED.items():
        if name not in content:
            raise BadModelFile(f"{path} has no {name!r}: it is no MANO model.", _REMEDY)
        array = np.asarray(content[name])
        if array.shape != shape:
            raise BadModelFile(f"{path}: {name} is {array.shape} instead of {shape}; it is no MANO hand.", _REMEDY)
        arrays[ours] = array
    # The root's parent is written as the largest unsigned number.
    parents = np.asarray(arrays["parents"], np.int64)[0]
    arrays["parents"] = np.where((parents < 0) | (parents >= _JOINTS), -1, parents)
    return _checked(arrays, path)


def _checked(arrays: dict[str, Any], path: Path) -> Mano:
    """Types, finite values, and that it is a right hand."""
    types: dict[str, Any] = {"faces": np.int32, "parents": np.int32}
    try:
        values: dict[str, Any] = {
            field.name: np.ascontiguousarray(arrays[field.name], types.get(field.name, np.float64))
            for field in fields(Mano)
        }
        if not all(np.isfinite(value).all() for value in values.values()):
            raise BadModelFile(f"{path} holds values that are not finite.", _REMEDY)
        if not 0 <= values["faces"].min() <= values["faces"].max() < _VERTICES:
            raise BadModelFile(f"{path} has faces with corners that do not exist.", _REMEDY)
        mano = Mano(**values)
        joints = mano.joint_regressor @ mano.vertices
    except (KeyError, TypeError, ValueError) as error:
        raise BadModelFile(f"{path} is no MANO model.", _REMEDY) from error
    fingers, thumb = joints[_MIDDLE] - joints[0], joints[_THUMB] - joints[0]
    if fingers[0] > 0 or thumb[2] < 0:  # in MANO_LEFT all is mirrored along x
        raise BadModelFile(f"{path} is a left hand; the model needs the right one.", _REMEDY)
    return mano
