# SPDX-License-Identifier: GPL-3.0-or-later
"""The packed body against what the stock Anny model makes (data/body.npz, written by builtin/make/body.py)."""

from pathlib import Path

import numpy as np
import pytest
from maquette.inference.errors import BadInput
from maquette.inference.geometry.rotations import quaternions_of
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.shipped import body as body_module

GOLDEN = Path(__file__).parent / "data" / "body.npz"


@pytest.fixture(scope="module")
def body():
    return body_module.load_body()


def test_posed_people_match_the_stock_model(body):
    with np.load(GOLDEN) as golden:
        mean_errors = []
        for person in range(len(golden["attributes"])):
            named = dict(zip(body_module.ATTRIBUTES, golden["attributes"][person], strict=True))
            vertices, joints = pose_body(
                body,
                body_module.shape_from_attributes(named),
                quaternions_of(golden["rotations"][person]),
                golden["translation"][person],
            )
            error = np.linalg.norm(vertices[golden["picked"]] - golden["vertices"][person], axis=1)
            mean_errors.append(error.mean())
            assert error.max() < 6e-3
            assert np.abs(joints - golden["joints"][person]).max() < 4e-3
    assert np.mean(mean_errors) < 0.6e-3


def test_rest_pose_stands_upright_and_faces_the_viewer(body):
    names = body.joint_names
    head, foot = body.joints[names.index("head")], body.joints[names.index("foot.L")]
    assert head[1] < foot[1] - 1.2  # y points down
    assert body.joints[names.index("upperarm01.L")][0] > 0.1  # the left arm is on the viewer's right
    toe = body.joints[names.index("toe1-2.L")]
    assert toe[2] < foot[2] - 0.05  # toes point at the viewer, along -z
    stature = np.ptp(body.vertices[:, 1])
    assert 1.65 < stature < 1.75


def test_faces_look_outwards(body):
    corners = body.vertices[body.faces]
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 0.04 < volume < 0.12


def test_arrays_keep_the_contract(body):
    joint_count = len(body.joint_names)
    assert body.vertices.shape == (13718, 3) and body.faces.shape[1] == 3
    assert body.uvs is not None and body.uvs.shape == (len(body.faces), 3, 2)
    assert body.uvs.min() >= 0 and body.uvs.max() <= 1
    assert body.skin_weights.shape == (13718, joint_count)
    np.testing.assert_allclose(body.skin_weights.sum(1), 1, atol=1e-5)
    assert body.shape_blend_shapes.shape == (40, 13718, 3)
    assert body.joint_blend_shapes.shape == (40, joint_count, 3)
    assert body.parents[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(body.parents) if joint)


def test_attributes_mean_what_they_say(body):
    def rest(**attributes):
        shape = body_module.shape_from_attributes(attributes)
        return body.vertices + np.tensordot(shape, body.shape_blend_shapes, 1)

    np.testing.assert_allclose(body_module.shape_from_attributes({}), 0, atol=1e-6)
    assert np.ptp(rest(height=1.0)[:, 1]) > np.ptp(rest(height=0.0)[:, 1]) + 0.2
    assert np.ptp(rest(age=1 / 3)[:, 1]) < 0.85 * np.ptp(rest()[:, 1])
    height = np.abs(body.vertices[:, 1] - body.joints[body.joint_names.index("spine04")][1])
    waist = (height < 0.03) & (np.abs(body.vertices[:, 0]) < 0.1)
    slim, heavy = rest(weight=0.0)[waist], rest(weight=1.0)[waist]
    assert np.ptp(heavy[:, 2]) > np.ptp(slim[:, 2]) + 0.02


@pytest.mark.parametrize("attributes", [{"tall": 1.0}, {"height": 1.2}, {"age": -0.1}, {"weight": float("nan")}])
def test_bad_attributes_are_refused(attributes):
    with pytest.raises(BadInput):
        body_module.shape_from_attributes(attributes)


def test_landmarks_lie_where_their_names_say(body):
    landmarks = body_module.load_landmarks()
    points = np.einsum("kn,knd->kd", landmarks.weights, body.vertices[landmarks.indices])
    place = dict(zip(landmarks.names, points, strict=True))
    assert place["nose"][1] < place["left_shoulder"][1] < place["left_hip"][1] < place["left_ankle"][1]
    assert place["left_wrist"][0] > 0 > place["right_wrist"][0]
    knee = body.joints[body.joint_names.index("lowerleg01.L")]
    assert np.linalg.norm(place["left_knee"] - knee) < 0.06
