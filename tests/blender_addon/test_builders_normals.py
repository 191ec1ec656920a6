# SPDX-License-Identifier: GPL-3.0-or-later
"""Normal maps shade the way the normals say, in tangent and in camera space."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.materials import materials, normals
from maquette.blender_addon.builders.surfaces import meshes
from maquette.blender_addon.core import transaction
from maquette.inference.camera import Camera
from maquette.inference.errors import BadInput
from maquette.inference.results import NormalMap
from mathutils import Matrix, Quaternion, Vector

#: Tilted to the right and a little up, in OpenCV camera axes.
TILTED = np.array([0.6, -0.2, -np.sqrt(0.6)], np.float32)


@pytest.fixture
def normal_map(photo):
    """Tilted everywhere but in the lower half, which is not valid."""
    vectors = np.zeros((120, 160, 3), np.float32)
    vectors[:60] = TILTED
    valid = np.zeros((120, 160), bool)
    valid[:60] = True
    return NormalMap(vectors, valid, photo.camera, photo.pixels)


def board(turned: Quaternion | None = None):
    """A square of 2 m that faces a camera at the origin from 2 m away; its own axes are turned."""
    turned = turned or Quaternion()
    corners = np.array([turned.inverted() @ Vector((x, y, 0)) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    obj = bpy.data.objects.new("board", meshes.new_mesh("board", corners, np.array([[0, 1, 2, 3]]), uvs))
    obj.matrix_world = Matrix.Translation((0, 0, -2)) @ turned.to_matrix().to_4x4()
    bpy.context.scene.collection.objects.link(obj)
    shader = materials.principled(materials.active_material(obj))
    shader.inputs["Roughness"].default_value = 1
    shader.inputs["Specular IOR Level"].default_value = 0
    return obj


def brightness(rendered, towards_light) -> np.ndarray:
    """(8, 8) brightness of what a camera at the origin sees under a sun in this direction (Blender camera axes)."""
    for name in ("eye", "sun"):
        if name in bpy.data.objects:
            bpy.data.objects.remove(bpy.data.objects[name])
    data = bpy.data.cameras.new("eye")
    data.type, data.ortho_scale = "ORTHO", 1.8
    eye = bpy.data.objects.new("eye", data)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy = np.pi
    sun.rotation_euler = Vector(towards_light).to_track_quat("Z", "Y").to_euler()
    for obj in (eye, sun):
        bpy.context.scene.collection.objects.link(obj)
    return rendered(eye, 8, 8).mean(axis=2)


def test_colours_follow_the_opengl_convention(normal_map):
    pixels = image.image_array(normals.normal_image("street.normal", normal_map))
    np.testing.assert_allclose(pixels[10, 10, :3], [0.8, 0.6, 0.5 + 0.5 * np.sqrt(0.6)], atol=1e-6)
    np.testing.assert_allclose(pixels[100, 10, :3], [0.5, 0.5, 1])
    signed = image.image_array(normals.normal_image("street.normal", normal_map, signed=True))
    np.testing.assert_allclose(signed[10, 10, :3], [0.6, 0.2, np.sqrt(0.6)], atol=1e-6)


@pytest.mark.parametrize("turn", [None, Quaternion((0.3, -0.8, 0.4), 1.9)], ids=["tangent", "camera"])
def test_shading_follows_the_normals(turn, normal_map, rendered):
    obj = board(turn)
    eye = bpy.data.objects.new("photo's", bpy.data.cameras.new("photo's"))
    bpy.context.scene.collection.objects.link(eye)
    picture = normals.normal_image("street.normal", normal_map)
    normals.add_normal_map(obj, picture, camera_object=eye if turn else None)
    base = 0.8
    for towards_light in ((0, 0, 1), (0.7, 0, 0.71), (-0.5, 0, 0.86), (0, 0.7, 0.71), (0, -0.6, 0.8)):
        lit = brightness(rendered, towards_light)
        light = np.array(towards_light) / np.linalg.norm(towards_light)
        assert lit[:3].mean() == pytest.approx(base * max(0, float(light @ (TILTED * [1, -1, -1]))), abs=0.03)
        assert lit[5:].mean() == pytest.approx(base * light[2], abs=0.03)


def test_a_bump_lies_on_top_of_the_normal_map(normal_map):
    obj = board()
    tree = obj.active_material.node_tree
    shader = tree.nodes["Principled BSDF"]
    bump = tree.nodes.new("ShaderNodeBump")
    tree.links.new(bump.outputs[0], shader.inputs["Normal"])
    before = set(tree.nodes.keys())
    made = normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))
    assert before < set(tree.nodes.keys())
    assert shader.inputs["Normal"].links[0].from_node == bump
    assert bump.inputs["Normal"].links[0].from_node == made


@pytest.mark.parametrize("own_is_flat", [True, False])
def test_an_own_normal_adds_to_the_new_one(own_is_flat, normal_map, photo, rendered):
    """Where one of two normal maps is flat, the other shades alone, not half of it."""
    obj = board()
    facing = np.broadcast_to(np.array([0, 0, -1], np.float32), (120, 160, 3))
    flat = NormalMap(facing, np.ones((120, 160), bool), photo.camera, photo.pixels)
    first, second = (flat, normal_map) if own_is_flat else (normal_map, flat)
    normals.add_normal_map(obj, normals.normal_image("own", first))
    normals.add_normal_map(obj, normals.normal_image("street.normal", second))
    light = np.array([0.7, 0, 0.71]) / np.linalg.norm([0.7, 0, 0.71])
    lit = brightness(rendered, light)
    assert lit[:3].mean() == pytest.approx(0.8 * float(light @ (TILTED * [1, -1, -1])), abs=0.03)
    assert lit[5:].mean() == pytest.approx(0.8 * light[2], abs=0.03)


def test_every_shader_of_a_mix_gets_the_normal(normal_map):
    obj = board()
    tree = obj.active_material.node_tree
    output, first = materials.material_output(obj.active_material), tree.nodes["Principled BSDF"]
    second, mix = tree.nodes.new("ShaderNodeBsdfDiffuse"), tree.nodes.new("ShaderNodeMixShader")
    tree.links.new(first.outputs[0], mix.inputs[1])
    tree.links.new(second.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output.inputs["Surface"])
    made = normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))
    assert {first.inputs["Normal"].links[0].from_node, second.inputs["Normal"].links[0].from_node} == {made}


def grouped(obj, *, takes_normal: bool):
    """The board's shader moved into a node group; the group's node."""
    tree = obj.active_material.node_tree
    output = materials.material_output(obj.active_material)
    group = bpy.data.node_groups.new("Paint", "ShaderNodeTree")
    group.interface.new_socket("BSDF", in_out="OUTPUT", socket_type="NodeSocketShader")
    inside, end = group.nodes.new("ShaderNodeBsdfPrincipled"), group.nodes.new("NodeGroupOutput")
    group.links.new(inside.outputs[0], end.inputs[0])
    if takes_normal:
        group.interface.new_socket("Normal", in_out="INPUT", socket_type="NodeSocketVector")
        group.links.new(group.nodes.new("NodeGroupInput").outputs["Normal"], inside.inputs["Normal"])
    node = tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    tree.links.new(node.outputs[0], output.inputs["Surface"])
    return node


def test_a_group_takes_the_normal_where_it_has_an_input_for_it(normal_map):
    obj = board()
    node = grouped(obj, takes_normal=True)
    made = normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))
    assert node.inputs["Normal"].links[0].from_node == made


def test_a_group_without_such_an_input_is_named(normal_map):
    obj = board()
    grouped(obj, takes_normal=False)
    with pytest.raises(BadInput, match="is in the node group Paint"):
        normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))


def test_a_mesh_without_uv_map_is_refused_before_anything_is_made(normal_map, blocks):
    mesh = bpy.data.meshes.new("bare")
    obj = bpy.data.objects.new("bare", mesh)
    bpy.context.scene.collection.objects.link(obj)
    picture = normals.normal_image("street.normal", normal_map)
    before = blocks()
    with pytest.raises(BadInput, match="no UV map"):
        normals.add_normal_map(obj, picture)
    assert blocks() == before


def test_a_material_of_another_file_is_refused(normal_map, tmp_path):
    board().active_material.name = "Theirs"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    obj = board()
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        wanted.materials = ["Theirs"]
    obj.active_material = bpy.data.materials["Theirs", str(tmp_path / "library.blend")]
    with pytest.raises(BadInput, match="linked from another file"):
        normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))


def test_only_the_active_slot_changes(normal_map):
    obj = board()
    other = bpy.data.materials.new("other")
    materials.principled(other)
    obj.data.materials.append(other)
    before = len(obj.data.materials[0].node_tree.nodes)
    obj.active_material_index = 1
    normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))
    assert len(obj.data.materials[0].node_tree.nodes) == before
    assert any(node.type == "NORMAL_MAP" for node in other.node_tree.nodes)


def test_a_camera_space_map_is_right_on_an_object_of_uneven_scale(normal_map, photo, rendered):
    """Projected from the photo's camera onto a board that is turned and stretched."""
    turn = Quaternion((0.3, -0.8, 0.4), 1.9)
    obj = board(turn)
    stretch = Matrix.Diagonal((1.0, 2.5, 0.6, 1.0))
    obj.data.transform(stretch.inverted())
    obj.matrix_world = obj.matrix_world @ stretch
    while obj.data.uv_layers:
        obj.data.uv_layers.remove(obj.data.uv_layers[0])
    eye = bpy.data.objects.new("photo's", bpy.data.cameras.new("photo's"))
    bpy.context.scene.collection.objects.link(eye)
    intrinsics = Camera(160.0, 160.0, 80.0, 60.0, 160, 120)  # sees 2 m x 1.5 m of the board
    normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map), camera_object=eye, camera=intrinsics)
    for towards_light in ((0, 0, 1), (0.7, 0, 0.71), (0, 0.7, 0.71)):
        lit = brightness(rendered, towards_light)
        light = np.array(towards_light) / np.linalg.norm(towards_light)
        assert lit[:3].mean() == pytest.approx(0.8 * max(0, float(light @ (TILTED * [1, -1, -1]))), abs=0.03)
        assert lit[5:].mean() == pytest.approx(0.8 * light[2], abs=0.03)


