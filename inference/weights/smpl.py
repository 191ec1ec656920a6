# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own bodies of the SMPL family: SMPL (Loper et al. 2015), SMPL+H with hands (Romero et al. 2017), and
SMPL-X with hands and face (Pavlakos et al. 2019).

Their owner's package smplx (non-commercial, as the files are) poses them. Of it only the function at its heart is used,
on arrays that were read here: its classes open files themselves, and unpickle; that of SMPL-X does so even where it
is given the arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import BadInput, BadModelFile
from ..geometry.rotations import rotation_matrices
from ..results import Body
from ..runtime.device import missing_package
from .licensed import Licensed

#: SMPL rests with y up, facing +z; a `results.Body` with y down, facing the viewer (-z): half a turn about x.
FLIP = np.array([1.0, -1.0, -1.0])

_TRUNK_AND_LIMBS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
_FINGERS = tuple(
    f"{side}_{finger}{number}"
    for side in ("left", "right")
    for finger in ("index", "middle", "pinky", "ring", "thumb")
    for number in (1, 2, 3)
)
_LEFT_HIP, _HEAD = 1, 15
#: Directions of shape that are read, of the body and of the face; and where the face's begin in the larger files.
_SHAPES, _FACE_BEGINS = 10, 300


@dataclass(frozen=True)
class Family:
    """One of the family: how it is called and handed out, and its size.

    path : below the root of the model files, for a gender.  face : it has directions of the face's expression as well.
    """

    name: str
    path: str
    page: str
    vertices: int
    faces: int
    joint_names: tuple[str, ...]
    face: bool = False

    @property
    def shapes(self) -> int:
        """Coefficients of shape: 10 of the body, then 10 of the expression where there is a face."""
        return 2 * _SHAPES if self.face else _SHAPES

    @property
    def licence(self) -> str:
        """The licence of the model and of what is made with it."""
        return f"{self.name} licence (Max Planck Society): non-commercial scientific research only"


FAMILY = {
    "smpl": Family(
        "SMPL", "smpl/SMPL_{}.pkl", "https://smpl.is.tue.mpg.de", 6890, 13776,
        (*_TRUNK_AND_LIMBS, "left_hand", "right_hand"),
    ),
    "smplh": Family(
        "SMPL+H", "smplh/SMPLH_{}.pkl", "https://mano.is.tue.mpg.de", 6890, 13776, (*_TRUNK_AND_LIMBS, *_FINGERS)
    ),
    "smplx": Family(
        "SMPL-X", "smplx/SMPLX_{}.pkl", "https://smpl-x.is.tue.mpg.de", 10475, 20908,
        (*_TRUNK_AND_LIMBS, "jaw", "left_eye", "right_eye", *_FINGERS), face=True,
    ),
}  # fmt: skip
GENDERS = ("neutral", "female", "male")
#: Below the root of the model files: the body that published people networks were trained on.
PATH = FAMILY["smpl"].path.format("NEUTRAL")


@dataclass(frozen=True)
class BodyArrays:
    """A body at rest as its file has it: V vertices, J joints, metres, y up, facing +z, the left side at +x.

    vertices : (V, 3) float64.              faces : (F, 3) int32, counter-clockwise seen from outside.
    shape_blend_shapes : (V, 3, S).         pose_blend_shapes : (V, 3, 9 * (J - 1)) over the elements of R - I.
    joint_regressor : (J, V) float64.       skin_weights : (V, J) float64.
    parents : (J,) int32, -1 for the pelvis.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    shape_blend_shapes: NDArray[np.float64]
    pose_blend_shapes: NDArray[np.float64]
    joint_regressor: NDArray[np.float64]
    skin_weights: NDArray[np.float64]
    parents: NDArray[np.int32]


@dataclass(frozen=True)
class LicensedBody:
    """body : in our axes, as the built-in one.  joint_regressor : (J, V) float32, joints at rest from vertices."""

    body: Body
    joint_regressor: NDArray[np.float32]

    def pose(
        self, shape: NDArray, rotations: NDArray, translation: NDArray
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Pose and place the body; as `geometry.skinning.pose_body`, by smplx. Raises `MissingPackages` without it.

        shape : (S,) or (T, S).  rotations : (J, 4) or (T, J, 4) quaternions (w, x, y, z).
        translation : (3,) or (T, 3).
        Returns vertices (V, 3) and joints (J, 3), float32 metres in camera axes; with a leading T where rotations has
        one. All T at once: about a megabyte each.
        """
        body, rotations = self.body, np.asarray(rotations)
        matrices = rotation_matrices(rotations.reshape(-1, *rotations.shape[-2:])).astype(np.float32)
        count = len(matrices)
        shapes = np.broadcast_to(np.atleast_2d(shape).astype(np.float32), (count, len(body.shape_blend_shapes)))
        assert body.pose_blend_shapes is not None
        arrays = (
            shapes.copy(),
            matrices,
            body.vertices,
            np.moveaxis(body.shape_blend_shapes, 0, 2),
            body.pose_blend_shapes.reshape(len(body.pose_blend_shapes), -1),
            self.joint_regressor,
            body.parents.astype(np.int64),
            body.skin_weights,
        )
        with torch.inference_mode():
            posed = evaluator()(*map(torch.from_numpy, arrays), pose2rot=False)
        place = np.broadcast_to(np.atleast_2d(translation).astype(np.float32), (count, 3))[:, None]
        vertices, joints = (part.numpy() + place for part in posed)
        return (vertices[0], joints[0]) if rotations.ndim == 2 else (vertices, joints)


