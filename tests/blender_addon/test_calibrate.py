# SPDX-License-Identifier: GPL-3.0-or-later
"""A known length rescales everything of one photo together, and all of it still lies on the photo."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from maquette.blender_addon.builders.camera import measure
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.surfaces import meshes
from maquette.blender_addon.core import jobs, photo_links, roles
from maquette.demo.samples import sample_photo
from maquette.inference.photo.exr import read_exr
from mathutils import Vector
from PIL import Image, ImageChops

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="module")
def zidane() -> str:
    return str(sample_photo("zidane"))


@pytest.fixture
def built(zidane):
    """A function: builds of the photo -> its matched camera."""

    def build(*what, **options):
        for name in what:
            getattr(bpy.ops.maquette, name)(filepath=zidane, **options.get(name, {}))
        return bpy.context.scene.camera

    return build


def calibrated(**options) -> str:
    assert bpy.ops.maquette.calibrate_distance(**options) == {"FINISHED"}
    return jobs.outcome().line


def seen(camera, evaluated, frame=None):
    """Object name -> pixels (V, 2) of what it shows, and places (V, 3), of everything of the camera's photo."""
    scene, found = bpy.context.scene, {}
    for obj in photo_links.all_of(camera):
        if obj.type == "MESH":
            places = evaluated(obj, frame)[::37]
            views = [world_to_camera_view(scene, camera, Vector(place)) for place in places]
            pixels = np.array([(view.x * 1280, (1 - view.y) * 720) for view in views])
            found[obj.name] = pixels, places
    return found


def grown(before, after):
    """By how much everything grew, the same everywhere; its pixels must not have moved."""
    assert before.keys() == after.keys() and before
    ratios = []
    for name, (pixels, places) in before.items():
        np.testing.assert_allclose(after[name][0], pixels, atol=0.1, err_msg=name)
        ratios.append(np.ptp(after[name][1], axis=0).max() / np.ptp(places, axis=0).max())
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)
    return ratios[0]


def empties(*places):
    bpy.ops.object.select_all(action="DESELECT")
    for place in places:
        empty = bpy.data.objects.new("point", None)
        bpy.context.scene.collection.objects.link(empty)
        empty.location = place
        empty.select_set(True)
    bpy.context.view_layer.update()
    return list(bpy.context.selected_objects)


ALL = ("estimate_depth", "recover_people", "refine_hands")


@pytest.mark.parametrize("keep", ["FLOOR", "CAMERA"])
def test_depth_people_and_hands_grow_together_and_stay_on_the_photo(built, evaluated, keep):
    camera = built(*ALL)
    depth = image.image_array(bpy.data.images["zidane.depth"])[..., 0].copy()
    before, stood = seen(camera, evaluated), camera.matrix_world.translation.copy()
    floor = min(places[:, 2].min() for name, (_, places) in before.items() if ".body" in name)
    a, b = empties((0.1, 2.0, 0.4), (0.3, 2.2, 1.1))
    near, far = camera.data.clip_start, camera.data.clip_end
    line = calibrated(distance=2.0, keep=keep)
    assert "2 now, and was 0.755" in line
    ratio = grown(before, seen(camera, evaluated))
    assert ratio == pytest.approx(2.0 / 0.57**0.5, rel=1e-3)
    assert (a.location - b.location).length == pytest.approx(2.0, rel=1e-3), "measured again it is right"
    place = camera.matrix_world.translation
    now = min(places[:, 2].min() for name, (_, places) in seen(camera, evaluated).items() if ".body" in name)
    if keep == "FLOOR":
        assert tuple(place) == pytest.approx((stood.x, stood.y, stood.z * ratio), rel=1e-5)
        assert now == pytest.approx(floor * ratio, rel=1e-3, abs=1e-4), "who stood on the floor stands on it"
    else:
        assert tuple(place) == pytest.approx(tuple(stood), abs=1e-6)
    scaled = image.image_array(bpy.data.images["zidane.depth"])[..., 0]
    np.testing.assert_allclose(scaled, depth * ratio, rtol=1e-4)
    assert camera[roles.SCALE] == pytest.approx(ratio, rel=1e-4)
    assert camera.data.clip_start == near and camera.data.clip_end == pytest.approx(far * ratio, rel=1e-4)


