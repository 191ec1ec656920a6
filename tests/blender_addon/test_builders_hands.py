# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands stand where the camera saw them, with their depth and mask as images."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders import axes, camera, hands, image
from maquette.inference.errors import NothingFound
from maquette.inference.results import Hand, HandMaps


@pytest.fixture
def maps(photo):
    random = np.random.default_rng(0)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)
    made = []
    for side, x in (("left", -0.3), ("right", 0.3)):
        vertices = (np.array([[x, 0, 1]]) + random.normal(0, 0.05, (4, 3))).astype(np.float32)
        joints = np.zeros((21, 3), np.float32)
        depth = np.zeros((120, 160), np.float32)
        depth[50:70, 60:90] = 1
        mask = (depth > 0).astype(np.float32)
        made.append(Hand(side, 0.9, (0, 0, 9, 9), vertices, faces, joints, joints[:, :2], depth, mask))
    return HandMaps(made[0].depth, made[0].mask, photo.pixels, tuple(made), photo.camera)


def test_meshes_stand_where_the_camera_saw_them(maps, photo, world, evaluated, reopened):
    photo_camera = camera.matched_camera(photo.camera, image.photo_image(photo), world)
    hands.hand_meshes(maps, name="street", camera_object=photo_camera)
    reopened()
    for hand in maps.hands:
        obj = bpy.data.objects[f"street.hand.{hand.side[0].upper()}.1.mesh"]
        assert obj["side"] == hand.side and obj["score"] == pytest.approx(0.9)
        assert bpy.data.collections["street.hands"] in obj.users_collection
        np.testing.assert_allclose(evaluated(obj), axes.transform(world, hand.vertices), atol=1e-5)


def test_images(maps):
    depth, mask = hands.hand_images(maps, name="street")
    assert (depth.name, mask.name) == ("street.hands.depth", "street.hands.mask")
    np.testing.assert_array_equal(image.image_array(depth)[..., 0], maps.depth)
    np.testing.assert_array_equal(image.image_array(mask)[..., 0], maps.mask)


def test_no_hands(maps, photo):
    with pytest.raises(NothingFound, match="No hand"):
        hands.hand_meshes(HandMaps(maps.depth, maps.mask, photo.pixels, (), photo.camera), name="street")
