# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask layers leave the artist's material as it was and show where the mask is white."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.masks import mask_data
from maquette.blender_addon.builders.materials import materials, paint
from maquette.blender_addon.builders.surfaces import meshes
from maquette.blender_addon.core import transaction
from maquette.inference.errors import BadInput
from mathutils import Vector

RED = (0.8, 0.05, 0.02, 1.0)


@pytest.fixture
def board():
    """A square 2 m wide on the ground, with UVs."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    obj = bpy.data.objects.new("board", meshes.new_mesh("board", corners, np.array([[0, 1, 2, 3]]), uvs))
    bpy.context.scene.collection.objects.link(obj)
    return obj


@pytest.fixture
def left_mask():
    """White on the left quarter."""
    mask = np.zeros((40, 40), np.float32)
    mask[:, :10] = 1
    return image.mask_image("street.person", mask)


def new_material(obj):
    material = bpy.data.materials.new("the artist's")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    obj.data.materials.append(material)
    return material


def plain(obj):
    """No material at all."""


def empty_slot(obj):
    obj.data.materials.append(None)


def principled(obj):
    tree = new_material(obj).node_tree
    tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = 0.1, 0.2, 0.6, 1


def textured(obj):
    tree = new_material(obj).node_tree
    picture = bpy.data.images.new("the artist's", 4, 4)
    picture.generated_color = 0.1, 0.2, 0.6, 1
    texture, curves = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeRGBCurve")
    texture.image = picture
    tree.links.new(texture.outputs["Color"], curves.inputs["Color"])
    tree.links.new(curves.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])


def behind_a_mix(obj):
    tree = new_material(obj).node_tree
    shader, output = tree.nodes["Principled BSDF"], tree.nodes["Material Output"]
    shader.inputs["Base Color"].default_value = 0.1, 0.2, 0.6, 1
    mix, clear = tree.nodes.new("ShaderNodeMixShader"), tree.nodes.new("ShaderNodeBsdfTransparent")
    mix.inputs[0].default_value = 0.0
    tree.links.new(shader.outputs[0], mix.inputs[1])
    tree.links.new(clear.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output.inputs["Surface"])


def emission(obj):
    tree = new_material(obj).node_tree
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    shader = tree.nodes.new("ShaderNodeEmission")
    shader.inputs["Color"].default_value = 0.1, 0.2, 0.6, 1
    tree.links.new(shader.outputs[0], tree.nodes["Material Output"].inputs["Surface"])


def without_output(obj):
    new_material(obj).node_tree.nodes.clear()


MATERIALS = [plain, empty_slot, principled, textured, behind_a_mix, emission, without_output]


def nodes_of(material):
    """What the artist can see of each node: its type and the values of its unlinked inputs."""
    found = {}
    for node in material.node_tree.nodes if material else ():
        values = [
            (socket.identifier, repr(getattr(socket, "default_value", None)))
            for socket in node.inputs
            if not socket.is_linked
        ]
        found[node.name] = (node.type, tuple(node.location), dict(values))
    return found


def links_of(material):
    return {
        (link.from_node.name, link.from_socket.identifier, link.to_node.name, link.to_socket.identifier)
        for link in (material.node_tree.links if material else ())
    }


def from_above():
    data = bpy.data.cameras.new("above")
    data.type, data.ortho_scale = "ORTHO", 2
    obj = bpy.data.objects.new("above", data)
    obj.location.z = 3
    bpy.context.scene.collection.objects.link(obj)
    light = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    light.data.energy = 3
    bpy.context.scene.collection.objects.link(light)
    return obj


@pytest.mark.parametrize("prepare", MATERIALS)
def test_every_node_and_link_survives(prepare, board, left_mask):
    prepare(board)
    material = board.active_material
    nodes, links = nodes_of(material), links_of(material)
    texture = paint.add_mask_layer(board, left_mask, RED)
    assert material is None or board.active_material == material
    after = nodes_of(board.active_material)
    for name, (kind, location, values) in nodes.items():
        assert after[name][:2] == (kind, location)
        # An input that the layer now feeds has left this list; every other value is the artist's still.
        assert set(after[name][2].items()) <= set(values.items())
    new_links = links_of(board.active_material)
    mix = texture.outputs["Color"].links[0].to_node
    for source, source_socket, target, target_socket in links - new_links:
        assert (source, source_socket, mix.name) in {link[:3] for link in new_links}
        assert any(link[0] == mix.name and link[2:] == (target, target_socket) for link in new_links)


@pytest.mark.parametrize("prepare", [principled, textured, behind_a_mix, emission])
def test_the_colour_shows_where_the_mask_is_white(prepare, board, left_mask, rendered):
    prepare(board)
    seen_from = from_above()
    before = rendered(seen_from, 8, 8)
    paint.add_mask_layer(board, left_mask, RED)
    after = rendered(seen_from, 8, 8)
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], rtol=0.05, atol=1e-3)
    layer = after[:, 0]
    assert (layer[:, 0] > 2 * layer[:, 1]).all() and (before[:, 0, 2] > before[:, 0, 0]).all()


def test_layers_stack(board, left_mask, rendered):
    principled(board)
    paint.add_mask_layer(board, left_mask, RED)
    right = np.zeros((40, 40), np.float32)
    right[:, 30:] = 1
    paint.add_mask_layer(board, image.mask_image("street.other", right), (0.02, 0.7, 0.05, 1))
    picture = rendered(from_above(), 8, 8)
    assert [int(picture[4, column].argmax()) for column in (0, 4, 7)] == [0, 2, 1]


def test_the_mask_is_the_paint_slot(board, left_mask, reopened):
    textured(board)
    paint.add_mask_layer(board, left_mask, RED)
    reopened()
    board = bpy.data.objects["board"]
    bpy.context.view_layer.objects.active = board
    bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
    material = board.active_material
    assert {picture.name for picture in material.texture_paint_images} == {"the artist's", "street.person"}
    assert material.texture_paint_images[material.paint_active_slot].name == "street.person"


def test_projected_layer(board, photo, world, rendered):
    """The mask falls on the object where the photo shows it, whatever the object's own UVs are."""
    photo_camera = matched.matched_camera(photo.camera, image.photo_image(photo), world, set_render_size=True)
    board.matrix_world = photo_camera.matrix_world
    board.location = photo_camera.matrix_world @ Vector((0, 0, -2))
    bpy.context.view_layer.update()
    principled(board)
    board.active_material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = 0, 0, 0.5, 1
    mask = np.zeros((120, 160), np.float32)
    mask[48:72, 32:64] = 1
    paint.add_mask_layer(
        board, image.mask_image("street.person", mask), RED, camera=photo.camera, camera_object=photo_camera
    )
    from_above().location.z = 100  # for its light alone
    bpy.data.objects["sun"].matrix_world = photo_camera.matrix_world
    picture = rendered(photo_camera, 20, 15, samples=16)
    is_red = picture[..., 0] > picture[..., 2]
    np.testing.assert_array_equal(np.argwhere(is_red), np.argwhere(mask[4::8, 4::8] > 0))
    assert board.data.uv_layers.active.name == "UVMap"


