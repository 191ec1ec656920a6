# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from maquette.inference.geometry.rotations import quaternions_of, rotation_matrices
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.shipped.body import load_body, shape_from_attributes

IDENTITY = np.array([1.0, 0, 0, 0])


def quaternion(axis, angle):
    return np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * np.asarray(axis, float)])


@pytest.fixture(scope="module")
def body():
    return load_body()


def test_no_turn_gives_the_rest_pose(body):
    rotations = np.tile(IDENTITY, (len(body.parents), 1))
    vertices, joints = pose_body(body, np.zeros(40), rotations, np.array([0.5, -0.25, 4.0]))
    np.testing.assert_allclose(vertices, body.vertices + np.float32([0.5, -0.25, 4.0]), atol=2e-6)
    np.testing.assert_allclose(joints, body.joints + np.float32([0.5, -0.25, 4.0]), atol=2e-6)


def test_root_turns_the_whole_body_about_its_joint(body):
    rotations = np.tile(IDENTITY, (len(body.parents), 1))
    rotations[0] = quaternion([0, 1, 0], np.pi / 2)
    vertices, joints = pose_body(body, np.zeros(40), rotations, np.zeros(3))
    turn = rotation_matrices(rotations[0])
    np.testing.assert_allclose(joints[0], body.joints[0], atol=1e-6)
    np.testing.assert_allclose(vertices, (body.vertices - body.joints[0]) @ turn.T + body.joints[0], atol=3e-6)


def test_elbow_moves_the_forearm_and_nothing_else(body):
    elbow, wrist = body.joint_names.index("lowerarm01.L"), body.joint_names.index("wrist.L")
    rotations = np.tile(IDENTITY, (len(body.parents), 1))
    turn = quaternion([0, 0, 1], 1.0)
    rotations[elbow] = turn
    vertices, joints = pose_body(body, np.zeros(40), rotations, np.zeros(3))
    expected = rotation_matrices(turn) @ (body.joints[wrist] - body.joints[elbow]) + body.joints[elbow]
    np.testing.assert_allclose(joints[wrist], expected, atol=1e-6)
    untouched = body.vertices[:, 0] < 0.1
    np.testing.assert_allclose(vertices[untouched], body.vertices[untouched], atol=1e-5)


def test_a_batch_of_frames_equals_single_frames(body):
    generator = np.random.default_rng(0)
    rotations = generator.normal(size=(3, len(body.parents), 4)) * 0.1 + IDENTITY
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    shape = shape_from_attributes({"height": 0.8, "weight": 0.3})
    translation = generator.normal(size=(3, 3))
    vertices, joints = pose_body(body, shape, rotations, translation)
    for frame in range(3):
        one_vertices, one_joints = pose_body(body, shape, rotations[frame], translation[frame])
        np.testing.assert_allclose(vertices[frame], one_vertices, atol=2e-6)
        np.testing.assert_allclose(joints[frame], one_joints, atol=2e-6)


def test_quaternions_and_matrices_are_inverse_even_at_half_turns():
    generator = np.random.default_rng(1)
    quaternions = generator.normal(size=(200, 4))
    quaternions[:4] = [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1e-9, 1, 1, 0]]
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    back = quaternions_of(rotation_matrices(quaternions))
    np.testing.assert_allclose(np.abs((back * quaternions).sum(1)), 1, atol=1e-9)
    np.testing.assert_allclose(rotation_matrices(back), rotation_matrices(quaternions), atol=1e-9)
