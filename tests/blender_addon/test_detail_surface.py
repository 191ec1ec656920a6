# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures carried between a camera and an object's texture."""

from __future__ import annotations

import math

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.builders.materials import paint_layers
from maquette.blender_addon.builders.surfaces import surface_values
from maquette.blender_addon.core import jobs
from maquette.blender_addon.work.detail import texture_space
from maquette.inference.camera import Camera

pytestmark = pytest.mark.usefixtures("addon")


def new_image(name: str, values: np.ndarray):
    if values.ndim == 2:
        values = np.dstack([values] * 3)
    values = np.dstack([values, np.ones(values.shape[:2])])
    made = bpy.data.images.new(name, values.shape[1], values.shape[0], alpha=True)
    made.pixels.foreach_set(values[::-1].astype(np.float32).ravel())
    made.update()
    return made


def ramps(height: int = 128, width: int = 128) -> np.ndarray:
    """(H, W, 3) red to the right, green downwards, some blue: every place has a colour of its own."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns / (width - 1), rows / (height - 1), np.full((height, width), 0.3)], -1)


@pytest.fixture
def wall():
    """A plane of 2 m that faces the scene's camera, which sees it in the middle half of 160 x 120 pixels."""
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_plane_add(size=2, rotation=(math.pi / 2, 0, 0))
    plane = bpy.context.object
    material = bpy.data.materials.new("Wall")
    material.use_nodes = True
    tree = material.node_tree
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = new_image("wall.png", ramps())
    tree.links.new(texture.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
    tree.nodes.active = texture
    plane.data.materials.append(material)
    data = bpy.data.cameras.new("Camera")
    data.lens, data.sensor_width = 36, 36
    camera = bpy.data.objects.new("Camera", data)
    camera.location, camera.rotation_euler = (0, -4, 0), (math.pi / 2, 0, 0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 160, 120, 100
    bpy.context.view_layer.update()
    return plane


def box(rows: slice, columns: slice, shape=(120, 160)) -> np.ndarray:
    values = np.zeros(shape)
    values[rows, columns] = 1
    return values


def detail(**options) -> str:
    given = {"mask_name": "mask", "denoise": 1.0, "guide_size": 64.0, "max_size": 96.0, "feather": 0}
    assert bpy.ops.maquette.detail_mask(**{**given, "noise_mask_feather": 0, **options}) == {"FINISHED"}
    return jobs.outcome().line


def in_bytes(image) -> np.ndarray:
    return np.rint(images.image_array(image) * 255).astype(np.uint8)


def camera_of(width: int = 160, height: int = 120) -> Camera:
    return Camera(160.0, 160.0, 80.0, 60.0, width, height)


def test_a_texture_in_uv_space_covers_its_island_and_no_more(wall):
    whole = texture_space.in_uv_space(surface_values.surface_of(wall).uvs, 64, 32)
    assert whole.drawn.all() and np.allclose(whole.weights.sum(1), 1)
    uvs = whole.spread(whole.at(surface_values.surface_of(wall).uvs))
    np.testing.assert_allclose(uvs[0, 0], (0.5 / 64, 1 - 0.5 / 32), atol=1e-6)
    half = texture_space.in_uv_space(surface_values.surface_of(wall).uvs * 0.5 + 3, 64, 32)
    assert half.drawn.sum() == 64 * 32 / 4 and half.drawn[16:, :32].all(), "other tiles are brought to the first"


def test_the_view_shows_the_texture_where_the_camera_sees_it(wall):
    seen = surface_values.surface_of(wall, camera=camera_of(), camera_object=bpy.context.scene.camera)
    view = texture_space.view_of(seen, np.dstack([ramps(), np.ones((128, 128))]).astype(np.float32))
    assert (view[20:100, 40:120, 3] == 1).all() and view[..., 3].sum() == 80 * 80
    rows, columns = np.mgrid[:80, :80]
    np.testing.assert_allclose(view[20:100, 40:120, 0], (columns + 0.5) / 80, atol=0.01)
    np.testing.assert_allclose(view[20:100, 40:120, 1], (rows + 0.5) / 80, atol=0.01)


def test_perspective_is_that_of_the_renderer(wall, rendered):
    """A slanted wall, beside what Cycles renders of it by its own light."""
    tree = wall.active_material.node_tree
    emission = tree.nodes.new("ShaderNodeEmission")
    texture = next(node for node in tree.nodes if node.type == "TEX_IMAGE")
    texture.image.colorspace_settings.name = "Non-Color"
    tree.links.new(texture.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    wall.rotation_euler = math.pi / 2, 0, 1.0
    bpy.context.view_layer.update()
    theirs = rendered(bpy.context.scene.camera, 160, 120, samples=16)
    seen = surface_values.surface_of(wall, camera=camera_of(), camera_object=bpy.context.scene.camera)
    ours = texture_space.view_of(seen, images.image_array(texture.image))
    inside = ours[..., 3] > 0
    inside[:-1] &= inside[1:]
    inside[1:] &= inside[:-1]
    inside[:, 1:] &= inside[:, :-1]
    inside[:, :-1] &= inside[:, 1:]
    assert inside.sum() > 2000
    assert np.abs(ours[..., :3] - theirs)[inside].max() < 0.03


def test_a_repainted_view_is_baked_into_a_copy_of_the_texture_as_a_layer(wall):
    new_image("mask", box(slice(50, 70), slice(70, 90)))
    source = bpy.data.images["wall.png"]
    before = in_bytes(source)
    line = detail(source="VIEW")
    after = in_bytes(bpy.data.images["wall.detail"])
    rows, columns = np.nonzero((after != before).any(-1))
    # The view's 80 pixels are the texture's 128: 30..50 of the wall becomes 48..80.
    np.testing.assert_allclose((rows.min(), rows.max() + 1, columns.min(), columns.max() + 1), (48, 80, 48, 80), atol=2)
    assert "layer on Plane" in line and bpy.data.images["wall.detail"].size[:] == (128, 128)
    np.testing.assert_array_equal(in_bytes(source), before)
    ((image, _),) = paint_layers.layers(wall.active_material)
    assert image.name == "wall.detail"


def test_hidden_texels_stay(wall):
    """The lower half of the wall is hidden by another part of the same mesh."""
    bpy.ops.mesh.primitive_plane_add(size=2, rotation=(math.pi / 2, 0, 0), location=(0, -1, -1))
    screen = bpy.context.object
    layer = screen.data.uv_layers.active
    layer.uv.foreach_set("vector", np.full(len(screen.data.loops) * 2, -0.01, np.float32))
    wall.select_set(True)
    screen.select_set(True)
    bpy.context.view_layer.objects.active = wall
    bpy.ops.object.join()
    seen = surface_values.surface_of(wall, camera=camera_of(), camera_object=bpy.context.scene.camera)
    texture = np.zeros((128, 128, 3), np.float32)
    baked, painted = texture_space.baked(
        seen, texture, np.ones((120, 160, 3), np.float32), np.ones((120, 160), np.float32)
    )
    assert (painted[:60] == 1).all() and (baked[:60] == 1).all()
    assert (painted[70:120] == 0).all() and (baked[70:120] == 0).all()


def test_a_photo_lies_on_the_object_through_the_camera(wall, rendered):
    new_image("photo.png", np.full((120, 160, 3), 0.5))
    new_image("mask", box(slice(50, 70), slice(70, 90)))
    line = detail(image="photo.png", output="LAYER", mapping="CAMERA")
    assert "layer on Plane" in line
    ((image, shown),) = paint_layers.layers(wall.active_material)
    assert image.name == "photo.detail" and shown.default_value == 1
    names = {layer.name for layer in wall.data.uv_layers}
    assert names == {"UVMap", "Camera.seen.uv"} and wall.data.uv_layers.active.name == "UVMap"
    tree = wall.active_material.node_tree
    base = tree.nodes["Principled BSDF"].inputs["Base Color"].links[0].from_node
    emission = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(base.outputs[2], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    picture = rendered(bpy.context.scene.camera, 160, 120, samples=16)
    grey = 0.214  # of the photo, as linear light
    np.testing.assert_allclose(picture[53:67, 73:87], grey, atol=0.02)
    assert (np.abs(picture[30:45, 50:110] - grey).max(-1) > 0.05).all(), "beside the mask the wall is as it was"
    shown.default_value = 0
    hidden = rendered(bpy.context.scene.camera, 160, 120, samples=16)
    assert np.abs(hidden[53:67, 73:87] - grey).max() > 0.05


def test_a_projected_layer_leaves_hidden_faces_out(wall):
    """Both sides of a cube: the far one lies outside of the projected picture."""
    bpy.ops.mesh.primitive_cube_add(size=1)
    cube = bpy.context.object
    new_image("photo.png", np.full((120, 160, 3), 0.5))
    new_image("mask", box(slice(50, 70), slice(70, 90)))
    detail(image="photo.png", output="LAYER", mapping="CAMERA")
    uvs = np.empty(len(cube.data.loops) * 2, np.float32)
    cube.data.uv_layers["Camera.seen.uv"].uv.foreach_get("vector", uvs)
    normals = np.array([face.normal for face in cube.data.polygons]) @ np.array(cube.matrix_world)[:3, :3].T
    shown = (uvs.reshape(-1, 4, 2) > -1).all((1, 2))
    assert shown[normals[:, 1] < -0.5].all() and not shown[normals[:, 1] > 0.5].any()


def test_a_photo_is_baked_into_the_texture(wall):
    new_image("photo.png", np.full((120, 160, 3), 0.5))
    new_image("mask", box(slice(50, 70), slice(70, 90)))
    detail(image="photo.png", output="BAKE")
    after = in_bytes(bpy.data.images["photo.detail"])
    assert (np.abs(after[52:76, 52:76, :3].astype(int) - 128) < 3).all()
    np.testing.assert_array_equal(after[:40], in_bytes(bpy.data.images["wall.png"])[:40])


def test_without_a_camera_or_a_texture_there_is_one_clear_error(wall):
    new_image("mask", box(slice(50, 70), slice(70, 90)))
    bpy.context.scene.camera = None
    with pytest.raises(RuntimeError, match="There is no camera"):
        detail(source="VIEW")
    wall.active_material.node_tree.nodes.remove(
        next(node for node in wall.active_material.node_tree.nodes if node.type == "TEX_IMAGE")
    )
    with pytest.raises(RuntimeError, match="no image texture"):
        detail(source="PAINT_SLOT")
    bpy.context.view_layer.objects.active = None
    with pytest.raises(RuntimeError, match="no paint slot"):
        detail(source="PAINT_SLOT")
