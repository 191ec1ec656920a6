# SPDX-License-Identifier: GPL-3.0-or-later
"""What a photo's camera sees of a mesh: posed, subdivided, hiding itself."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.masks import mask_data
from maquette.blender_addon.builders.materials import paint
from maquette.blender_addon.builders.surfaces import meshes, projection
from maquette.inference.camera import Camera
from maquette.inference.errors import BadInput
from maquette.inference.photo import Photo
from mathutils import Matrix


@pytest.fixture
def view():
    """(intrinsics, camera object) of a photo of 200 x 200 pixels, the camera at the origin looking along -z."""
    intrinsics = Camera(200.0, 200.0, 100.0, 100.0, 200, 200)
    photo = Photo(np.zeros((200, 200, 3), np.uint8), intrinsics, "square")
    obj = matched.matched_camera(intrinsics, image.photo_image(photo), set_render_size=True)
    obj.matrix_world = Matrix.Identity(4)
    bpy.context.view_layer.update()
    return intrinsics, obj


def ball(z: float = -4.0):
    bpy.ops.mesh.primitive_uv_sphere_add(radius=1.0, segments=64, ring_count=32, location=(0, 0, z))
    return bpy.context.object


def world_positions(obj) -> np.ndarray:
    return meshes.positions(obj.data) @ np.array(obj.matrix_world.to_3x3()).T + np.array(obj.matrix_world.translation)


def test_only_the_front_of_a_ball_takes_the_mask(view):
    intrinsics, camera_object = view
    obj = ball()
    white = np.ones((200, 200), np.float32)
    everything = mask_data.sampled(obj, white, intrinsics, camera_object)
    front = mask_data.sampled(obj, white, intrinsics, camera_object, visible_only=True)
    points = world_positions(obj)
    # A point of the ball is in view where the camera lies above its tangent plane.
    centre = np.array([0, 0, -4.0])
    height = np.einsum("ij,ij->i", points - centre, -points)
    assert everything.all()
    assert front[height > 0.05].all() and not front[height < -0.05].any()


def test_a_thing_hides_what_is_behind_it_but_not_beside_it(view):
    intrinsics, camera_object = view
    near = np.array([[-0.2, -0.2, -2], [0.2, -0.2, -2], [0.2, 0.2, -2], [-0.2, 0.2, -2]], np.float32)
    rows, columns = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41), indexing="ij")
    wall = np.stack([columns.ravel(), rows.ravel(), np.full(41 * 41, -4.0)], axis=1).astype(np.float32)
    corner = (np.arange(40)[:, None] * 41 + np.arange(40)).ravel() + 4
    quads = np.stack([corner, corner + 1, corner + 42, corner + 41], axis=1)
    mesh = meshes.new_mesh("board", np.concatenate([near, wall]), np.concatenate([[[0, 1, 2, 3]], quads]))
    obj = bpy.data.objects.new("board", mesh)
    bpy.context.scene.collection.objects.link(obj)
    seen = projection.in_view(obj, intrinsics, camera_object)
    assert seen[:4].all()
    reach = np.abs(wall[:, :2]).max(axis=1)  # the near board covers 0.4 of the wall's height and width
    assert not seen[4:][reach < 0.39].any() and seen[4:][reach > 0.42].all()
    among = np.zeros(len(seen), bool)
    among[4 + 40 : 4 + 80] = True
    np.testing.assert_array_equal(projection.in_view(obj, intrinsics, camera_object, among), seen & among)


def test_faces_turned_away_are_seen_where_nothing_hides_them(view):
    """Blender shows both sides of a face, whichever way its normal points."""
    intrinsics, camera_object = view
    corners = np.array([[-1, -1, -4], [1, -1, -4], [1, 1, -4], [-1, 1, -4]], np.float32)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        obj = bpy.data.objects.new("leaf", meshes.new_mesh("leaf", corners, np.array([order])))
        bpy.context.scene.collection.objects.link(obj)
        assert projection.in_view(obj, intrinsics, camera_object).all()


def shifted(vertices: np.ndarray, x: float) -> np.ndarray:
    return vertices + np.array([x, 0, 0], np.float32)


def keyed(obj):
    obj.shape_key_add(name="Basis")
    key = obj.shape_key_add(name="aside")
    key.data.foreach_set("co", shifted(meshes.positions(obj.data), 0.5).ravel())
    key.value = 1.0


def armature(obj):
    data = bpy.data.armatures.new("rig")
    rig = bpy.data.objects.new("rig", data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bone = data.edit_bones.new("bone")
    bone.head, bone.tail = (0, 0, 0), (0, 1, 0)
    bpy.ops.object.mode_set(mode="OBJECT")
    obj.vertex_groups.new(name="bone").add(list(range(len(obj.data.vertices))), 1.0, "REPLACE")
    rig.pose.bones["bone"].location = (0.5, 0, 0)
    obj.modifiers.new("Armature", "ARMATURE").object = rig


def subdivided(obj):
    armature(obj)
    obj.modifiers.new("Subdivision", "SUBSURF").levels = 1


def remeshed(obj):
    obj.modifiers.new("Remesh", "REMESH").voxel_size = 0.2


@pytest.mark.parametrize(("prepare", "moved"), [(keyed, 0.5), (armature, 0.5), (subdivided, 0.5), (remeshed, 0.0)])
def test_vertices_are_taken_where_the_object_shows_them(view, prepare, moved):
    obj = ball(0.0)
    obj.location.z = 0
    own = meshes.positions(obj.data).copy()
    prepare(obj)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(projection.seen_positions(obj), shifted(own, moved), atol=0.01)


def test_what_cannot_take_a_mask_is_refused(view, tmp_path):
    intrinsics, camera_object = view
    white = np.ones((4, 4), np.float32)
    obj = ball()
    obj.name = obj.data.name = "theirs"
    path = str(tmp_path / "library.blend")
    bpy.data.libraries.write(path, {obj})
    bpy.data.objects.remove(obj)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["theirs"]
    linked = wanted.objects[0]
    bpy.context.scene.collection.objects.link(linked)
    with pytest.raises(BadInput, match="linked from another file"):
        mask_data.mask_attribute(linked, white, intrinsics, camera_object)
    with pytest.raises(BadInput, match="linked from another file"):
        paint.add_mask_layer(linked, image.mask_image("mask", white))
    dots = bpy.data.objects.new("dots", bpy.data.meshes.new("dots"))
    with pytest.raises(BadInput, match="no faces"):
        paint.add_mask_layer(dots, image.mask_image("mask", white), camera=intrinsics, camera_object=camera_object)


def test_a_hidden_object_takes_the_mask_too(view):
    intrinsics, camera_object = view
    obj = ball()
    obj.hide_viewport = True
    bpy.context.view_layer.update()
    values = mask_data.sampled(obj, np.ones((200, 200), np.float32), intrinsics, camera_object, visible_only=True)
    assert 0.3 < values.mean() < 0.6


def test_a_mask_of_another_shape_than_the_render(view):
    """The mask belongs to the photo, whatever the scene renders."""
    intrinsics, camera_object = view
    obj = ball()
    mask = np.zeros((200, 200), np.float32)
    mask[:, :100] = 1
    square = mask_data.sampled(obj, mask, intrinsics, camera_object)
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y, render.pixel_aspect_x = 640, 200, 2.0
    np.testing.assert_array_equal(mask_data.sampled(obj, mask, intrinsics, camera_object), square)
    assert 0.4 < square.mean() < 0.6