def test_a_sphere_is_lit_from_where_the_light_is(photo, rendered):
    """The known normals of a sphere, on a flat board: left light lights its left, upper light its upper side."""
    rows, columns = np.mgrid[:96, :96]
    x, y = (columns + 0.5) / 48 - 1, (rows + 0.5) / 48 - 1
    inside = x**2 + y**2 < 0.9
    vectors = np.stack([x, y, -np.sqrt(np.maximum(1 - x**2 - y**2, 0.01))], -1).astype(np.float32)
    ball = NormalMap(vectors, inside, Camera.default(96, 96), photo.pixels)
    normals.add_normal_map(board(), normals.normal_image("ball", ball))
    for light in ((-0.7, 0, 0.71), (0.7, 0, 0.71), (0, 0.7, 0.71), (0, -0.7, 0.71)):
        lit = brightness(rendered, light)
        seen = lit[2:6, 2:6] - lit[2:6, 2:6].mean()
        right, up = np.meshgrid([-1.5, -0.5, 0.5, 1.5], [1.5, 0.5, -0.5, -1.5])
        assert (seen * (right * light[0] + up * light[1])).mean() > 0.1


def test_green_points_down_for_directx(normal_map):
    pixels = image.image_array(normals.normal_image("street.normal", normal_map, green_down=True))
    np.testing.assert_allclose(pixels[10, 10, :3], [0.8, 0.4, 0.5 + 0.5 * np.sqrt(0.6)], atol=1e-6)


def test_a_failed_job_leaves_the_material(normal_map):
    obj = board(Quaternion((1, 0, 0), 1))
    tree = obj.active_material.node_tree
    eye = matched.matched_camera(normal_map.camera, bpy.data.images.new("street", 4, 4))
    before = set(tree.nodes.keys()), len(tree.links)
    with pytest.raises(RuntimeError), transaction.transaction():
        normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map), camera_object=eye)
        raise RuntimeError
    assert (set(tree.nodes.keys()), len(tree.links)) == before


def test_a_material_without_a_lit_shader_is_refused(normal_map):
    obj = board()
    tree = obj.active_material.node_tree
    tree.nodes.clear()
    output, glow = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new("ShaderNodeEmission")
    tree.links.new(glow.outputs[0], output.inputs["Surface"])
    with pytest.raises(BadInput, match="has a Normal input"):
        normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))
