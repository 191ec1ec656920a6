# SPDX-License-Identifier: GPL-3.0-or-later
"""Displacement in metres: what Blender evaluates and renders is what the depth map says."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders import axes, camera, displacement, image, materials, transaction
from maquette.inference.errors import BadInput, NothingFound


@pytest.fixture
def photo_camera(photo, world):
    return camera.matched_camera(photo.camera, image.photo_image(photo), world)


def test_nodes_push_along_the_rays(depth_map, photo_camera, world, evaluated, reopened, tmp_path):
    depth_image = image.float_image("street.depth", depth_map.depth, tmp_path)
    displacement.displaced_grid(depth_map, depth_image, name="street.grid", camera_object=photo_camera, method="NODES")
    truth = axes.transform(world, depth_map.camera.unproject(depth_map.depth)[20:].reshape(-1, 3))
    for _ in range(2):
        seen = evaluated(bpy.data.objects["street.grid"])
        # Blender numbers a grid's points column by column, from the bottom.
        np.testing.assert_allclose(seen.reshape(160, 100, 3)[:, ::-1].swapaxes(0, 1).reshape(-1, 3), truth, atol=1e-5)
        reopened()


def test_modifier_pushes_metres_along_the_view(depth_map, photo_camera, world, evaluated, reopened):
    depth_image = image.float_image("street.depth", depth_map.depth)
    made = displacement.displaced_grid(depth_map, depth_image, name="street.grid", camera_object=photo_camera)
    modifier = made.modifiers[0]
    assert modifier.type == "DISPLACE" and modifier.strength == 1 and modifier.mid_level == 0
    reopened()
    seen = axes.transform(np.linalg.inv(world), evaluated(bpy.data.objects["street.grid"])).reshape(100, 160, 3)
    np.testing.assert_allclose(seen[..., 2], depth_map.depth[20:], atol=1e-5)
    # The frame is the view's at the median depth.
    median = np.median(depth_map.depth[depth_map.valid])
    np.testing.assert_allclose(depth_map.camera.fx * np.ptp(seen[0, :, 0]) / median, 159, rtol=1e-5)


def test_surface_relief_lies_on_the_ground(depth_map, evaluated):
    heights = np.random.default_rng(0).random((120, 160)).astype(np.float32)
    relief = replace(depth_map, depth=heights, valid=np.ones_like(depth_map.valid), metric=False)
    made = displacement.displaced_grid(
        relief, image.float_image("brick.relief", heights), name="brick", width=1.6, strength=0.1
    )
    seen = evaluated(made).reshape(120, 160, 3)
    np.testing.assert_allclose(seen[..., 2], heights * 0.1, atol=1e-6)
    assert seen[0, 0, 0] < seen[0, -1, 0] and seen[0, 0, 1] > seen[-1, 0, 1]
    np.testing.assert_allclose(np.ptp(seen[..., :2].reshape(-1, 2), axis=0), [1.59, 1.19], atol=1e-5)
    assert min(polygon.normal.z for polygon in made.data.polygons) > 0


def test_bad_requests_leave_nothing(depth_map, blocks):
    depth_image = image.float_image("street.depth", depth_map.depth)
    before = blocks()
    with pytest.raises(BadInput, match="BULGE"), transaction.transaction():
        displacement.displaced_grid(depth_map, depth_image, name="grid", method="BULGE")
    with pytest.raises(NothingFound), transaction.transaction():
        empty = replace(depth_map, valid=np.zeros_like(depth_map.valid))
        displacement.displaced_grid(empty, depth_image, name="grid")
    assert blocks() == before


def material_of_artist():
    material = bpy.data.materials.new("the artist's")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    return material


def test_material_displacement_adds_to_what_is_there():
    material = material_of_artist()
    tree = material.node_tree
    own = tree.nodes.new("ShaderNodeVectorDisplacement")
    tree.links.new(own.outputs[0], tree.nodes["Material Output"].inputs["Displacement"])
    before = set(tree.nodes.keys())
    heights = image.float_image("brick.relief", np.ones((4, 4), np.float32))
    made = displacement.displace_material(material, heights, scale=0.2)
    assert before < set(tree.nodes.keys())
    total = tree.nodes["Material Output"].inputs["Displacement"].links[0].from_node
    assert {socket.links[0].from_node.name for socket in total.inputs if socket.is_linked} == {own.name, made.name}
    assert material.displacement_method == "BOTH"


def test_failed_material_displacement_leaves_the_material():
    material = material_of_artist()
    nodes, method = set(material.node_tree.nodes.keys()), material.displacement_method
    heights = image.float_image("brick.relief", np.ones((4, 4), np.float32))
    with pytest.raises(RuntimeError), transaction.transaction():
        displacement.displace_material(material, heights)
        raise RuntimeError
    assert set(material.node_tree.nodes.keys()) == nodes and material.displacement_method == method


@pytest.mark.parametrize("adaptive", [False, True])
def test_cycles_displaces_by_the_height_in_metres(adaptive, depth_map, rendered):
    """A step of 0.5 m, seen from the side: the picture shows how high it stands."""
    heights = np.zeros((40, 40), np.float32)
    heights[:20] = 1
    flat = replace(depth_map, depth=heights, valid=np.ones((40, 40), bool), metric=False)
    picture = image.float_image("step", heights)
    made = displacement.displaced_grid(flat, picture, name="step", width=2, strength=0, resolution=40)
    made.modifiers.clear()
    material = materials.active_material(made)
    displacement.displace_material(material, picture, scale=0.5)
    if adaptive:
        displacement.adaptive_subdivision(made, pixels=4)
    data = bpy.data.cameras.new("side")
    data.type, data.ortho_scale = "ORTHO", 2
    side = bpy.data.objects.new("side", data)
    side.location, side.rotation_euler = (0, -4, 0), (np.pi / 2, 0, 0)
    bpy.context.scene.collection.objects.link(side)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.rotation_euler.x = np.pi / 2 - 0.6
    bpy.context.scene.collection.objects.link(sun)
    lit = rendered(side, 40, 40).sum(axis=2) > 0.01
    tops = [int(np.argmax(column)) if column.any() else -1 for column in lit[:, 2:38].T]
    # 20 pixels a metre, the ground at the middle row: the step's edge is 10 rows above it.
    assert all(abs(top - 10) <= 1 for top in tops), tops
    assert not lit[21:].any()
