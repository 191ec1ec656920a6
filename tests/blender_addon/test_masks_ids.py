# SPDX-License-Identifier: GPL-3.0-or-later
"""ID maps tell hands apart, by eye and in the compositor."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.images import idmap, image


@pytest.fixture
def ids() -> np.ndarray:
    numbers = np.zeros((30, 40), np.int32)
    numbers[5:15, 5:15], numbers[10:20, 20:30] = 1, 2
    return numbers


def test_values_are_the_numbers_and_colours_are_flat(ids, reopened):
    idmap.id_images(ids, name="street.hands.id")
    reopened()
    exact, picture = bpy.data.images["street.hands.id"], bpy.data.images["street.hands.id.colour"]
    assert exact.is_float and exact.colorspace_settings.name == "Non-Color"
    np.testing.assert_array_equal(image.image_array(exact)[..., 0], ids)
    shown = np.rint(image.image_array(picture)[..., :3] * 255).astype(int)
    colours = {number: np.unique(shown[ids == number], axis=0) for number in (0, 1, 2)}
    assert all(len(colour) == 1 for colour in colours.values())
    assert not colours[0].any() and np.abs(colours[1] - colours[2]).max() > 100


def test_a_number_keeps_its_colour_and_neighbours_differ():
    few, many = idmap.palette(3), idmap.palette(40)
    np.testing.assert_array_equal(many[:4], few)
    assert len(np.unique(np.rint(many * 255), axis=0)) == 41
    assert (np.abs(np.diff(many, axis=0)).max(axis=1) > 0.3).all()


def test_the_compositor_picks_a_hand_by_its_number(ids, tmp_path):
    exact, _ = idmap.id_images(ids, name="street.hands.id")
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 40, 30, 100
    scene.view_settings.view_transform = "Raw"
    if bpy.app.version < (5, 0, 0):
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    else:
        tree = scene.compositing_node_group = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        output = tree.nodes.new("NodeGroupOutput")
    source, picked = tree.nodes.new("CompositorNodeImage"), tree.nodes.new("CompositorNodeIDMask")
    source.image = exact
    if hasattr(picked, "index"):
        picked.index = 2
    else:
        picked.inputs["Index"].default_value = 2
    tree.links.new(source.outputs["Image"], picked.inputs[0])
    tree.links.new(picked.outputs[0], output.inputs[0])
    scene.render.image_settings.file_format, scene.render.filepath = "OPEN_EXR", str(tmp_path / "picked.exr")
    bpy.ops.render.render(write_still=True)
    shown = image.image_array(bpy.data.images.load(scene.render.filepath))[..., 0]
    np.testing.assert_array_equal(shown > 0.5, ids == 2)
