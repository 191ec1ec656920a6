# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands stand where the camera saw them, with their depth and mask as images."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.bodies import hands, vertex_cache
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.core import axes, transaction
from maquette.blender_addon.core.exchange import HandTrack
from maquette.inference.errors import BadInput, NothingFound
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
    photo_camera = matched.matched_camera(photo.camera, image.photo_image(photo), world)
    hands.hand_meshes(maps, name="street", camera_object=photo_camera)
    reopened()
    for hand in maps.hands:
        obj = bpy.data.objects[f"street.hand.{hand.side[0].upper()}.1.mesh"]
        assert obj["side"] == hand.side and obj["score"] == pytest.approx(0.9)
        assert bpy.data.collections["street.hands"] in obj.users_collection
        np.testing.assert_allclose(evaluated(obj), axes.transform(world, hand.vertices), atol=1e-5)


def test_images(maps):
    depth = image.float_image("street.hands.depth", maps.depth)
    mask = image.mask_image("street.hands.mask", maps.mask)
    np.testing.assert_array_equal(image.image_array(depth)[..., 0], maps.depth)
    np.testing.assert_array_equal(image.image_array(mask)[..., 0], maps.mask)


def test_no_hands(maps, photo):
    with pytest.raises(NothingFound, match="No hand"):
        hands.hand_meshes(HandMaps(maps.depth, maps.mask, photo.pixels, (), photo.camera), name="street")


@pytest.mark.parametrize("mode", vertex_cache.MODES)
def test_a_hand_moves_and_is_hidden_while_it_is_out_of_sight(mode, maps, photo, world, evaluated, tmp_path):
    photo_camera = matched.matched_camera(photo.camera, image.photo_image(photo), world)
    first = maps.hands[0]
    moving = np.stack([first.vertices + np.float32(0.1) * step for step in range(3)])
    track = HandTrack("L.1", 1, "left", 0.9, first.faces, np.array([1, 2, 5]), moving)
    hands.animated_meshes(
        [track], 7, name="street", camera_object=photo_camera, mode=mode, start_frame=10, folder=tmp_path, licence="CC0"
    )
    obj = bpy.data.objects["street.hand.L.1.mesh"]
    assert obj.pass_index == 1 and obj["maquette_licence"] == "CC0"
    for index, vertices in zip(track.frames, moving, strict=True):
        np.testing.assert_allclose(evaluated(obj, 10 + int(index)), axes.transform(world, vertices), atol=1e-5)
    hidden = []
    for frame in range(10, 17):
        bpy.context.scene.frame_set(frame)
        hidden.append((obj.hide_viewport, obj.hide_render))
    assert [both == (True, True) for both in hidden] == [True, False, False, True, True, False, True]
    assert all(a == b for a, b in hidden)


def test_a_hand_seen_throughout_needs_no_keys(maps, tmp_path):
    first = maps.hands[0]
    track = HandTrack("L.1", 1, "left", 0.9, first.faces, np.arange(2), np.stack([first.vertices] * 2))
    hands.animated_meshes([track], 2, name="street", folder=tmp_path)
    obj = bpy.data.objects["street.hand.L.1.mesh"]
    assert obj.animation_data is None or obj.animation_data.action is None
    assert obj["maquette_role"] == "hands.mesh" and "maquette_licence" not in obj


def test_nothing_to_animate(maps):
    with pytest.raises(NothingFound, match="No hand"):
        hands.animated_meshes([], 3, name="street")
    with pytest.raises(BadInput, match="Unknown mode 'BONES'"):
        hands.animated_meshes([], 3, name="street", mode="BONES")


def test_control_image_keeps_its_levels(maps, reopened):
    hands.control_image(maps, name="street")
    reopened()
    control = bpy.data.images["street.hands.control"]
    assert control.packed_file and control.colorspace_settings.name == "Non-Color"
    np.testing.assert_array_equal(np.rint(image.image_array(control)[..., :3] * 255), maps.preview)


def test_a_cache_of_an_unsaved_file_moves_beside_it_when_it_is_saved(addon, maps, tmp_path):
    first = maps.hands[0]
    track = HandTrack("L.1", 1, "left", 0.9, first.faces, np.arange(2), np.stack([first.vertices] * 2))
    with transaction.transaction() as opened:
        hands.animated_meshes([track], 2, name="street")
    assert [note for note in opened.notes if "temporary folder" in note]
    (tmp_path / "shots").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shots" / "a.blend"))
    cache = next(one for one in bpy.data.objects["street.hand.L.1.mesh"].modifiers if one.type == "MESH_CACHE")
    assert cache.filepath == "//maquette/street.hand.L.1.mesh.pc2"
    assert [path.name for path in (tmp_path / "shots" / "maquette").iterdir()] == ["street.hand.L.1.mesh.pc2"]
    assert not list(Path(bpy.app.tempdir).rglob("*.pc2"))