def test_calibrating_again_starts_from_what_is_there(built, evaluated):
    camera = built("estimate_depth")
    before = seen(camera, evaluated)
    empties((0, 2, 0), (0, 3, 0))
    calibrated(distance=2.0)
    assert "is 3 now, and was 2" in calibrated(distance=3.0)
    assert grown(before, seen(camera, evaluated)) == pytest.approx(3.0, rel=1e-4)


def test_what_is_built_later_has_the_scale(built, evaluated):
    camera = built("estimate_depth")
    empties((0, 2, 0), (0, 3, 0))
    calibrated(distance=1.7)
    built("recover_people", "refine_hands", "estimate_depth", estimate_depth={"output": "GRID", "grid_method": "NODES"})
    after = seen(camera, evaluated)
    first, second = (image.image_array(bpy.data.images[name])[..., 0] for name in ("zidane.depth", "zidane.depth.001"))
    np.testing.assert_allclose(first, second, rtol=1e-5)
    body = next(places for name, (_, places) in after.items() if name.endswith(".body"))
    relief, grid = after["zidane.relief"][1], after["zidane.grid"][1]
    assert np.ptp(body[:, 2]) > 1.2 * 1.7, "people are as large as the depth"
    assert np.ptp(relief, axis=0).max() == pytest.approx(np.ptp(grid, axis=0).max(), rel=0.05)
    # The other way round everything is the same.
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    camera = built("recover_people", "estimate_depth")
    empties((0, 2, 0), (0, 3, 0))
    calibrated(distance=1.7)
    other = seen(camera, evaluated)
    for name in ("zidane.relief", next(name for name in other if name.endswith(".body"))):
        np.testing.assert_allclose(np.ptp(other[name][1], axis=0), np.ptp(after[name][1], axis=0), rtol=1e-3)


def test_hands_are_placed_by_a_rescaled_depth_image_as_before(built, evaluated):
    by_depth = {"scene_depth": "zidane.depth", "masks": "NONE"}
    camera = built("estimate_depth", "refine_hands", refine_hands=by_depth)
    calibrated(known="CAMERA", distance=3.0)
    built("refine_hands", refine_hands=by_depth)
    hands = [obj for obj in photo_links.all_of(camera) if ".hand." in obj.name]
    first = [obj for obj in hands if not obj.name[-1].isdigit()]
    second = [bpy.data.objects[f"{obj.name}.001"] for obj in first]
    assert first and len(hands) == 2 * len(first)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(evaluated(other), evaluated(one), atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"output": "LIVE"},
        {"output": "GRID", "grid_method": "NODES"},
        {"output": "GRID", "grid_method": "DISPLACE"},
    ],
    ids=["live", "nodes", "displace"],
)
def test_what_a_depth_image_displaces_grows_as_the_rest(built, evaluated, options):
    camera = built("estimate_depth", "recover_people", estimate_depth={**options, "mesh_resolution": 128})
    before = seen(camera, evaluated)
    calibrated(known="CAMERA", distance=4.0)
    first = grown(before, seen(camera, evaluated))
    later = built("estimate_depth", estimate_depth={**options, "mesh_resolution": 128})
    assert later == camera
    (surface, again) = (obj for obj in photo_links.all_of(camera) if obj.parent == camera)
    np.testing.assert_allclose(evaluated(again), evaluated(surface), atol=1e-4 * first)
    before = seen(camera, evaluated)
    calibrated(known="CAMERA", distance=1.0)
    assert grown(before, seen(camera, evaluated)) == pytest.approx(0.25, rel=1e-4)
    # Left as they are, the images keep what they say, and the objects their size.
    before = seen(camera, evaluated)
    depth = image.image_array(bpy.data.images["zidane.depth"]).copy()
    calibrated(known="CAMERA", distance=2.0, rewrite=False)
    grown(before, seen(camera, evaluated))
    np.testing.assert_array_equal(image.image_array(bpy.data.images["zidane.depth"]), depth)
    before = seen(camera, evaluated)
    calibrated(known="CAMERA", distance=3.0)
    grown(before, seen(camera, evaluated))
    np.testing.assert_allclose(image.image_array(bpy.data.images["zidane.depth"])[..., 0], 3 * depth[..., 0], rtol=1e-4)


