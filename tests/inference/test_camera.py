# SPDX-License-Identifier: GPL-3.0-or-later
"""The pinhole camera: what its numbers mean, and that absurd ones are refused."""

import math

import numpy as np
import pytest
from maquette.inference import BadInput, Camera, Clip, Photo
from maquette.inference.camera import Lens, y_up


def test_the_default_sees_55_degrees_along_the_long_side():
    for width, height in [(640, 480), (480, 640)]:
        camera = Camera.default(width, height)
        assert math.degrees(2 * math.atan(max(width, height) / 2 / camera.fx)) == pytest.approx(55)
        assert (camera.cx, camera.cy, camera.source) == (width / 2, height / 2, "default")
        assert camera.fx == camera.fy


def test_a_35_mm_focal_length_compares_diagonals():
    full_frame = Camera.from_focal_35mm(36.0, 3600, 2400)
    assert full_frame.fx == pytest.approx(3600)  # 36 mm before a sensor 36 mm wide: as long as the picture is wide
    phone = Camera.from_focal_35mm(26.0, 4000, 3000)
    assert phone.fx == pytest.approx(26 / math.hypot(36, 24) * 5000)


def test_projecting_and_unprojecting_are_inverse_at_pixel_centres():
    camera = Camera(700.0, 650.0, 101.5, 77.0, 200, 160)
    depth = np.random.default_rng(0).uniform(1, 9, (160, 200)).astype(np.float32)
    points = camera.unproject(depth)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points[..., 2], depth)
    rows, columns = np.mgrid[:160, :200]
    np.testing.assert_allclose(camera.project(points), np.stack([columns + 0.5, rows + 0.5], -1), atol=2e-3)
    homogeneous = points @ camera.matrix.T
    np.testing.assert_allclose(homogeneous[..., :2] / homogeneous[..., 2:], camera.project(points), atol=2e-3)


def test_scaled_and_cropped_cameras_see_the_same_directions():
    camera = Camera(700.0, 650.0, 90.0, 85.0, 200, 160)
    point = np.array([0.1, -0.2, 2.0])
    np.testing.assert_allclose(camera.resized(100, 320).project(point), camera.project(point) * [0.5, 2])
    part = camera.cropped(slice(20, 120), slice(50, 200))
    np.testing.assert_allclose(part.project(point), camera.project(point) - [50, 20])
    assert (part.width, part.height) == (150, 100)


def test_one_focal_length_stands_for_both():
    camera = Camera.default(100, 80)
    assert camera.with_focal(None, None) is camera
    for fx, fy, expected in [(300, None, (300, 300)), (None, 300, (300, 300)), (300, 400, (300, 400))]:
        given = camera.with_focal(fx, fy)
        assert (given.fx, given.fy, given.source) == (*expected, "given")


def test_another_lens_keeps_the_place_where_upright_lines_meet():
    up = np.array([0.2, -0.9, -0.35]) / np.linalg.norm([0.2, -0.9, -0.35])
    camera = Camera(700.0, 650.0, 90.0, 85.0, 200, 160, "lines", tuple(up.tolist()))
    other = camera.with_focal(900, 800)
    assert other.up is not None
    np.testing.assert_allclose(other.project(-np.array(other.up)), camera.project(-up))
    np.testing.assert_allclose(np.linalg.norm(other.up), 1)


@pytest.mark.parametrize("focal", [0, -5, math.nan, math.inf, -math.inf, "wide", [1, 2], True])
def test_absurd_focal_lengths(focal):
    for fx, fy, name in [(focal, None, "fx"), (None, focal, "fy"), (500.0, focal, "fy")]:
        with pytest.raises(BadInput, match=f"focal length {name} = ") as raised:
            Camera.default(100, 80).with_focal(fx, fy)
        assert repr(focal) in raised.value.message and raised.value.remedy
    if isinstance(focal, (int, float)) and not isinstance(focal, bool):
        with pytest.raises(BadInput, match="focal length"):
            Camera(500.0, focal, 50, 40, 100, 80)


@pytest.mark.parametrize("focal", [1e-300, 1e-4, 1e10, 1e300])
def test_focal_lengths_that_make_every_depth_zero_or_infinite(focal):
    with pytest.raises(BadInput, match="No lens"):
        Camera.default(100, 80).with_focal(focal, None)


def test_a_camera_needs_a_picture():
    with pytest.raises(BadInput):
        Camera(500.0, 500.0, 0.0, 0.0, 0, 100)


def test_gltf_axes():
    np.testing.assert_array_equal(y_up(np.array([[1.0, 2, 3]], np.float32)), [[1, -2, -3]])