def test_what_takes_no_layer_is_refused(board, left_mask, blocks):
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "POINT"))
    board.data.uv_layers.remove(board.data.uv_layers[0])
    before = blocks()
    with pytest.raises(BadInput, match="not a mesh"), transaction.transaction():
        paint.add_mask_layer(lamp, left_mask)
    with pytest.raises(BadInput, match="no UV map"), transaction.transaction():
        paint.add_mask_layer(board, left_mask)
    assert blocks() == before


@pytest.mark.parametrize("prepare", MATERIALS)
def test_a_failed_job_leaves_the_material_as_it_was(prepare, board, left_mask, blocks):
    prepare(board)
    material = board.active_material
    before = blocks(), nodes_of(material), links_of(material), len(board.material_slots)
    with pytest.raises(RuntimeError), transaction.transaction():
        paint.add_mask_layer(board, left_mask, RED)
        raise RuntimeError
    assert board.active_material == material
    assert (blocks(), nodes_of(material), links_of(material), len(board.material_slots)) == before


def test_stencil(board, left_mask, photo):
    scene = bpy.context.scene
    photo_camera = matched.matched_camera(photo.camera, image.photo_image(photo))
    paint.set_stencil(scene, left_mask, board, camera=photo.camera, camera_object=photo_camera)
    settings = scene.tool_settings.image_paint
    assert settings.stencil_image == left_mask and settings.use_stencil_layer
    assert board.data.uv_layer_stencil.name == "street.camera.uv" and board.data.uv_layers.active.name == "UVMap"
    with pytest.raises(RuntimeError), transaction.transaction():
        paint.set_stencil(scene, image.mask_image("other", np.ones((4, 4))))
        raise RuntimeError
    assert settings.stencil_image == left_mask


def cloud(count: int):
    """Loose vertices all around the camera."""
    mesh = bpy.data.meshes.new("cloud")
    mesh.vertices.add(count)
    meshes.set_positions(mesh, np.random.default_rng(0).uniform(-4, 4, (count, 3)))
    obj = bpy.data.objects.new("cloud", mesh)
    obj.location, obj.rotation_euler = (0.5, 0.2, 0.1), (0.3, 0.2, 0.1)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def test_masks_on_vertices(photo, world, reopened):
    photo_camera = matched.matched_camera(photo.camera, image.photo_image(photo), world, set_render_size=True)
    obj = cloud(2000)
    bpy.context.view_layer.update()
    mask = np.random.default_rng(1).uniform(0.1, 1, (120, 160)).astype(np.float32)
    mask_data.mask_attribute(obj, mask, photo.camera, photo_camera, "person")
    group = mask_data.mask_vertex_group(obj, mask, photo.camera, photo_camera, "person")
    assert group.name == "person"
    reopened()
    obj, photo_camera = bpy.data.objects["cloud"], bpy.data.objects["street.camera"]
    values = np.empty(2000, np.float32)
    obj.data.attributes["person"].data.foreach_get("value", values)
    views = [world_to_camera_view(bpy.context.scene, photo_camera, obj.matrix_world @ v.co) for v in obj.data.vertices]
    truth = np.array(
        [mask[int((1 - y) * 120), int(x * 160)] if z > 0 and 0 <= x < 1 and 0 < y <= 1 else 0.0 for x, y, z in views]
    )
    assert 50 < (truth > 0).sum() < 1000
    different = np.abs(values - truth) > 1e-6  # points on the border of two pixels may fall to either side
    assert different.sum() <= 2
    weights = np.array([v.groups[0].weight if v.groups else 0.0 for v in obj.data.vertices])
    np.testing.assert_allclose(weights, values, atol=0.5 / 255 + 1e-6)


def test_active_material_of_what_takes_none():
    with pytest.raises(BadInput, match="cannot have a material"):
        materials.active_material(bpy.data.objects.new("empty", None))


def test_layer_is_as_strong_as_the_alpha_of_its_colour(board, left_mask):
    principled(board)
    texture = paint.add_mask_layer(board, left_mask, (1, 0, 0, 0.25))
    (multiply,) = [link.to_node for link in texture.outputs["Color"].links]
    assert multiply.operation == "MULTIPLY"
    assert multiply.inputs[1].default_value == pytest.approx(0.25)
    assert multiply.outputs["Value"].links[0].to_socket.name == "Factor"
