# SPDX-License-Identifier: GPL-3.0-or-later
"""The mannequin: the body's joints and shapes under a surface without anatomical detail."""

import numpy as np
import pytest
from maquette.inference.geometry.skinning import rest_pose
from maquette.inference.shipped.body import load_body, shape_from_attributes
from maquette.inference.shipped.mannequin import body_named, load_mannequin

BODY, MANNEQUIN = load_body(), load_mannequin()


def surfaces(**attributes):
    shape = shape_from_attributes(attributes)
    return [rest_pose(body, shape)[0] for body in (BODY, MANNEQUIN)]


def bulge(vertices):
    """Metres by which the chest's two sides stand out before what lies between them."""
    x, y, z = vertices.T
    neck, hips = BODY.joints[[BODY.joint_names.index(name) for name in ("neck01", "root")], 1]
    band = (abs((y - neck) / (hips - neck) - 0.4) < 0.08) & (z < BODY.joints[0, 2])
    return z[band & (abs(x) < 0.01)].min() - z[band & (abs(abs(x) - 0.08) < 0.03)].min()


def test_joints_weights_and_shapes_are_the_bodys():
    assert MANNEQUIN.name == BODY.name and MANNEQUIN.joint_names == BODY.joint_names
    for name in ("joints", "joint_blend_shapes", "skin_weights", "faces", "parents", "uvs"):
        assert np.array_equal(getattr(MANNEQUIN, name), getattr(BODY, name))
    assert MANNEQUIN.shape_blend_shapes.shape == BODY.shape_blend_shapes.shape
    assert body_named("anatomical") is BODY and body_named("mannequin") is MANNEQUIN


@pytest.mark.parametrize(("gender", "weight"), [(1.0, 0.5), (1.0, 0.9), (0.5, 0.5)])
def test_the_chest_is_smooth_whatever_the_shape(gender, weight):
    own, smooth = surfaces(gender=gender, weight=weight)
    print(bulge(own), bulge(smooth))
    assert bulge(smooth) < 0.003 < bulge(own)


def test_limbs_stay_and_the_head_has_no_ears():
    own, smooth = surfaces()
    moved = np.linalg.norm(smooth - own, axis=1)
    limbs = [
        number for number, name in enumerate(BODY.joint_names) if name.startswith(("lower", "foot", "toe", "finger"))
    ]
    assert moved[BODY.skin_weights[:, limbs].sum(1) > 0.9].max() < 1e-6
    head = BODY.skin_weights[:, BODY.joint_names.index("head")] > 0.9
    assert np.abs(smooth[head, 0]).max() < np.abs(own[head, 0]).max() - 0.01
    assert np.ptp(smooth[:, 1]) == pytest.approx(np.ptp(own[:, 1]), abs=1e-3), "Nobody grows or shrinks"


@pytest.mark.parametrize("attributes", [{"age": 1 / 3, "height": 0.2}, {"weight": 1.0, "age": 1.0}, {"gender": 0.0}])
def test_no_shape_turns_the_surface_inside_out(attributes):
    _, smooth = surfaces(**attributes)
    corners = smooth[BODY.faces].astype(float)
    volume = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    own = surfaces(**attributes)[0][BODY.faces].astype(float)
    assert volume == pytest.approx((own[:, 0] * np.cross(own[:, 1], own[:, 2])).sum() / 6, rel=0.06)
