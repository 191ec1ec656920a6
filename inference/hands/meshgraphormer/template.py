# SPDX-License-Identifier: GPL-3.0-or-later
"""The mean hand that the network starts from, and what is known of its mesh: the user's MANO file, and a small file of
Mesh Graphormer that says which vertices make the coarse mesh and which of them are neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....installer.models import store
from ...errors import BadModelFile
from ...geometry.rotations import from_rotation_vector, rotation_matrices
from ...geometry.skinning import chain
from ...weights.load import missing
from ...weights.mano import Mano, load_mano
from ...weights.pickles import read_object_arrays
from .transformer import COARSE, VERTICES

#: Below the root of the model files.
SAMPLING = "meshgraphormer/mano_downsampling.npz"
#: Vertices at the tips of thumb, index, middle, ring and little finger: of the template, and where joints are read from
#: a mesh. They differ at the middle finger, and so did they when the network was trained.
TEMPLATE_TIPS = (745, 317, 444, 556, 673)
MESH_TIPS = (745, 317, 445, 556, 673)
#: MANO's 16 joints and five tips in the order of `results.Hand.joints`.
_ORDER = np.array([0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20])


@dataclass(frozen=True)
class Template:
    """points : (216, 3) float32 metres, 21 joints and 195 coarse vertices of the mean right hand, from its wrist.

    adjacency : (195, 195) float32, rows sum to 1.
    joints : (21, 778) float64, joints from vertices.  faces : (1538, 3) int32, outwards on a right hand.
    """

    points: NDArray[np.float32]
    adjacency: NDArray[np.float32]
    joints: NDArray[np.float64]
    faces: NDArray[np.int32]


def load_template(models_dir: Path) -> Template:
    """Raises `MissingModel` and `BadModelFile`."""
    coarse, adjacency = _sampling(models_dir)
    mano = load_mano(models_dir)
    vertices, joints = _mean_hand(mano)
    joints = np.concatenate([joints, vertices[list(TEMPLATE_TIPS)]])[_ORDER]
    points = np.concatenate([joints, coarse @ vertices]) - joints[0]
    regressor = np.concatenate([mano.joint_regressor, np.eye(VERTICES)[list(MESH_TIPS)]])[_ORDER]
    return Template(points.astype(np.float32), adjacency.astype(np.float32), regressor, mano.faces)


def _mean_hand(mano: Mano) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vertices (778, 3) and joints (16, 3) of the mean pose, metres, by MANO's skinning (Romero et al. 2017, 4)."""
    rest = mano.joint_regressor @ mano.vertices
    rotations = np.concatenate(
        [np.eye(3)[None], rotation_matrices(from_rotation_vector(mano.hands_mean.reshape(15, 3)))]
    )
    shaped = mano.vertices + mano.pose_blend_shapes @ (rotations[1:] - np.eye(3)).ravel()
    global_, positions = (one[0] for one in chain(mano.parents, rest[None], rotations[None], np.zeros((1, 3))))
    moved = np.einsum("jab,vb->jva", global_, shaped) + (positions - np.einsum("jab,jb->ja", global_, rest))[:, None]
    return np.einsum("vj,jva->va", mano.skin_weights, moved), positions


def _sampling(models_dir: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coarse vertices from all (195, 778), and which are neighbours or the same, rows scaled to sum to 1 (195, 195)."""
    path = store.find(SAMPLING, models_dir)
    if not path.exists():
        raise missing(path, SAMPLING)
    content = read_object_arrays(path, ("A", "D"))
    try:
        coarse, near = np.asarray(content["D"][0], np.float64), np.asarray(content["A"][1], np.float64)
    except (IndexError, TypeError, ValueError) as error:
        raise _foreign(path) from error
    if coarse.shape != (COARSE, VERTICES) or near.shape != (COARSE, COARSE) or not np.isfinite(coarse).all():
        raise _foreign(path)
    near = (near + np.eye(COARSE)) > 0
    return coarse, near / near.sum(1, keepdims=True)


def _foreign(path: Path) -> BadModelFile:
    return BadModelFile(f"{path} does not describe the hand's coarse mesh.", "Download it again from its page.")
