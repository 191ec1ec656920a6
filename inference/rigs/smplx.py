# SPDX-License-Identifier: GPL-3.0-or-later
"""Any rig's motion as turns of SMPL-X's 55 joints, which rest in a T-pose with y up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry.rotations import quaternions_of, to_rotation_vector
from .humanoid import find_preset
from .transfer import Rig, retarget

#: World axes (z up) of a body that rests with y up, facing +z.
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
#: Joint -> what it hangs on, and its place on it in metres (left, up, front) in an average adult's T-pose, to a
#: centimetre; the right side mirrors the left.
_TRUNK = {
    "spine1": ("pelvis", (0, 0.11, -0.02)), "spine2": ("spine1", (0, 0.14, 0)), "spine3": ("spine2", (0, 0.06, 0.02)),
    "neck": ("spine3", (0, 0.21, -0.03)), "head": ("neck", (0, 0.09, 0.05)), "jaw": ("head", (0, -0.01, 0.01)),
}  # fmt: skip
_LEFT = {
    "hip": ("pelvis", (0.07, -0.09, 0)), "knee": ("hip", (0.04, -0.38, 0)), "ankle": ("knee", (-0.01, -0.41, -0.04)),
    "foot": ("ankle", (0.04, -0.06, 0.12)), "collar": ("spine3", (0.08, 0.12, -0.02)),
    "shoulder": ("collar", (0.09, 0.03, -0.01)), "elbow": ("shoulder", (0.26, 0, -0.02)),
    "wrist": ("elbow", (0.25, 0, 0)), "eye": ("head", (0.03, 0.05, 0.06)),
    "index1": ("wrist", (0.1, 0, 0.02)), "middle1": ("wrist", (0.11, 0, 0)), "ring1": ("wrist", (0.1, 0, -0.02)),
    "pinky1": ("wrist", (0.08, 0, -0.04)), "thumb1": ("wrist", (0.04, -0.02, 0.03)),
    "thumb2": ("thumb1", (0.03, 0, 0.02)), "thumb3": ("thumb2", (0.03, -0.01, 0.02)),
    **{f"{finger}{bone}": (f"{finger}{bone - 1}", (0.03, 0, 0))
       for finger in ("index", "middle", "ring", "pinky") for bone in (2, 3)},
}  # fmt: skip
#: Where the pelvis rests in SMPL-X's own axes: `trans` moves the body from there.
PELVIS = np.array([0.0, -0.35, 0.01])
#: Height of the balls of the feet over the ground.
SOLE = 0.02
#: AMASS's names of parts of the pose -> first joint, and the one after the last.
_PARTS = {
    "root_orient": (0, 1), "pose_body": (1, 22), "pose_jaw": (22, 23), "pose_eye": (23, 25), "pose_hand": (25, 55),
}  # fmt: skip


def joint_names() -> tuple[str, ...]:
    """The 55 names, in SMPL-X's order."""
    from ..weights.smpl import FAMILY

    return FAMILY["smplx"].joint_names


def smplx_arrays(source: Rig, poses: NDArray, pelvis: NDArray | None = None) -> dict[str, NDArray]:
    """A motion under AMASS's names: `poses` (T, 165) axis times angle relative to the parent, `trans` (T, 3) in metres
    with z up, the parts of `poses` by their names, and `betas` (16,) of the average adult.

    poses : (T, J, 4, 4) of the source's bones in the world.  pelvis : (3,) its place at rest in the body's own axes
    (y up); None for SMPL-X's own. A rig whose bones are called as SMPL's rests as SMPL does; others are brought to the
    T-pose. What has no bone (jaw, eyes) stays at rest.
    """
    target, parents = _target(source)
    wanted, places = retarget(source, poses, target)
    turns = np.empty((len(poses), len(target.names), 3, 3))
    for joint, name in enumerate(target.names):
        turns[:, joint] = wanted.get(name, turns[:, parents[joint]])
    local = np.swapaxes(turns[:, np.maximum(parents, 0)], -1, -2) @ turns
    local[:, 0] = turns[:, 0]
    vectors = to_rotation_vector(quaternions_of(local)).reshape(len(poses), -1)
    parts = {name: vectors[:, 3 * first : 3 * last] for name, (first, last) in _PARTS.items()}
    return {
        "poses": vectors,
        "trans": places - (PELVIS if pelvis is None else pelvis),
        **parts,
        "betas": np.zeros(16),
        "surface_model_type": np.array("smplx"),
        "joint_names": np.array(target.names),
    }


def at_rest(source: Rig | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The joints (55, 3) of an average adult in SMPL-X's axes (y up), and their parents (55,), -1 for the pelvis.

    source : where it has joints of these names they are as far apart as its own.
    """
    above = dict(_TRUNK)
    for side, sign in (("left", 1), ("right", -1)):
        for part, (parent, place) in _LEFT.items():
            name = parent if parent in above or parent == "pelvis" else f"{side}_{parent}"
            above[f"{side}_{part}"] = (name, (sign * place[0], *place[1:]))
    names = joint_names()
    parents = np.array([names.index(above[name][0]) if name in above else -1 for name in names])
    joints = np.tile(PELVIS, (len(names), 1))
    own = source.index if source is not None and {"pelvis", "left_hip", "left_elbow"} <= set(source.names) else {}
    for joint in range(1, len(names)):
        parent, place = above[names[joint]]
        if source is not None and names[joint] in own and parent in own:
            step = source.rest[own[names[joint]], :3, 3] - source.rest[own[parent], :3, 3]
            place = Z_UP.T @ source.frame.T @ step
        joints[joint] = joints[parents[joint]] + place
    return joints, parents


def _target(source: Rig) -> tuple[Rig, NDArray[np.int64]]:
    """SMPL-X's joints at rest in the world, on the ground."""
    joints, parents = at_rest(source)
    names = joint_names()
    rest = np.tile(np.eye(4), (len(names), 1, 1))
    rest[:, :3, :3], rest[:, :3, 3] = Z_UP, joints @ Z_UP.T
    feet = [source.index[name] for name in ("left_foot", "right_foot") if name in source.index]
    sole = min((source.rest[feet, :3, 3] - source.place[:3, 3]) @ source.frame[:, 2], default=SOLE)
    rest[:, 2, 3] += sole - min(rest[names.index(f"{side}_foot"), 2, 3] for side in ("left", "right"))
    roles = {role: chain for role, chain in find_preset("smpl").roles.items() if set(chain) <= set(names)}
    return Rig(names, parents, rest, roles), parents
