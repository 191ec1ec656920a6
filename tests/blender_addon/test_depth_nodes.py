# SPDX-License-Identifier: GPL-3.0-or-later
"""The live relief: Geometry Nodes that make the same mesh as the relief of the same depth, and stay adjustable."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.surfaces import live, meshes, relief
from maquette.blender_addon.core import axes, compat, jobs, transaction
from maquette.demo.samples import sample_photo
from maquette.inference.camera import Camera
from maquette.inference.results import DepthMap

pytestmark = pytest.mark.usefixtures("addon")


def cluttered(width: int, height: int, seed: int = 0) -> DepthMap:
    """A waving wall with noise, a floor that runs away, boxes before it, specks, and nothing at the top."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    depth = 3 + 0.3 * np.sin(columns / 20) + 0.2 * np.cos(rows / 13) + random.normal(0, 0.003, (height, width))
    depth[height // 2 :] = np.minimum(depth, 1.5 * width / (rows + 0.5 - 0.45 * height))[height // 2 :]
    for _ in range(8):
        top, left = random.integers(0, height - 8), random.integers(0, width - 8)
        high, wide = random.integers(2, height // 3), random.integers(2, width // 3)
        depth[top : top + high, left : left + wide] = random.uniform(1, 2.5)
    depth[: height // 8] = 0
    intrinsics = Camera(0.9 * width, 0.95 * width, 0.52 * width, 0.47 * height, width, height)
    depth = depth.astype(np.float32)
    return DepthMap(depth, depth > 0, None, intrinsics, True, np.zeros((1, 1, 3), np.uint8))


def depth_work(**build):
    """A work item of depth with these settings of what is built, and the others' defaults."""
    from maquette.blender_addon.tasks.depth.settings import BUILD
    from maquette.blender_addon.work.depth import DepthWork
    from maquette.blender_addon.work.item import Target
    from maquette.blender_addon.work.source import Source

    settings = SimpleNamespace(**{**BUILD.defaults(), **build})
    return DepthWork(task="depth", source=Source("street"), target=Target("Scene"), build=settings)


def live_of(depth_map: DepthMap, **options) -> bpy.types.Object:
    return live.live_relief(depth_map.camera, image.float_image("depth", depth_map.depth), name="live", **options)


def mesh_of(obj: bpy.types.Object) -> bpy.types.Mesh:
    return obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data


def turn(obj: bpy.types.Object, name: str, value) -> bpy.types.Mesh:
    """Set an input of the modifier, and see what becomes of the mesh."""
    modifier = obj.modifiers[0]
    identifier = compat.node_inputs(modifier)[name]
    if compat.MODIFIER_PROPERTIES:
        getattr(modifier.properties.inputs, identifier).value = value
    else:
        modifier[identifier] = value
    obj.update_tag()
    return mesh_of(obj)


def faces_by_pixel(mesh: bpy.types.Mesh, intrinsics: Camera) -> tuple[dict[int, np.ndarray], set[tuple[int, ...]]]:
    """Place of each pixel's vertex, and the faces as sets of pixels: the same however vertices are numbered."""
    points = meshes.positions(mesh)
    across = np.floor(intrinsics.fx * points[:, 0] / -points[:, 2] + intrinsics.cx).astype(int)
    down = np.floor(intrinsics.fy * points[:, 1] / points[:, 2] + intrinsics.cy).astype(int)
    pixels = down * intrinsics.width + across
    corners = np.empty(4 * len(mesh.polygons), np.int32)
    mesh.attributes[".corner_vert"].data.foreach_get("value", corners)
    faces = np.sort(pixels[corners].reshape(-1, 4), axis=1)
    return dict(zip(pixels.tolist(), points, strict=True)), set(map(tuple, faces.tolist()))


@pytest.mark.parametrize(
    ("size", "resolution", "limits"),
    [
        ((160, 120), None, {}),
        ((160, 120), 97, {"tear": 0.1, "grazing": 80.0}),
        ((117, 181), 90, {"tear": 0.02, "max_distance": 2.9}),
        ((160, 120), None, {"specks": 30, "grazing": 85.0}),
    ],
)
def test_it_is_the_relief_mesh_of_the_same_depth(size, resolution, limits) -> None:
    depth_map = cluttered(*size, seed=size[0])
    limits = {"tear": 0.04, "grazing": 87.0, **limits}
    made = mesh_of(live_of(depth_map, resolution=resolution, **limits))
    still = relief.relief_mesh(depth_map, name="still", resolution=resolution, **limits).data
    places, faces = faces_by_pixel(made, depth_map.camera)
    wanted, wanted_faces = faces_by_pixel(still, depth_map.camera)
    assert len(made.vertices) == len(places), "no vertex without a face, none twice"
    # A limit that is met to the last bit may fall either way.
    assert len(faces ^ wanted_faces) <= 0.001 * len(wanted_faces)
    common = sorted(set(places) & set(wanted))
    assert len(common) > 0.998 * len(wanted)
    np.testing.assert_allclose([places[key] for key in common], [wanted[key] for key in common], atol=2e-6)


def test_faces_look_at_the_camera_and_uvs_at_the_photo(photo, depth_map, world) -> None:
    eye = matched.matched_camera(photo.camera, image.photo_image(photo), world)
    made = mesh_of(live_of(depth_map, camera_object=eye, photo_image=image.photo_image(photo), resolution=40))
    assert min(polygon.normal.z for polygon in made.polygons) > 0
    uvs = np.empty(2 * len(made.loops), np.float32)
    made.uv_layers["UVMap"].uv.foreach_get("vector", uvs)
    corners = np.empty(len(made.loops), np.int32)
    made.attributes[".corner_vert"].data.foreach_get("value", corners)
    points = (meshes.positions(made) * [1, -1, -1])[corners]
    seen = points[:, :2] / points[:, 2:] * [photo.camera.fx, photo.camera.fy] + [photo.camera.cx, photo.camera.cy]
    np.testing.assert_allclose(uvs.reshape(-1, 2) * [160, -120] + [0, 120], seen, atol=1e-3)
    depth = np.empty(len(made.vertices), np.float32)
    made.attributes["depth"].data.foreach_get("value", depth)
    np.testing.assert_array_equal(depth, -meshes.positions(made)[:, 2])


def test_depth_scale_multiplies_about_the_camera(depth_map, photo, world, evaluated) -> None:
    eye = matched.matched_camera(photo.camera, image.photo_image(photo), world)
    obj = live_of(depth_map, camera_object=eye)
    before = evaluated(obj) - world[:3, 3]
    turn(obj, "Depth Scale", 2.5)
    np.testing.assert_allclose(evaluated(obj) - world[:3, 3], 2.5 * before, atol=1e-5)


def test_knobs_of_a_modifier(depth_map) -> None:
    """A board of 40 x 40 pixels at 2 m before a wall at 3 m, nothing in the top 20 rows."""
    obj = live_of(depth_map)
    cells = 99 * 159
    assert len(mesh_of(obj).polygons) == cells - 160
    assert len(turn(obj, "Max Distance", 2.5).polygons) == 39 * 39
    assert len(turn(obj, "Depth Scale", 1.5).polygons) == 0, "scaled, the board lies beyond the limit too"
    assert len(turn(obj, "Max Distance", 3.5).polygons) == 39 * 39
    turn(obj, "Depth Scale", 1.0)
    assert len(turn(obj, "Max Distance", 0.0).polygons) == cells - 160
    assert len(turn(obj, "Remove Specks", 39 * 39).polygons) == cells - 160
    assert len(turn(obj, "Remove Specks", 39 * 39 + 1).polygons) == cells - 41 * 41
    turn(obj, "Remove Specks", 0)
    turn(obj, "Grazing Angle", np.pi / 2)
    assert len(mesh_of(obj).polygons) == cells - 160
    assert len(turn(obj, "Tear", 0.6).polygons) == cells
    turn(obj, "Tear", 0.01)
    assert len(turn(obj, "Tear Edges", False).polygons) == cells
    assert len(turn(obj, "Resolution", 80).polygons) == 49 * 79


def test_smoothing_moves_points_along_their_rays_and_not_across_tears(depth_map) -> None:
    random = np.random.default_rng(0)
    noisy = depth_map.depth * random.normal(1, 0.004, depth_map.depth.shape).astype(np.float32)
    obj = live_of(replace(depth_map, depth=noisy), tear=0.1, grazing=90.0)
    rough = meshes.positions(mesh_of(obj)).copy()
    smooth = meshes.positions(turn(obj, "Smooth", 20))
    np.testing.assert_allclose(smooth[:, :2] / smooth[:, 2:], rough[:, :2] / rough[:, 2:], atol=1e-6)
    board = -rough[:, 2] < 2.4
    assert board.sum() == 40 * 40
    assert np.std(smooth[board, 2]) < 0.3 * np.std(rough[board, 2])
    assert abs(smooth[board, 2].mean() + 2) < 0.01, "the wall behind does not pull at the board"


def test_pixels_that_are_no_number_are_left_out() -> None:
    depth = np.full((40, 60), 2, np.float32)
    depth[:4], depth[4:8, :30], depth[-6:, :10] = np.nan, np.inf, -1
    intrinsics = Camera(60.0, 60.0, 30.0, 20.0, 60, 40)
    obj = live.live_relief(intrinsics, image.float_image("depth", depth), name="live")
    points = meshes.positions(mesh_of(obj))
    assert len(points) == (depth == 2).sum() and np.isfinite(points).all()


def test_another_depth_image_in_the_modifier(depth_map) -> None:
    """Whatever its size: the lens is kept as a share of the picture."""
    obj = live_of(depth_map, resolution=None)
    double = image.float_image("sharper", np.full((240, 320), 4, np.float32))
    points = meshes.positions(turn(obj, "Depth", double))
    assert len(points) == 160 * 120 and np.all(points[:, 2] == -4)
    np.testing.assert_allclose(np.ptp(points[:, 0]), 4 * (320 - 2) / 2 / 150, rtol=1e-5)


def test_it_is_shown_in_the_photos_colours(photo, depth_map, world, rendered) -> None:
    """Its own mesh is empty: the slot's material and the UV map have to reach what the modifier makes."""
    photo_image = image.photo_image(photo)
    eye = matched.matched_camera(photo.camera, photo_image, world, set_render_size=True)
    obj = live_of(depth_map, camera_object=eye, photo_image=photo_image, tear=None, grazing=90.0)
    shader = next(node for node in obj.active_material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    texture = next(node for node in obj.active_material.node_tree.nodes if node.type == "TEX_IMAGE")
    obj.active_material.node_tree.links.new(texture.outputs[0], shader.inputs["Emission Color"])
    shader.inputs["Emission Strength"].default_value = 1.0
    shader.inputs["Base Color"].default_value = (0, 0, 0, 1)
    shader.inputs["Specular IOR Level"].default_value = 0.0
    for link in list(shader.inputs["Base Color"].links):
        obj.active_material.node_tree.links.remove(link)
    seen = rendered(eye, 160, 120)
    wanted = np.where(photo.pixels <= 10, photo.pixels / 255 / 12.92, ((photo.pixels / 255 + 0.055) / 1.055) ** 2.4)
    assert np.abs(seen - wanted)[30:110, 10:150, :2].mean() < 0.01  # blue is too fine for a few samples
    assert not seen[:15].any(), "nothing where the depth is not valid"
    plain = bpy.data.materials.new("plain")
    obj.material_slots[0].material = plain
    assert np.abs(rendered(eye, 160, 120) - seen)[30:110].mean() > 0.05, "another material in the slot is used"


def test_applied_it_is_a_mesh_with_its_material(photo, depth_map) -> None:
    obj = live_of(depth_map, photo_image=image.photo_image(photo))
    material = obj.active_material
    seen = len(mesh_of(obj).vertices)
    with bpy.context.temp_override(object=obj, active_object=obj, selected_objects=[obj]):
        bpy.ops.object.modifier_apply(modifier=obj.modifiers[0].name)
    assert len(obj.data.vertices) == seen and obj.active_material == material and not obj.modifiers
    assert obj.data.uv_layers.active.name == "UVMap" and not obj.data.validate()


def test_saved_and_opened(depth_map, reopened, evaluated) -> None:
    live_of(depth_map)
    before = evaluated(bpy.data.objects["live"])
    reopened()
    np.testing.assert_array_equal(evaluated(bpy.data.objects["live"]), before)


def test_a_still_is_not_computed_again_with_every_frame(depth_map) -> None:
    """A million vertices a frame would make the timeline crawl for nothing."""
    kinds = {node.bl_idname for node in live_of(depth_map).modifiers[0].node_group.nodes}
    assert "GeometryNodeInputSceneTime" not in kinds


def test_heights_without_unit_lie_on_the_ground_without_what_has_no_alpha(evaluated, tmp_path) -> None:
    from maquette.blender_addon.work.scratch import Scratch

    heights = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    valid = np.ones((30, 40), bool)
    valid[:10, :10] = False
    intrinsics = Camera(40.0, 40.0, 20.0, 15.0, 40, 30)
    relief_map = DepthMap(np.where(valid, heights, 0), valid, None, intrinsics, False, np.zeros((1, 1, 3), np.uint8))
    name, channels = depth_work(output="LIVE").picture(relief_map, 0.0)
    scratch = Scratch(tmp_path)
    picture = image.float_image(name, scratch.write("depth.exr", channels), tmp_path)
    obj = live.live_grid(intrinsics, picture, name="brick", resolution=None, width=1.6, strength=0.2)
    seen = evaluated(obj)
    assert len(seen) == valid.sum()
    columns = np.floor((seen[:, 0] / 1.6 + 0.5) * 40).astype(int)
    rows = np.floor((0.5 - seen[:, 1] / 1.2) * 30).astype(int)
    np.testing.assert_allclose(seen[:, 2], 0.2 * heights[rows, columns], atol=1e-6)
    assert min(polygon.normal.z for polygon in mesh_of(obj).polygons) > 0
    doubled = meshes.positions(turn(obj, "Width", 3.2)).copy()
    np.testing.assert_allclose(doubled[:, :2], 2 * seen[:, :2], atol=1e-6)
    assert np.ptp(meshes.positions(turn(obj, "Smooth", 50))[:, 2]) < 0.7 * np.ptp(seen[:, 2])


def test_the_operator_builds_it_of_people_and_of_a_surface(evaluated) -> None:
    assert bpy.ops.maquette.estimate_depth(
        filepath=str(sample_photo("brick")), model="relief", output="LIVE", mesh_resolution=64, strength=0.3
    ) == {"FINISHED"}
    assert "Live Relief" in jobs.outcome().line
    seen = evaluated(bpy.data.objects["brick.live"])
    assert len(seen) == 64 * 64 and 0.25 < np.ptp(seen[:, 2]) < 0.3001
    options = {"filepath": str(sample_photo("astronaut")), "mesh_resolution": 200, "max_distance": 1e4}
    for output in ("LIVE", "RELIEF"):
        bpy.ops.maquette.estimate_depth(output=output, **options)
    made, still = bpy.data.objects["astronaut.live"], bpy.data.objects["astronaut.relief"]
    assert made.parent == still.parent == bpy.context.scene.camera
    assert made.active_material.users and len(still.data.polygons) > 1000
    assert abs(len(mesh_of(made).polygons) - len(still.data.polygons)) <= 0.002 * len(still.data.polygons)
    np.testing.assert_array_equal(np.array(made.matrix_world), np.array(still.matrix_world))
    before = np.ptp(evaluated(made), axis=0)
    bpy.ops.maquette.calibrate_distance(
        known="DISTANCE", points="PIXELS", pixel_a=(200, 200), pixel_b=(300, 300), distance=2.0
    )
    grown = np.ptp(evaluated(made), axis=0)
    np.testing.assert_allclose(grown, np.ptp(evaluated(still), axis=0), rtol=1e-3)
    assert np.all(grown > 2 * before), "the two points were some 25 cm apart"


def test_a_build_that_fails_leaves_nothing(depth_map, photo, blocks, monkeypatch) -> None:
    depth_image, photo_image = image.float_image("depth", depth_map.depth), image.photo_image(photo)
    before = blocks()
    monkeypatch.setattr(live.Graph, "finish", lambda graph: 1 / 0)
    with pytest.raises(ZeroDivisionError), transaction.transaction():
        live.live_relief(depth_map.camera, depth_image, name="live", photo_image=photo_image)
    assert blocks() == before


def test_without_a_camera_it_stands_where_the_default_camera_sees_it(depth_map) -> None:
    obj = live_of(depth_map)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(np.array(obj.matrix_world), axes.camera_matrix(None), atol=1e-6)


def test_a_distance_counts_in_the_metres_of_a_photo_that_was_rescaled(depth_map, photo, monkeypatch, tmp_path) -> None:
    """By the model the board stands at 2 m and the wall at 3 m; a known length made that 4 m and 6 m."""
    from maquette import inference
    from maquette.blender_addon.work.source import Source

    monkeypatch.setattr(inference, "estimate_depth", lambda *given, **options: depth_map)
    monkeypatch.setattr(Source, "photo", lambda source: photo)
    for output, sizes in (("RELIEF", 40 * 40), ("GRID", 40 * 40)):
        item = depth_work(output=output, mesh_resolution=160, grazing=np.radians(87), max_distance=5.0, specks=0)
        item = replace(item, directory=str(tmp_path), scales={photo.digest: 2.0})
        surface, edges = item.run(lambda *told: None).result.surface
        assert len(surface.vertices) == sizes and len(edges.vertices) == 2 * 40 * 39
