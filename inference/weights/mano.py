# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own MANO file: the right hand that published hand networks were trained on (Romero et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadModelFile
from .licensed import Licensed
from .smpl import BodyArrays, published_arrays

#: Below the root of the model files.
PATH = "mano/MANO_RIGHT.pkl"
LICENCE = "MANO licence (Max Planck Society): non-commercial scientific research only"

_REMEDY = "Download MANO_RIGHT.pkl from https://mano.is.tue.mpg.de, and put it there unchanged."
_THUMB, _MIDDLE = 13, 4


@dataclass(frozen=True)
class Mano(BodyArrays):
    """The right hand at rest: metres, fingers along -x, back of the hand +y, thumb +z.

    hands_mean : (45,) float64, axis-angle of the 15 finger joints of the mean pose.
    """

    hands_mean: NDArray[np.float64]


def load_mano(models_dir: Path) -> Mano:
    """The user's file, see `Licensed.load`. Raises `MissingModel`, and `BadModelFile`, also for a left hand."""
    return _MANO.load(models_dir)


def _check(mano: Mano, path: Path) -> None:
    joints = mano.joint_regressor @ mano.vertices
    fingers, thumb = joints[_MIDDLE] - joints[0], joints[_THUMB] - joints[0]
    if fingers[0] > 0 or thumb[2] < 0:  # in MANO_LEFT all is mirrored along x
        raise BadModelFile(f"{path} is a left hand; the model needs the right one.", _REMEDY)


_MANO = Licensed(
    path=PATH,
    what="MANO hand",
    kind=Mano,
    licence=LICENCE,
    remedy=_REMEDY,
    published={**published_arrays(778, 1538, 16, 10), "hands_mean": ("hands_mean", (45,))},
    check=_check,
)
