# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear blend skinning of a `results.Body`.

The convention is SMPL's (Loper et al. 2015, section 3): a joint's rotation is relative to its parent and given in the
rest pose's axes, so that with G the product of the rotations from the root to joint j, h its place at rest and p its
place in the pose,

    p_j = p_parent + G_parent (h_j - h_parent),        vertex = sum over j of  w_j (G_j (rest vertex - h_j) + p_j).

Root and translation: p_root = h_root + translation; rotations[0] turns the body about its root joint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .rotations import rotation_matrices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import Body


def pose_body(
    body: Body, shape: NDArray, rotations: NDArray, translation: NDArray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pose and place a body.

    shape : (S,) or (T, S).  rotations : (J, 4) or (T, J, 4) quaternions (w, x, y, z).  translation : (3,) or (T, 3) m.
    Returns vertices (V, 3) and joints (J, 3), float32 metres in camera axes; with a leading T where rotations has one.
    """
    rotations = np.asarray(rotations)
    single = rotations.ndim == 2
    turns = rotation_matrices(rotations.reshape(-1, *rotations.shape[-2:])).astype(np.float32)
    count = len(turns)
    translation = np.broadcast_to(np.atleast_2d(translation).astype(np.float32), (count, 3))
    rest, rest_joints = rest_pose(body, np.atleast_2d(shape).astype(np.float32))
    rest_joints = np.broadcast_to(rest_joints, (count, *rest_joints.shape[1:]))
    if body.pose_blend_shapes is not None:
        feature = (turns[:, 1:] - np.eye(3, dtype=np.float32)).reshape(count, -1)
        rest = rest + (feature @ body.pose_blend_shapes.reshape(feature.shape[1], -1)).reshape(count, *rest.shape[1:])
    rest = np.broadcast_to(rest, (count, *rest.shape[1:]))
    world, joints = chain(body.parents, rest_joints, turns, translation)
    offset = joints - (world @ rest_joints[..., None])[..., 0]
    vertices = np.empty((count, len(body.vertices), 3), np.float32)
    for frame in range(count):
        transforms = np.concatenate([world[frame], offset[frame][..., None]], -1).reshape(len(body.parents), 12)
        blended = (body.skin_weights @ transforms).reshape(-1, 3, 4)
        x, y, z = rest[frame].T[..., None]
        vertices[frame] = blended[..., 0] * x + blended[..., 1] * y + blended[..., 2] * z + blended[..., 3]
    joints = joints.astype(np.float32)
    return (vertices[0], joints[0]) if single else (vertices, joints)


def rest_pose(body: Body, shape: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rest vertices (..., V, 3) and joints (..., J, 3) for shape coefficients (..., S)."""
    shape = np.asarray(shape, np.float32)
    directions, joint_directions = body.shape_blend_shapes, body.joint_blend_shapes
    vertices = shape @ directions.reshape(len(directions), -1)
    joints = shape @ joint_directions.reshape(len(directions), -1)
    return (
        body.vertices + vertices.reshape(*shape.shape[:-1], *body.vertices.shape),
        body.joints + joints.reshape(*shape.shape[:-1], *body.joints.shape),
    )


def chain(
    parents: NDArray, rest_joints: NDArray, turns: NDArray, translation: NDArray, offsets: NDArray | None = None
) -> tuple[NDArray, NDArray]:
    """Forward kinematics: parents (J,), rest_joints (T, J, 3), turns (T, J, 3, 3), translation (T, 3), and offsets
    (T, J, 3) as in `results.Person` -> each joint's turn from rest in camera axes (T, J, 3, 3), and its place."""
    world = np.empty_like(turns)
    joints = np.empty(turns.shape[:3], turns.dtype)
    world[:, 0] = turns[:, 0]
    joints[:, 0] = rest_joints[:, 0] + translation
    for joint in range(1, len(parents)):
        parent = parents[joint]
        world[:, joint] = world[:, parent] @ turns[:, joint]
        step = rest_joints[:, joint] - rest_joints[:, parent]
        step = step if offsets is None else step + offsets[:, joint]
        joints[:, joint] = joints[:, parent] + (world[:, parent] @ step[..., None])[..., 0]
    return world, joints
