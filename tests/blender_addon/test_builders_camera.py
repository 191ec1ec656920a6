# SPDX-License-Identifier: GPL-3.0-or-later
"""The matched camera sees a point where the photo's camera saw it, in Blender's own projection."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.core import axes, photo_links
from maquette.inference.camera import Camera
from maquette.inference.errors import BadInput
from maquette.inference.photo import Photo
from mathutils import Matrix, Vector

CAMERAS = {
    "landscape": Camera(900, 900, 405, 300, 810, 600),
    "portrait, off centre": Camera(900, 900, 280, 431, 600, 810),
    "pixels higher than wide": Camera(900, 1100, 310, 400, 600, 810),
    "pixels wider than high": Camera(1200, 900, 410, 300, 810, 800),
    "square": Camera(500, 500, 190, 210, 400, 400),
}


def blender_projection(camera_object, points, width, height):
    """World points (N, 3) -> pixels (N, 2), through Blender."""
    seen = [world_to_camera_view(bpy.context.scene, camera_object, Vector(point)) for point in points]
    return np.array([(view.x * width, (1 - view.y) * height) for view in seen])


def random_points():
    return np.random.default_rng(0).uniform(-1, 1, (20, 3)) + np.array([0, 0, 4])


def photo_of(intrinsics: Camera) -> bpy.types.Image:
    return image.photo_image(Photo(np.full((intrinsics.height, intrinsics.width, 3), 90, np.uint8), None, "street"))


@pytest.mark.parametrize("intrinsics", CAMERAS.values(), ids=CAMERAS)
def test_projection_is_the_photos(intrinsics, world):
    made = matched.matched_camera(intrinsics, photo_of(intrinsics), world, set_render_size=True)
    points = random_points()
    seen = blender_projection(made, axes.transform(world, points), intrinsics.width, intrinsics.height)
    np.testing.assert_allclose(seen, intrinsics.project(points), atol=2e-3)


@pytest.mark.parametrize("intrinsics", CAMERAS.values(), ids=CAMERAS)
def test_intrinsics_come_back(intrinsics):
    made = matched.matched_camera(intrinsics, photo_of(intrinsics), set_render_size=True)
    back = matched.intrinsics_of(made, intrinsics.width, intrinsics.height)
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(back, name) == pytest.approx(getattr(intrinsics, name), abs=1e-3)
    assert back.source == "scene"


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("size", [(640, 360), (360, 640)])
@pytest.mark.parametrize("aspect", [(1, 1), (1, 1.5)])
def test_intrinsics_of_any_camera(fit, size, aspect):
    obj = artists_camera(fit, shift_x=0.11, shift_y=-0.07)
    obj.matrix_world = Matrix(axes.camera_matrix(None).tolist())
    bpy.context.view_layer.update()
    set_render(size, aspect)
    points = random_points()
    seen = blender_projection(obj, axes.transform(axes.world_from_camera_of(obj), points), *size)
    np.testing.assert_allclose(matched.intrinsics_of(obj, *size).project(points), seen, atol=2e-3)


def artists_camera(fit="AUTO", **values):
    data = bpy.data.cameras.new("artist's")
    data.sensor_fit = fit
    for name, value in {"lens": 42, "sensor_width": 30, "sensor_height": 25, **values}.items():
        setattr(data, name, value)
    obj = bpy.data.objects.new("artist's", data)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def set_render(size, aspect=(1, 1)):
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = size
    render.pixel_aspect_x, render.pixel_aspect_y = aspect


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("aspect", [(1, 1), (1, 1.5), (2, 1)])
@pytest.mark.parametrize("size", [(600, 800), (800, 600)])
def test_a_camera_goes_to_intrinsics_and_back(fit, aspect, size, world):
    own = artists_camera(fit, shift_x=0.11, shift_y=-0.07)
    own.matrix_world = Matrix(axes.camera_matrix(world).tolist())
    set_render(size, aspect)
    bpy.context.view_layer.update()
    intrinsics = matched.intrinsics_of(own, *size)
    made = matched.matched_camera(intrinsics, photo_of(intrinsics), world, set_render_size=True)
    points = axes.transform(world, random_points())
    np.testing.assert_allclose(
        blender_projection(made, points, *size), blender_projection(own, points, *size), atol=2e-3
    )
    np.testing.assert_allclose(blender_projection(own, points, *size), intrinsics.project(random_points()), atol=2e-3)
    back = matched.intrinsics_of(made, *size)
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(back, name) == pytest.approx(getattr(intrinsics, name), abs=1e-3)


@pytest.mark.parametrize("intrinsics", CAMERAS.values(), ids=CAMERAS)
def test_a_matched_camera_keeps_its_photos_pixels_in_any_render(intrinsics):
    made = matched.matched_camera(intrinsics, photo_of(intrinsics))
    set_render((1920, 1080), (1, 1.7))
    back = matched.intrinsics_of(made, intrinsics.width, intrinsics.height)
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(back, name) == pytest.approx(getattr(intrinsics, name), abs=1e-3)


@pytest.mark.parametrize("focal", [4.0, 90000.0])
def test_lenses_beyond_blenders_range(focal):
    intrinsics = Camera(focal, focal, 300, 200, 600, 400)
    made = matched.matched_camera(intrinsics, photo_of(intrinsics), set_render_size=True)
    assert matched.intrinsics_of(made, 600, 400).fx == pytest.approx(focal, rel=1e-6)


def test_a_photo_lies_in_the_frame_as_its_camera_shows_it():
    own, picture = artists_camera(lens=36, sensor_width=36), photo_of(Camera.default(600, 800))
    set_render((1920, 1080))
    scene = bpy.context.scene
    assert matched.lens_of(own, scene, picture).camera(600, 800).fx == pytest.approx(800)
    background = own.data.background_images.new()
    background.image, background.frame_method = picture, "FIT"
    own.data.show_background_images = True
    assert matched.lens_of(own, scene, picture).camera(600, 800).fx == pytest.approx(1920 / 1080 * 800)
    background.frame_method = "CROP"
    assert matched.lens_of(own, scene, picture).camera(600, 800).fx == pytest.approx(600)
    assert matched.lens_of(own, scene).camera(600, 800).fx == pytest.approx(800)


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (500, 500), (4000, 300)])
@pytest.mark.parametrize("intrinsics", CAMERAS.values(), ids=CAMERAS)
def test_the_photo_lies_on_what_is_built_in_a_frame_of_any_shape(intrinsics, size, world):
    picture = photo_of(intrinsics)
    made = matched.matched_camera(intrinsics, picture, world)
    set_render(size)
    shown = made.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.background_images[0]
    photo = np.array([intrinsics.width, intrinsics.height]) * np.array(picture.display_aspect)
    scale = {"FIT": min, "CROP": max}[shown.frame_method](np.array(size) / photo)
    points = random_points()
    share = intrinsics.project(points) / (intrinsics.width, intrinsics.height) - 0.5
    seen = blender_projection(made, axes.transform(world, points), *size)
    np.testing.assert_allclose(seen, share * photo * scale + np.array(size) / 2, atol=0.05)


def test_focal_length_of_numbers_and_of_a_camera_object():
    from types import SimpleNamespace

    from maquette.blender_addon.tasks.shared.gather import focal_of

    photo = Photo(np.zeros((60, 90, 3), np.uint8))
    own = artists_camera(lens=50, sensor_width=25, sensor_height=10)

    def focal(**values):
        given = SimpleNamespace(**{"fx": 0.0, "fy": 0.0, "camera": "", **values})
        return focal_of(given).applied_to(photo).camera

    assert focal() is None, "the photo's own, or the default, is the models' matter"
    assert (focal(fx=70.0).fx, focal(fx=70.0).fy, focal(fx=70.0, fy=80.0).fy) == (70, 70, 80)
    assert (focal(camera=own.name).fx, focal(camera=own.name).source) == (50 / 25 * 90, "scene")
    own.data.shift_x, own.data.shift_y = 0.1, -0.2
    assert (focal(camera=own.name).cx, focal(camera=own.name).cy) == pytest.approx((45 - 9, 30 - 18))
    own.data.sensor_fit = "VERTICAL"
    assert focal(camera=own.name).fx == 50 / 10 * 60
    set_render((90, 60), (1, 2))
    assert focal(camera=own.name).fy == pytest.approx(50 / 10 * 60) and focal(camera=own.name).fx == pytest.approx(600)


def test_a_camera_without_perspective_is_refused():
    data = bpy.data.cameras.new("flat")
    data.type = "ORTHO"
    with pytest.raises(BadInput, match="not a perspective camera"):
        matched.intrinsics_of(bpy.data.objects.new("flat", data), 100, 100)


def test_one_photo_has_one_camera(photo, world, reopened):
    picture = image.photo_image(photo)
    made = matched.matched_camera(photo.camera, picture)
    assert bpy.context.scene.camera == made
    assert matched.matched_camera(photo.camera, picture) == made
    reopened()
    made, picture = bpy.data.objects["street.camera"], bpy.data.images["street"]
    assert photo_links.camera_of(picture) == made
    background = made.data.background_images[0]
    assert background.image == picture and background.alpha == 0.5 and made.data.show_background_images
    # The ground that people bring places it; after that it stays.
    matched.matched_camera(photo.camera, picture, world)
    np.testing.assert_allclose(axes.world_from_camera_of(made), world, atol=1e-6)
    matched.matched_camera(photo.camera, picture, axes.default_world_from_camera())
    np.testing.assert_allclose(axes.world_from_camera_of(made), world, atol=1e-6)


def test_a_camera_that_the_artist_moved_stays(photo, world):
    picture = image.photo_image(photo)
    made = matched.matched_camera(photo.camera, picture)
    made.location = 5, 5, 5
    bpy.context.view_layer.update()
    assert matched.matched_camera(photo.camera, picture, world) == made
    assert tuple(made.location) == (5, 5, 5)


def test_the_scenes_camera_and_size_stay_unless_asked(photo):
    own = bpy.data.objects.new("own", bpy.data.cameras.new("own"))
    bpy.context.scene.collection.objects.link(own)
    bpy.context.scene.camera = own
    bpy.context.scene.render.resolution_x = 1234
    matched.matched_camera(photo.camera, image.photo_image(photo))
    assert bpy.context.scene.camera == own and bpy.context.scene.render.resolution_x == 1234


def test_a_camera_that_moves_sees_every_frame_as_the_film_did_and_is_held_again(world):
    intrinsics = CAMERAS["landscape"]
    made = matched.matched_camera(intrinsics, photo_of(intrinsics), world, set_render_size=True)
    travel = np.tile(np.eye(4), (3, 1, 1))
    for frame in range(3):
        travel[frame, :3, :3] = np.array(Matrix.Rotation(0.1 * frame, 3, "Y"))
        travel[frame, :3, 3] = (0.2 * frame, 0, 0.1 * frame)
    place = np.array(made.matrix_world)
    lens, zoom = made.data.lens, np.array([1.0, 1.2, 1.3])
    matched.animate(made, travel, np.array([101.0, 102.0, 103.0]), zoom)
    points = random_points()
    for frame in range(3):
        bpy.context.scene.frame_set(101 + frame)
        local = (points - travel[frame, :3, 3]) @ travel[frame, :3, :3]
        seen = blender_projection(made, axes.transform(world, points), intrinsics.width, intrinsics.height)
        nearer = intrinsics.with_focal(zoom[frame] * intrinsics.fx, zoom[frame] * intrinsics.fy)
        np.testing.assert_allclose(seen, nearer.project(local), atol=5e-3)
    matched.hold(made)
    assert made.data.lens == pytest.approx(lens)
    np.testing.assert_allclose(made.matrix_world, place, atol=1e-5)
    bpy.context.scene.frame_set(101)
    np.testing.assert_allclose(made.matrix_world, place, atol=1e-5)