def evaluator() -> Callable[..., Any]:
    """smplx's linear blend skinning. Raises `MissingPackages`."""
    try:
        from smplx.lbs import lbs
    except ImportError as error:
        raise missing_package(error.name, error, "licensed-body") from error
    return lbs


def load_body(kind: str, models_dir: Path, gender: str = "neutral") -> LicensedBody:
    """The user's body of a kind of `FAMILY`, ready to be posed.

    Of SMPL-X the last ten coefficients of shape are the face's expression; its jaw and eyes are joints. At rest hands
    are flat. Raises `BadInput`, `MissingModel`, `BadModelFile`, and `MissingPackages` without smplx.
    """
    arrays = load_arrays(kind, models_dir, gender)
    evaluator()
    family = FAMILY[kind]
    joints = arrays.joint_regressor @ arrays.vertices
    joint_shapes = np.einsum("jv,vcs->sjc", arrays.joint_regressor, arrays.shape_blend_shapes)
    # With F for `FLIP`, an element (i, j) of F (R - I) F is that of R - I times F_i F_j.
    signs = np.tile(np.outer(FLIP, FLIP).reshape(-1), len(joints) - 1)
    body = Body(
        name=family.name,
        licence=family.licence,
        vertices=(arrays.vertices * FLIP).astype(np.float32),
        faces=arrays.faces,
        joint_names=family.joint_names,
        parents=arrays.parents,
        joints=(joints * FLIP).astype(np.float32),
        skin_weights=arrays.skin_weights.astype(np.float32),
        shape_blend_shapes=np.ascontiguousarray(np.moveaxis(arrays.shape_blend_shapes, 2, 0) * FLIP, np.float32),
        joint_blend_shapes=(joint_shapes * FLIP).astype(np.float32),
        pose_blend_shapes=np.ascontiguousarray(
            np.moveaxis(arrays.pose_blend_shapes, 2, 0) * (signs[:, None, None] * FLIP), np.float32
        ),
    )
    return LicensedBody(body, arrays.joint_regressor.astype(np.float32))


def load_arrays(kind: str, models_dir: Path, gender: str = "neutral") -> BodyArrays:
    """What the user's file holds, see `Licensed.load`. Raises `BadInput`, `MissingModel` and `BadModelFile`."""
    if kind not in FAMILY or gender not in GENDERS:
        raise BadInput(
            f"There is no licensed body {kind!r}, {gender!r}.",
            f"Choose one of {', '.join(FAMILY)}, and one of {', '.join(GENDERS)}.",
        )
    return _published(FAMILY[kind], gender).load(models_dir)


def _published(family: Family, gender: str) -> Licensed[BodyArrays]:
    path = family.path.format(gender.upper())
    remedy = f"Download the {gender} {family.name} body from {family.page}, and put it there as {Path(path).name}."
    return Licensed(
        path=path,
        what=f"{family.name} body",
        kind=BodyArrays,
        licence=family.licence,
        remedy=remedy,
        published=published_arrays(family.vertices, family.faces, len(family.joint_names), family.shapes),
        check=partial(_check, family.name, remedy),
        prepare=partial(_leading_shapes, family.face),
    )


def published_arrays(vertices: int, faces: int, joints: int, shapes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What files of the family, and of MANO, call the arrays of `BodyArrays`, and their shapes there."""
    return {
        "v_template": ("vertices", (vertices, 3)),
        "f": ("faces", (faces, 3)),
        "shapedirs": ("shape_blend_shapes", (vertices, 3, shapes)),
        "posedirs": ("pose_blend_shapes", (vertices, 3, 9 * (joints - 1))),
        "J_regressor": ("joint_regressor", (joints, vertices)),
        "weights": ("skin_weights", (vertices, joints)),
        "kintree_table": ("parents", (2, joints)),
    }


def _leading_shapes(face: bool, content: dict[str, Any]) -> dict[str, Any]:
    """Files are handed out with 10, 16 or 300 directions of the body's shape, and SMPL-X's with 10 or 100 of the face's
    after them; the first ten of each are the same."""
    shapes = np.asarray(content.get("shapedirs", 0))
    if shapes.ndim != 3:
        return content
    chosen = [shapes[..., :_SHAPES]]
    if face:
        start = _FACE_BEGINS if shapes.shape[-1] > _FACE_BEGINS else _SHAPES
        chosen.append(shapes[..., start : start + _SHAPES])
    return content | {"shapedirs": np.concatenate(chosen, -1)}


def _check(name: str, remedy: str, arrays: BodyArrays, path: Path) -> None:
    joints = arrays.joint_regressor @ arrays.vertices
    if joints[_HEAD, 1] < joints[0, 1] or joints[_LEFT_HIP, 0] < joints[0, 0]:
        raise BadModelFile(f"{path} is not in {name}'s axes (y up, facing +z).", remedy)
    order = arrays.parents[1:] < np.arange(1, len(arrays.parents))
    if arrays.parents[0] != -1 or not order.all() or (arrays.parents[1:] < 0).any():
        raise BadModelFile(f"{path} has joints without a parent: it is not a {name} body.", remedy)