def test_a_whole_clip(evaluated, tmp_path, zidane):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    with Image.open(zidane) as photo:
        half = photo.resize((640, 360)).crop((320, 0, 640, 360))  # one of the two
    for number in (1, 2):
        ImageChops.offset(half, 4 * number, 0).save(tmp_path / f"shot_{number:03d}.png")
    clip = str(tmp_path / "shot_###.png")
    bpy.ops.maquette.estimate_depth(filepath=clip, frames="CLIP", mesh_resolution=64)
    bpy.ops.maquette.recover_people(filepath=clip, hands="none")
    bpy.ops.maquette.estimate_depth(filepath=clip, frame=2, mesh_resolution=64)
    camera = bpy.context.scene.camera
    assert len([obj for obj in bpy.data.objects if obj.type == "CAMERA"]) == 1, "one camera for all frames of a clip"
    before = {frame: seen(camera, evaluated, frame) for frame in (1, 2)}
    assert len(before[1]) >= 3
    depth = bpy.data.images["shot.depth"]
    files = [str(file) for file in image.sequence_files(depth)]
    calibrated(known="CAMERA", distance=5.0)
    ratio = grown(before[1], seen(camera, evaluated, 1))
    grown(before[2], seen(camera, evaluated, 2))
    depth = bpy.data.images["shot.depth"]
    assert depth.source == "SEQUENCE" and depth[image.LENGTH] == 2
    for old, new in zip(files, image.sequence_files(depth), strict=True):
        old, new = (read_exr(Path(file).read_bytes()) for file in (old, new))
        for channel in old:
            np.testing.assert_allclose(new[channel], old[channel] * ratio, rtol=1e-4)
    # A new depth of the whole clip has the scale too.
    bpy.ops.maquette.estimate_depth(filepath=clip, frames="CLIP", mesh_resolution=64)
    first, second = (obj for obj in bpy.data.objects if obj.name.startswith("shot.relief") and obj.parent == camera
                     and obj.modifiers)  # fmt: skip
    np.testing.assert_allclose(evaluated(second, 2), evaluated(first, 2), atol=1e-4 * ratio)


def test_keys_of_a_moving_camera_and_rig_go_along(built, evaluated):
    camera = built("recover_people")
    rig = next(obj for obj in bpy.data.objects if obj.type == "ARMATURE")
    for obj in (camera, rig):
        for frame in (1, 20):
            obj.location.z += 0.1 * frame
            obj.keyframe_insert("location", frame=frame)
            obj.keyframe_insert("scale", frame=frame)
    before = {frame: seen(camera, evaluated, frame) for frame in (1, 11, 20)}
    bpy.context.scene.frame_set(1)
    calibrated(distance=camera.matrix_world.translation.z * 1.5, known="CAMERA")
    for frame, was in before.items():
        assert grown(was, seen(camera, evaluated, frame)) == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize("bodies", ["ARMATURE", "VERTEX_CACHE", "SHAPE_KEYS"])
def test_a_persons_height(built, evaluated, bodies):
    camera = built("recover_people", recover_people={"bodies": bodies})
    people = [obj for obj in photo_links.all_of(camera) if roles.HEIGHT in obj and obj.type == "MESH"]
    before = seen(camera, evaluated)
    bpy.ops.object.select_all(action="DESELECT")
    if len(people) > 1:
        with pytest.raises(RuntimeError, match="No person is selected"):
            calibrated(known="PERSON", distance=1.9)
    chosen = people[0]
    (chosen.parent or chosen).select_set(True)
    calibrated(known="PERSON", distance=1.9)
    grown(before, seen(camera, evaluated))
    assert "was 1.9" in calibrated(known="PERSON", distance=1.9)
    if bodies == "ARMATURE":
        rest = meshes.positions(chosen.data)
        tall = np.ptp(rest[:, 2]) * chosen.matrix_world.to_scale().z
        assert tall == pytest.approx(1.9, rel=1e-3)
        chosen.data.shape_keys.key_blocks["height"].value = 0.5
        assert "was 1.9 " not in calibrated(known="PERSON", distance=1.9), "its sliders count"


def test_the_cameras_height(built, evaluated):
    camera = built("recover_people")
    before = seen(camera, evaluated)
    calibrated(known="CAMERA", distance=2.5, keep="CAMERA")
    assert camera.matrix_world.translation.z == pytest.approx(2.5)
    grown(before, seen(camera, evaluated))


