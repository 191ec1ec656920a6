# SPDX-License-Identifier: GPL-3.0-or-later
"""The relief lies where the depth map says, is torn at edges alone, and keeps what the photo knows."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.surfaces import meshes, relief
from maquette.blender_addon.core import axes, transaction
from maquette.inference.camera import Camera
from maquette.inference.errors import BadInput, NothingFound
from maquette.inference.results import DepthMap
from mathutils import Vector


@pytest.fixture
def photo_camera(photo, world):
    return matched.matched_camera(photo.camera, image.photo_image(photo), world, set_render_size=True)


def depth_of(depth: np.ndarray) -> DepthMap:
    height, width = depth.shape
    intrinsics = Camera(float(width), float(width), width / 2, height / 2, width, height)
    return DepthMap(depth.astype(np.float32), depth > 0, None, intrinsics, True, np.zeros((1, 1, 3), np.uint8))


def test_vertices_are_the_unprojected_pixels(depth_map, photo, photo_camera, world, evaluated):
    made = relief.relief_mesh(depth_map, name="street.relief", camera_object=photo_camera)
    truth = axes.transform(world, depth_map.camera.unproject(depth_map.depth)[20:].reshape(-1, 3))
    np.testing.assert_allclose(evaluated(made), truth, atol=1e-5)
    assert not made.data.validate()


def test_it_coincides_with_the_photo(depth_map, photo, photo_camera, evaluated):
    made = relief.relief_mesh(
        depth_map, name="street.relief", camera_object=photo_camera, photo_image=image.photo_image(photo), resolution=40
    )
    uvs = np.empty(len(made.data.loops) * 2, np.float32)
    made.data.uv_layers.active.uv.foreach_get("vector", uvs)
    corners = [loop.vertex_index for loop in made.data.loops]
    for place, uv in list(zip(evaluated(made)[corners], uvs.reshape(-1, 2), strict=True))[::97]:
        np.testing.assert_allclose(
            world_to_camera_view(bpy.context.scene, photo_camera, Vector(place))[:2], uv, atol=1e-5
        )
    texture = next(node for node in made.active_material.node_tree.nodes if node.type == "TEX_IMAGE")
    assert texture.image == image.photo_image(photo)


def test_it_follows_its_camera(depth_map, photo_camera, evaluated):
    made = relief.relief_mesh(depth_map, name="street.relief", camera_object=photo_camera)
    before = evaluated(made)
    photo_camera.location.x += 2
    np.testing.assert_allclose(evaluated(made) - before, np.broadcast_to([2, 0, 0], before.shape), atol=1e-5)


def test_faces_look_at_the_camera(depth_map):
    made = relief.relief_mesh(depth_map, name="street.relief")
    assert min(polygon.normal.z for polygon in made.data.polygons) > 0


def test_edges_are_torn_and_surfaces_are_not(depth_map):
    made = relief.relief_mesh(depth_map, name="street.relief")
    near = meshes.positions(made.data)[:, 2] > -2.5
    assert near.sum() == 40 * 40
    faces = np.array([polygon.vertices for polygon in made.data.polygons])
    of_board = near[faces].sum(1)
    assert set(of_board) == {0, 4} and (of_board == 4).sum() == 39 * 39
    assert (of_board == 0).sum() == 99 * 159 - 41 * 41


def test_a_plane_is_never_torn_however_steep():
    # A floor 1.5 m below the camera, from 2.6 m to 24 m: neighbouring rows differ by up to 16 %, far over the limit.
    rows = np.arange(60) + 0.5
    depth = np.where(rows > 33, 1.5 * 80 / np.maximum(rows - 30, 1e-6), 0)
    made = relief.relief_mesh(depth_of(np.repeat(depth[:, None], 80, axis=1)), name="floor", grazing=90)
    assert len(made.data.polygons) == (int((depth > 0).sum()) - 1) * 79


def test_grazing_faces_are_left_out():
    rows = np.arange(60) + 0.5
    depth = np.where(rows > 33, 1.5 * 80 / np.maximum(rows - 30, 1e-6), 0)
    made = relief.relief_mesh(depth_of(np.repeat(depth[:, None], 80, axis=1)), name="floor", grazing=80)
    far = -meshes.positions(made.data)[:, 2].min()
    assert 1.5 * np.tan(np.radians(80)) * 0.8 < far < 1.5 * np.tan(np.radians(80)) * 1.2


def test_attributes(depth_map, photo):
    confidence = np.random.default_rng(0).random(depth_map.depth.shape).astype(np.float32)
    made = relief.relief_mesh(depth_map, name="street.relief", confidence=confidence)
    values = np.empty(len(made.data.vertices), np.float32)
    made.data.attributes["depth"].data.foreach_get("value", values)
    np.testing.assert_array_equal(values, depth_map.depth[20:].ravel())
    made.data.attributes["confidence"].data.foreach_get("value", values)
    np.testing.assert_array_equal(values, confidence[20:].ravel())


def test_specks_are_left_out_by_their_number_of_faces(depth_map):
    depth = depth_map.depth.copy()
    depth[100:104, 10:14] = 1.5  # 3 x 3 faces
    depth[90:93, 120:127] = 1.5  # 2 x 6
    noisy = replace(depth_map, depth=depth)
    sizes = {}
    for specks in (0, 9, 10, 12, 13, 10**6):
        if specks == 10**6:
            with pytest.raises(NothingFound):
                relief.relief_mesh(noisy, name="r", specks=specks)
            continue
        made = relief.relief_mesh(noisy, name="r", specks=specks)
        near = meshes.positions(made.data)[:, 2] > -1.7
        sizes[specks] = int(near.sum())
        assert (meshes.positions(made.data)[:, 2] > -2.5).sum() == near.sum() + 40 * 40, "the board stays"
    assert sizes == {0: 37, 9: 37, 10: 21, 12: 21, 13: 0}


def test_what_lies_beyond_a_distance_is_left_out(depth_map):
    made = relief.relief_mesh(depth_map, name="street.relief", max_distance=2.5)
    assert len(made.data.vertices) == 40 * 40 and len(made.data.polygons) == 39 * 39
    with pytest.raises(NothingFound, match="within these limits"):
        relief.relief_mesh(depth_map, name="street.relief", max_distance=1.0)


def test_resolution_bounds_the_long_side(depth_map):
    made = relief.relief_mesh(depth_map, name="street.relief", resolution=40)
    assert len(made.data.vertices) == 40 * 25


def test_saved_and_opened(depth_map, photo, photo_camera, reopened, evaluated):
    relief.relief_mesh(
        depth_map, name="street.relief", camera_object=photo_camera, photo_image=image.photo_image(photo)
    )
    before = evaluated(bpy.data.objects["street.relief"])
    reopened()
    again = bpy.data.objects["street.relief"]
    np.testing.assert_allclose(evaluated(again), before, atol=1e-6)
    assert again.parent == bpy.data.objects["street.camera"] and again.active_material.name == "street.relief"


def test_unmetric_and_empty_maps_are_refused(depth_map, blocks):
    before = blocks()
    with pytest.raises(BadInput, match="no distances"), transaction.transaction():
        relief.relief_mesh(replace(depth_map, metric=False), name="street.relief")
    with pytest.raises(NothingFound), transaction.transaction():
        relief.relief_mesh(replace(depth_map, valid=np.zeros_like(depth_map.valid)), name="street.relief")
    assert blocks() == before
