# SPDX-License-Identifier: GPL-3.0-or-later
"""Normal maps shade the way the normals say, in tangent and in camera space."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders import camera, image, materials, meshes, normals, transaction
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


def test_an_own_normal_stays_connected(normal_map):
    obj = board()
    tree = obj.active_material.node_tree
    shader = tree.nodes["Principled BSDF"]
    bump = tree.nodes.new("ShaderNodeBump")
    tree.links.new(bump.outputs[0], shader.inputs["Normal"])
    before = set(tree.nodes.keys())
    made = normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))
    assert before < set(tree.nodes.keys())
    total = shader.inputs["Normal"].links[0].from_node
    assert {socket.links[0].from_node.name for socket in total.inputs if socket.is_linked} == {bump.name, made.name}


def test_a_failed_job_leaves_the_material(normal_map):
    obj = board(Quaternion((1, 0, 0), 1))
    tree = obj.active_material.node_tree
    eye = camera.matched_camera(normal_map.camera, bpy.data.images.new("street", 4, 4))
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
    with pytest.raises(BadInput, match="no shader that takes a normal"):
        normals.add_normal_map(obj, normals.normal_image("street.normal", normal_map))