def test_pixels_of_the_photo_and_typed_points(built):
    camera = built("estimate_depth")
    relief = bpy.data.objects["zidane.relief"]
    middles = [relief.matrix_world @ relief.data.polygons[index].center for index in (2000, 100000)]
    pair = dict(zip(("pixel_a", "pixel_b"), (measure.pixel_of(camera, middle) for middle in middles), strict=True))
    for pixel in pair.values():
        point = measure.pixel_point(camera, pixel)
        assert measure.pixel_of(camera, point) == pytest.approx(pixel, abs=0.01)
        eye = camera.matrix_world.translation
        assert (measure.surface_point(camera, eye, point - eye) - point).length < 1e-4
        assert measure.surface_point(camera, eye, eye - point) is None
        assert measure.pixel_of(camera, 2 * eye - point) is None
    line = calibrated(points="PIXELS", **pair, distance=0.5)
    again = calibrated(points="PIXELS", **pair, distance=0.5)
    assert again.endswith("was 0.5") and not line.endswith("was 0.5")
    # Without a surface the depth image tells the same.
    for obj in photo_links.all_of(camera):
        obj.hide_set(True)
    assert "was 0.5" in calibrated(points="PIXELS", **pair, distance=0.5)
    settings = bpy.context.scene.maquette.calibrate
    settings.point_a, settings.point_b = (0, 2, 0), (0, 3, 0)
    calibrated(points="POINTS", point_a=(0, 2, 0), point_b=(0, 3, 0), distance=2)
    assert tuple(settings.point_b - settings.point_a) == pytest.approx((0, 2, 0), abs=1e-5)


def test_selected_vertices_and_the_cursor(built, evaluated):
    built("estimate_depth")
    relief = bpy.data.objects["zidane.relief"]
    bpy.context.view_layer.objects.active = relief
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    bpy.ops.object.mode_set(mode="OBJECT")
    last = len(relief.data.vertices) - 1
    for index in (10, last):
        relief.data.vertices[index].select = True
    bpy.ops.object.mode_set(mode="EDIT")
    calibrated(distance=3.25)
    assert bpy.context.mode == "OBJECT"
    places = evaluated(relief)
    assert np.linalg.norm(places[10] - places[last]) == pytest.approx(3.25, rel=1e-3)
    (marker,) = empties((1, 1, 1))
    bpy.context.scene.cursor.location = 1, 1, 2
    calibrated(distance=5)
    assert (bpy.context.scene.cursor.location - marker.location).length == pytest.approx(5, rel=1e-5)


def test_one_undo_step_takes_it_back(built, evaluated, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    camera = built("estimate_depth", "recover_people")
    depth = image.image_array(bpy.data.images["zidane.depth"]).copy()
    before = {name: places for name, (_, places) in seen(camera, evaluated).items()}
    calibrated(known="CAMERA", distance=4.0)
    assert np.abs(image.image_array(bpy.data.images["zidane.depth"]) - depth).max() > 0.1
    bpy.ops.ed.undo()
    camera = bpy.context.scene.camera
    assert roles.SCALE not in camera and "zidane.depth.before" not in bpy.data.images
    for name, (_, places) in seen(camera, evaluated).items():
        np.testing.assert_allclose(places, before[name], atol=1e-5)
    np.testing.assert_array_equal(image.image_array(bpy.data.images["zidane.depth"]), depth)


def test_what_cannot_be_measured_is_told(built, blocks):
    with pytest.raises(RuntimeError, match="no matched camera"):
        calibrated(distance=1)
    built("estimate_depth")
    bpy.ops.object.select_all(action="DESELECT")
    before = blocks()
    for options, told in [
        ({}, "Two points are needed; 0 are selected"),
        ({"distance": 0.0}, "true length is 0"),
        ({"points": "POINTS"}, "measures 0"),
        ({"points": "PIXELS", "pixel_a": (5000, 3)}, "outside the photo"),
        ({"known": "PERSON"}, "no body of known height"),
        ({"camera": "nobody"}, "not a matched camera"),
        ({"image": "nobody"}, "no matched camera"),
    ]:
        with pytest.raises(RuntimeError, match=told):
            calibrated(**{"distance": 1.0, **options})
    assert blocks() == before
