# SPDX-License-Identifier: GPL-3.0-or-later
"""Displacement in metres: what Blender evaluates and renders is what the depth map says."""

from __future__ import annotations

from dataclasses import replace

import bpy
import maquette
import numpy as np
import pytest
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.materials import materials
from maquette.blender_addon.builders.surfaces import displacement
from maquette.blender_addon.core import axes, compat, jobs, transaction
from maquette.blender_addon.work.depth import DepthWork, Heights
from maquette.demo.samples import sample_photo
from maquette.inference.errors import BadInput, NothingFound


@pytest.fixture
def photo_camera(photo, world):
    return matched.matched_camera(photo.camera, image.photo_image(photo), world)


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


def test_a_displacement_method_that_is_chosen_stays():
    heights = image.float_image("brick.relief", np.ones((4, 4), np.float32))
    for chosen, fine, wanted in (
        ("DISPLACEMENT", False, "DISPLACEMENT"),
        ("BOTH", True, "BOTH"),
        ("BUMP", True, "DISPLACEMENT"),
    ):
        material = material_of_artist()
        material.displacement_method = chosen
        displacement.displace_material(material, heights, fine=fine)
        assert material.displacement_method == wanted


def test_a_grid_ends_at_a_distance(depth_map, photo_camera, evaluated):
    depth_image = image.float_image("street.depth", depth_map.depth)
    for method in displacement.METHODS:
        made = displacement.displaced_grid(
            depth_map, depth_image, name=method, camera_object=photo_camera, method=method, max_distance=2.5
        )
        assert len(evaluated(made)) == 40 * 40
        assert np.ptp(evaluated(made) @ np.array(photo_camera.matrix_world)[:3, 2]) < 1e-5


def test_failed_material_displacement_leaves_the_material():
    material = material_of_artist()
    nodes, method = set(material.node_tree.nodes.keys()), material.displacement_method
    heights = image.float_image("brick.relief", np.ones((4, 4), np.float32))
    with pytest.raises(RuntimeError), transaction.transaction():
        displacement.displace_material(material, heights)
        raise RuntimeError
    assert set(material.node_tree.nodes.keys()) == nodes and material.displacement_method == method


def plane_with(*modifiers: str) -> bpy.types.Object:
    bpy.ops.mesh.primitive_plane_add(size=2)
    for kind in modifiers:
        bpy.context.object.modifiers.new(kind, kind)
    return bpy.context.object


def is_adaptive(obj: bpy.types.Object, modifier: bpy.types.Modifier) -> bool:
    if compat.ADAPTIVE_MODIFIER:
        return modifier.use_adaptive_subdivision and modifier.adaptive_space == "PIXEL"
    return obj.cycles.use_adaptive_subdivision and bpy.context.scene.cycles.feature_set == "EXPERIMENTAL"


def test_a_subdivision_that_is_last_is_made_adaptive():
    obj = plane_with("BEVEL", "SUBSURF")
    obj.modifiers[1].levels = 3
    displacement.adaptive_subdivision(obj, pixels=2)
    assert [one.type for one in obj.modifiers] == ["BEVEL", "SUBSURF"] and is_adaptive(obj, obj.modifiers[1])
    assert (obj.modifiers[1].levels, obj.modifiers[1].subdivision_type) == (3, "CATMULL_CLARK"), "the artist's"
    displacement.adaptive_subdivision(obj, pixels=3)
    assert len(obj.modifiers) == 2
    pixels = obj.modifiers[1].adaptive_pixel_size if compat.ADAPTIVE_MODIFIER else obj.cycles.dicing_rate
    assert pixels == 3


@pytest.mark.parametrize("modifiers", [("SUBSURF", "SOLIDIFY"), ("MULTIRES",), ("SUBSURF",)])
def test_otherwise_one_is_added_last_and_the_others_stay(modifiers):
    obj = plane_with(*modifiers)
    obj.shape_key_add(name="Basis")
    obj.modifiers[0].show_render = modifiers != ("SUBSURF",)  # one that is off in renders is left off
    displacement.adaptive_subdivision(obj)
    assert [one.type for one in obj.modifiers] == [*modifiers, "SUBSURF"] and is_adaptive(obj, obj.modifiers[-1])
    assert obj.modifiers[-1].subdivision_type == "SIMPLE" and obj.data.shape_keys
    assert obj.modifiers[0].show_render == (modifiers != ("SUBSURF",))
    if compat.ADAPTIVE_MODIFIER and modifiers[0] == "SUBSURF":
        assert not obj.modifiers[0].use_adaptive_subdivision


def test_failed_adaptive_subdivision_leaves_object_and_scene():
    for modifiers in ((), ("SUBSURF",)):
        obj = plane_with(*modifiers)
        with pytest.raises(RuntimeError), transaction.transaction():
            displacement.adaptive_subdivision(obj)
            raise RuntimeError
        assert [one.type for one in obj.modifiers] == list(modifiers)
        if compat.ADAPTIVE_MODIFIER:
            assert not any(one.use_adaptive_subdivision for one in obj.modifiers)
        else:
            assert bpy.context.scene.cycles.feature_set == "SUPPORTED" and not obj.cycles.use_adaptive_subdivision


def test_adaptive_subdivision_of_a_linked_object_is_refused(tmp_path, monkeypatch):
    plane_with().name = "theirs"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        wanted.objects = ["theirs"]
    theirs = bpy.data.objects["theirs"]
    with pytest.raises(BadInput, match="linked from another file"):
        displacement.adaptive_subdivision(theirs)
    bpy.context.scene.collection.objects.link(theirs)
    bpy.context.view_layer.objects.active = theirs
    started = []
    monkeypatch.setattr(DepthWork, "run", lambda *given: started.append(given))
    maquette.register()
    try:
        with pytest.raises(RuntimeError, match="linked from another file"):
            bpy.ops.maquette.estimate_depth(
                filepath=str(sample_photo("brick")), model="relief", output="MATERIAL", adaptive=True
            )
    finally:
        maquette.unregister()
    assert not started, "said before the work"


def test_metres_stand_out_of_a_wall_by_how_much_nearer_they_are(depth_map):
    """A displacement pushes towards the viewer, where near things belong; what is unknown or beyond is the wall."""
    heights = Heights()(depth_map)
    farthest = depth_map.depth.max()
    np.testing.assert_allclose(heights[20:], farthest - depth_map.depth[20:], atol=1e-6)
    assert not heights[:20].any() and heights.min() == 0
    near = Heights(2.5)(depth_map)
    assert np.all(near[40:80, 50:90] == 0.5) and near.sum() == 0.5 * 40 * 40
    follow = Heights()
    follow(depth_map)
    np.testing.assert_allclose(follow(replace(depth_map, depth=depth_map.depth / 2))[40, 50], farthest - 1)


def test_the_operator_subdivides_the_displaced_object_adaptively(evaluated):
    maquette.register()
    try:
        obj = plane_with()
        bpy.ops.maquette.estimate_depth(
            filepath=str(sample_photo("brick")), model="relief", output="MATERIAL", adaptive=True, dicing=4
        )
        assert is_adaptive(obj, obj.modifiers[0])
        assert obj.active_material.displacement_method == "DISPLACEMENT"
        line = jobs.outcome().line
        assert "which displaces now" in line and "4 px" in line
        assert ("experimental" in line) != compat.ADAPTIVE_MODIFIER
    finally:
        maquette.unregister()


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
    displacement.displace_material(material, picture, scale=0.5, fine=adaptive)
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