SHOWN = {
    "landscape": Camera(900, 900, 405, 300, 810, 600),
    "portrait, off centre": Camera(900, 900, 280, 431, 600, 810),
    "pixels higher than wide": Camera(900, 1100, 310, 400, 600, 810),
    "pixels that turn the long side": Camera(500, 1000, 210, 190, 400, 400),
    "very wide": Camera(7, 7, 400, 300, 800, 600),
}


@pytest.mark.parametrize("camera", SHOWN.values(), ids=SHOWN)
def test_a_lens_gives_its_camera_back(camera):
    back = Lens.of(camera).camera(camera.width, camera.height, camera.source)
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(back, name) == pytest.approx(getattr(camera, name), rel=1e-12)
    assert (back.width, back.height, back.source) == (camera.width, camera.height, camera.source)


def test_the_fitted_side_of_a_lens():
    for fit, wide, high in [("AUTO", 900, 900), ("HORIZONTAL", 900, 600), ("VERTICAL", 600, 900)]:
        lens = Lens(2.0, fit)
        assert lens.camera(900, 600).fx == 2 * wide and lens.camera(600, 900).fx == 2 * high
    # 600 pixels of double width are shown wider than 900 of double height are high.
    assert Lens(2.0, "AUTO", aspect_x=2).camera(600, 900).fx == 1200
    assert Lens(2.0, "AUTO", aspect_x=2).camera(600, 900).fy == 2400


def test_a_photo_and_a_render_of_other_pixels_show_the_same_picture():
    anamorphic = {"aspect_x": 4 / 3, "aspect_y": 1.0, "render": (1440, 1080)}
    lens = Lens(1.5, shift_x=0.1, shift_y=0.05, **anamorphic)
    render, photo = lens.camera(1440, 1080), lens.camera(3840, 2160)
    assert render.fy == pytest.approx(render.fx * 4 / 3) and photo.fx == pytest.approx(photo.fy)
    same = render.resized(3840, 2160)
    assert (photo.fx, photo.fy, photo.cx, photo.cy) == pytest.approx((same.fx, same.fy, same.cx, same.cy))


def test_a_photo_of_another_shape_in_the_frame():
    frame = Lens(1.0, shift_x=0.1, render=(1920, 1080))
    alone = frame.camera(600, 800)
    assert (alone.fx, alone.cx) == (800, 300 - 80)
    fitted = Lens(1.0, shift_x=0.1, render=(1920, 1080), fill="FIT").camera(600, 800)  # 800 pixels in 1080 of 1920
    assert (fitted.fx, fitted.fy) == pytest.approx((1920 / 1080 * 800,) * 2)
    assert (fitted.cx, fitted.cy) == pytest.approx((300 - 192 / 1080 * 800, 400))
    cropped = Lens(1.0, render=(1920, 1080), fill="CROP").camera(600, 800)  # 600 pixels over all of 1920
    assert cropped.fx == pytest.approx(600)


def test_a_lens_in_words():
    assert Camera.default(640, 480).lens == "55° guessed"
    assert Camera.from_focal_35mm(28, 4000, 3000).lens == "28 mm from EXIF"
    assert Camera(3600, 3600, 1800, 1200, 3600, 2400, "given").lens == "36 mm as given"
    assert Lens(50 / 36).camera(1080, 1920).lens == "50 mm from the scene's camera"
    # Where pixels are not square the long side is told by its own focal length.
    assert Lens(50 / 36, aspect_x=2).camera(1000, 1000).lens == "50 mm from the scene's camera"


@pytest.mark.parametrize(("size", "bars"), [((1080, 608), (0, 656)), ((608, 1080), (240, 0)), ((640, 480), (80, 0))])
def test_the_default_lens_is_that_of_the_picture_within_black_bars(size, bars):
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    barred = np.pad(pixels, ((bars[0],) * 2, (bars[1],) * 2, (0, 0)), constant_values=16)
    barred[:, ::3] += 2  # compression
    camera, own = Photo(barred).camera_or_default(), Camera.default(width, height)
    assert (camera.fx, camera.source) == (pytest.approx(own.fx, rel=0.01), "default")
    assert (camera.cx, camera.cy) == (barred.shape[1] / 2, barred.shape[0] / 2)
    clip = Clip("film", 2, 25.0, lambda: iter([Photo(barred)] * 2))
    assert next(iter(clip)).camera == camera


def test_what_is_dark_at_one_side_or_uneven_or_everywhere_is_no_bar():
    pixels = np.random.default_rng(0).integers(0, 255, (90, 160, 3)).astype(np.uint8)
    night, dim, black = pixels.copy(), pixels.copy(), np.zeros_like(pixels)
    night[:, :60] = 0
    dim[:, :50], dim[:, -50:] = pixels[:, :50] // 12, pixels[:, -50:] // 12
    for one in (pixels, night, dim, black):
        assert Photo(one).camera_or_default() == Camera.default(160, 90)
