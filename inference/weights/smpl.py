# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own SMPL file: the neutral body that published people networks were trained on (Loper et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadModelFile
from .licensed import Licensed

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Below the root of the model files.
PATH = "smpl/SMPL_NEUTRAL.pkl"
LICENCE = "SMPL licence (Max Planck Society): non-commercial scientific research only"

_VERTICES, _FACES, _JOINTS, _SHAPES = 6890, 13776, 24, 10
_REMEDY = "Download the neutral SMPL body from https://smpl.is.tue.mpg.de, and put it there as SMPL_NEUTRAL.pkl."
_LEFT_HIP, _HEAD = 1, 15


@dataclass(frozen=True)
class Smpl:
    """The body at rest: metres, y up, facing +z, the left side at +x.

    vertices : (6890, 3) float64.           faces : (13776, 3) int32, counter-clockwise seen from outside.
    shape_blend_shapes : (6890, 3, 10).     pose_blend_shapes : (6890, 3, 207) over the elements of R - I.
    joint_regressor : (24, 6890) float64.   skin_weights : (6890, 24) float64.
    parents : (24,) int32, -1 for the pelvis.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    shape_blend_shapes: NDArray[np.float64]
    pose_blend_shapes: NDArray[np.float64]
    joint_regressor: NDArray[np.float64]
    skin_weights: NDArray[np.float64]
    parents: NDArray[np.int32]

    @property
    def licence(self) -> str:
        """The licence of the model and of what is made with it."""
        return LICENCE


def load_smpl(models_dir: Path) -> Smpl:
    """The user's file, see `Licensed.load`. Raises `MissingModel` and `BadModelFile`."""
    return _SMPL.load(models_dir)


def _leading_shapes(content: dict[str, Any]) -> dict[str, Any]:
    """Files are handed out with 10 or 300 directions of shape; the first ten are the same."""
    shapes = np.asarray(content.get("shapedirs", 0))
    return content | {"shapedirs": shapes[..., :_SHAPES]} if shapes.ndim == 3 else content


def _check(smpl: Smpl, path: Path) -> None:
    joints = smpl.joint_regressor @ smpl.vertices
    if joints[_HEAD, 1] < joints[0, 1] or joints[_LEFT_HIP, 0] < joints[0, 0]:
        raise BadModelFile(f"{path} is a body in other axes than SMPL's.", _REMEDY)
    order = smpl.parents[1:] < np.arange(1, _JOINTS)
    if smpl.parents[0] != -1 or not order.all() or (smpl.parents[1:] < 0).any():
        raise BadModelFile(f"{path} has joints that hang on nothing: it is no SMPL body.", _REMEDY)


_SMPL = Licensed(
    path=PATH,
    what="SMPL body",
    kind=Smpl,
    remedy=_REMEDY,
    published={
        "v_template": ("vertices", (_VERTICES, 3)),
        "f": ("faces", (_FACES, 3)),
        "shapedirs": ("shape_blend_shapes", (_VERTICES, 3, _SHAPES)),
        "posedirs": ("pose_blend_shapes", (_VERTICES, 3, 9 * (_JOINTS - 1))),
        "J_regressor": ("joint_regressor", (_JOINTS, _VERTICES)),
        "weights": ("skin_weights", (_VERTICES, _JOINTS)),
        "kintree_table": ("parents", (2, _JOINTS)),
    },
    check=_check,
    prepare=_leading_shapes,
)
