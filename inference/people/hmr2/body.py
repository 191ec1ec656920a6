# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's SMPL body, the 44 keypoints that the network was trained with on it, and its poses in our axes.

A `results.Body` rests half a turn about x, F, from where SMPL does. A joint's rotation R becomes F R F. The whole
body's, which the network gives from SMPL's axes to the camera's, becomes R F, and the translation takes up what that
changes of the root joint's position.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....installer.models import store
from ...errors import BadModelFile
from ...geometry.rotations import quaternions_of
from ...results import Body
from ...weights.load import missing
from ...weights.pickles import read_content
from ...weights.smpl import FAMILY, FLIP, LicensedBody, load_body

#: Below the root of the model files.
J19 = "hmr2/SMPL_to_J19.pkl"

JOINT_NAMES = FAMILY["smpl"].joint_names
#: The 44 keypoints: OpenPose's 25, then 19 of older data sets.
KEYPOINT_NAMES = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
    "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
    "right_small_toe", "right_heel",
    "right_ankle_lsp", "right_knee_lsp", "right_hip_lsp", "left_hip_lsp", "left_knee_lsp", "left_ankle_lsp",
    "right_wrist_lsp", "right_elbow_lsp", "right_shoulder_lsp", "left_shoulder_lsp", "left_elbow_lsp",
    "left_wrist_lsp", "neck_lsp", "head_top_lsp", "pelvis_mpii", "thorax_mpii", "spine_h36m", "jaw_h36m", "head_h36m",
)  # fmt: skip
#: Of OpenPose's 25: SMPL's joint, by name, or the number of a vertex of the face or the feet.
ON_BODY = (
    332, "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", 6260, 2800, 4071, 583,
    3216, 3226, 3387, 6617, 6624, 6787,
)  # fmt: skip


@dataclass(frozen=True)
class Template(LicensedBody):
    """The user's SMPL, or another of its family of V vertices and J joints, the first of which are SMPL's.

    regressor : (19, V) float32, the later keypoints from posed vertices.
    on_body : of OpenPose's 25 the joint, by name, or the number of a vertex.
    """

    regressor: NDArray[np.float32]
    on_body: tuple[str | int, ...] = ON_BODY

    def keypoints(self, vertices: NDArray, joints: NDArray) -> NDArray[np.float32]:
        """The 44 keypoints (..., 44, 3) of posed vertices (..., V, 3) and joints (..., J, 3)."""
        first = [
            joints[..., JOINT_NAMES.index(place), :] if isinstance(place, str) else vertices[..., place, :]
            for place in self.on_body
        ]
        return np.concatenate([np.stack(first, -2), self.regressor @ vertices], -2).astype(np.float32)


def keypoint_weights(template: Template, keypoint: int) -> tuple[int | None, NDArray[np.float64]]:
    """The joint that a keypoint is, or None and its weights over the vertices (V,)."""
    weights = np.zeros(len(template.body.vertices))
    if keypoint >= len(ON_BODY):
        return None, template.regressor[keypoint - len(ON_BODY)].astype(np.float64)
    place = ON_BODY[keypoint]
    if isinstance(place, str):
        return JOINT_NAMES.index(place), weights
    weights[place] = 1.0
    return None, weights


def load_template(models_dir: Path) -> Template:
    """Raises `MissingModel`, `BadModelFile`, and `MissingPackages` without smplx."""
    licensed = load_body("smpl", models_dir)
    regressor = _regressor(store.find(J19, models_dir), len(licensed.body.vertices))
    return Template(licensed.body, licensed.joint_regressor, regressor)


def _regressor(path: Path, vertices: int) -> NDArray[np.float32]:
    if not path.exists():
        raise missing(path, J19)
    array = read_content(path)
    remedy = "Take SMPL_to_J19.pkl from the published data of 4D-Humans, and put it there unchanged."
    if not isinstance(array, np.ndarray) or array.shape != (19, vertices) or array.dtype.kind != "f":
        raise BadModelFile(f"{path} is not a table of 19 keypoints over SMPL's {vertices} vertices.", remedy)
    if not np.isfinite(array).all():
        raise BadModelFile(f"{path} holds values that are not finite.", remedy)
    return array.astype(np.float32)


def to_opencv_rotations(matrices: NDArray) -> NDArray[np.float32]:
    """The network's matrices (..., 24, 3, 3), SMPL's axes -> quaternions (..., 24, 4) of `Person.rotations`."""
    turned = np.asarray(matrices, np.float64) * FLIP  # R F
    turned[..., 1:, :, :] *= FLIP[:, None]  # F R F
    return quaternions_of(turned).astype(np.float32)


def to_opencv_translation(body: Body, shape: NDArray, translation: NDArray) -> NDArray[np.float32]:
    """SMPL's translation (..., 3), camera axes -> that of `Person.translation`, for shapes (..., 10)."""
    root = body.joints[0] + np.asarray(shape) @ body.joint_blend_shapes[:, 0]
    return (translation + root * (FLIP - 1)).astype(np.float32)
