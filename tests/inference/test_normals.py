# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals from depth against planes and spheres, whose normals are known."""

import math

import cv2
import numpy as np
import pytest
from maquette.inference import BadInput, Camera, NothingFound, estimate_normals
from maquette.inference.geometry.normals_from_depth import normals_from_depth, normals_from_height
from maquette.inference.geometry.previews import normal_preview

CAMERA = Camera(300.0, 320.0, 75.0, 66.0, 160, 120)
RAYS = CAMERA.rays().astype(float)


def plane(normal, distance):
    """Depth (H, W) of the plane normal . p = distance, and its unit normal towards the viewer."""
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    return (distance / (RAYS @ normal)).astype(np.float32), -normal


def degrees(a, b):
    return np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1)))


@pytest.mark.parametrize("normal", [(0, 0, 1), (1, 0, 1), (-2, 3, 2), (0.2, 3, 0.9)])
def test_planes_at_any_slant_are_exact(normal):
    depth, expected = plane(normal, 3.0)
    valid = depth > 0
    normals, known = normals_from_depth(depth, valid, CAMERA)
    assert known[valid].mean() > 0.99
    assert degrees(normals, expected)[known].max() < 0.5
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
    assert ((normals * RAYS).sum(-1)[known] < 0).all()  # towards the viewer


def test_a_sphere():
    centre = np.array([0.1, 0, 4.0])
    squared, along = (RAYS**2).sum(-1), RAYS @ centre
    inside = along**2 - squared * (centre @ centre - 1)
    depth = ((along - np.sqrt(np.maximum(inside, 0))) / squared).astype(np.float32)
    valid = inside > 0
    normals, known = normals_from_depth(np.where(valid, depth, 0), valid, CAMERA)
    exact = RAYS * depth[..., None] - centre
    facing = known & (-(exact * RAYS).sum(-1) / np.sqrt(squared) > 0.4)
    assert facing.sum() > 0.7 * valid.sum()
    assert degrees(normals, exact)[facing].max() < 4
    assert degrees(normals, exact)[facing].mean() < 0.6


def test_a_step_in_depth_stays_sharp():
    near, near_normal = plane((1, 0, 2), 2.0)
    far, far_normal = plane((-1, 1, 2), 5.0)
    left = np.zeros(near.shape, bool)
    left[:, :70] = True
    normals, known = normals_from_depth(np.where(left, near, far), np.ones(left.shape, bool), CAMERA)
    assert known.all()
    assert degrees(normals, np.where(left[..., None], near_normal, far_normal)).max() < 1.5


def test_what_is_not_valid_does_not_leak_and_faces_the_viewer():
    depth, expected = plane((1, 1, 3), 3.0)
    valid = np.zeros(depth.shape, bool)
    valid[30:80, 40:100] = True
    valid[10, 10] = True  # a lone pixel has no slope
    normals, known = normals_from_depth(np.where(valid, depth, 0), valid, CAMERA)
    assert degrees(normals, expected)[30:80, 40:100].max() < 0.5
    assert not known[10, 10]
    np.testing.assert_array_equal(normals[~known], np.broadcast_to([0, 0, -1], normals[~known].shape))
    nothing, known = normals_from_depth(np.zeros((20, 30), np.float32), np.zeros((20, 30), bool), CAMERA)
    assert nothing.shape == (20, 30, 3)
    assert not known.any()


def test_smoothing_calms_noise_and_keeps_the_step():
    near, expected = plane((0.5, 0, 2), 2.0)
    noisy = near * (1 + np.random.default_rng(1).normal(0, 2e-4, near.shape)).astype(np.float32)
    valid = np.ones(near.shape, bool)
    errors = [degrees(normals_from_depth(noisy, valid, CAMERA, smoothing=n)[0], expected).mean() for n in (0, 2, 6)]
    assert errors[0] > 1.5 * errors[1]
    assert errors[1] > errors[2]


def test_a_hill_of_height_leans_outwards():
    rows, columns = np.mgrid[:61, :61] - 30
    height = np.exp(-(rows**2 + columns**2) / 200).astype(np.float32)
    normals = normals_from_height(height, 20.0)
    assert normals[30, 45, 0] > 0.1  # right flank: to the right
    assert normals[15, 30, 1] < -0.1  # upper flank: upwards, which is -y
    assert normals[30, 30].tolist() == pytest.approx([0, 0, -1], abs=1e-6)
    slope = 20 * float(height[30, 46] - height[30, 44]) / 2
    assert normals[30, 45, 0] == pytest.approx(-slope / math.hypot(1, slope), abs=1e-5)


def test_the_preview_is_an_opengl_map():
    normals = np.array([[[0, 0, -1.0], [1, 0, 0], [0, -1, 0]]], np.float32)
    np.testing.assert_array_equal(normal_preview(normals, 0), [[[128, 128, 255], [255, 128, 128], [128, 255, 128]]])


def test_an_empty_photo_and_absurd_parameters():
    empty = np.full((200, 240, 3), 90, np.uint8)
    for model in ("builtin", "from-depth"):
        with pytest.raises(NothingFound) as raised:
            estimate_normals(empty, model)
        assert raised.value.remedy
    for options in [
        {"a": -1.0},
        {"a": math.nan},
        {"bg_threshold": 2.0},
        {"bg_threshold": math.nan},
        {"a": "strong"},
        {"bg_threshold": None},
        {"a": np.ones(2)},
        {"resolution": -1},
    ]:
        with pytest.raises(BadInput):
            estimate_normals(empty, **options)


def test_the_normals_of_a_material_follow_its_bumps(tmp_path):
    """Light bumps on dark ground: normals lean away from each bump's middle, and auto finds them without a file."""
    across, down = np.meshgrid(np.arange(96), np.arange(96))
    light = np.hypot((across % 32) - 16, (down % 32) - 16) < 8
    photo = np.repeat(np.where(light, 200, 60).astype(np.uint8)[..., None], 3, 2)
    photo = cv2.GaussianBlur(photo, (0, 0), 3)
    found = estimate_normals(photo, "relief", invert=False)
    assert found.valid.all() and (found.normals[..., 2] < 0).all()
    assert found.normals[48, 41, 0] < -0.02 and found.normals[48, 55, 0] > 0.02
    assert found.normals[41, 48, 1] < -0.02 and found.normals[55, 48, 1] > 0.02
    turned = estimate_normals(photo, "relief", invert=True)
    assert turned.normals[48, 41, 0] > 0.02
    answered = estimate_normals(photo, models_dir=tmp_path)
    assert answered.model == "relief"
    np.testing.assert_array_equal(answered.normals, estimate_normals(photo, "relief").normals)
