# SPDX-License-Identifier: GPL-3.0-or-later
"""The z-buffer against shapes whose picture is known exactly."""

import numpy as np
import pytest
from maquette.inference import Camera
from maquette.inference.geometry.rasteriser import rasterise

CAMERA = Camera(100.0, 90.0, 40.0, 30.0, 80, 60)


def pixels_to_points(pixels, depth):
    """Points (N, 3) that project to `pixels` (N, 2) at `depth` (N,) in CAMERA."""
    pixels, depth = np.asarray(pixels, float), np.broadcast_to(np.asarray(depth, float), len(pixels))
    rays = (pixels - [CAMERA.cx, CAMERA.cy]) / [CAMERA.fx, CAMERA.fy]
    return np.column_stack([rays * depth[:, None], depth])


def sphere(centre, radius, columns=96, rows=64):
    """A closed triangle sphere, counter-clockwise from outside, and its faces."""
    theta = np.linspace(0, np.pi, rows + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], -1)
    index = np.arange((rows + 1) * columns).reshape(rows + 1, columns)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = np.roll(index, -1, 1)[1:], index[1:]
    faces = np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])
    return points.reshape(-1, 3) * radius + centre, faces


def test_a_rectangle_covers_the_pixels_whose_centres_lie_in_it():
    corners = pixels_to_points([(10, 5), (20.5, 5), (20.5, 15.4), (10, 15.4)], 2.0)
    depth, face = rasterise(corners, np.array([[0, 1, 2], [0, 2, 3]]), CAMERA)
    expected = np.zeros((60, 80), bool)
    expected[5:15, 10:21] = True  # the centre of column 20 lies exactly on the edge, that of row 15 beyond it
    np.testing.assert_array_equal(depth > 0, expected)
    np.testing.assert_array_equal(face >= 0, expected)
    np.testing.assert_allclose(depth[expected], 2.0, rtol=1e-6)
    assert depth.dtype == np.float32
    assert face.dtype == np.int32


def test_depth_of_a_slanted_plane_is_perspective_correct():
    # z = 3 + 0.8 x - 0.5 y, hence along the ray (x, y, 1): z = 3 / (1 - 0.8 x + 0.5 y).
    xy = np.array([(-9.0, -9.0), (9, -9), (9, 9), (-9, 9)])
    z = 12 + 0.8 * xy[:, 0] - 0.5 * xy[:, 1]
    depth, _ = rasterise(np.column_stack([xy, z]), np.array([[0, 1, 2], [0, 2, 3]]), CAMERA)
    rays = CAMERA.rays().astype(float)
    exact = 12 / (1 - 0.8 * rays[..., 0] + 0.5 * rays[..., 1])
    assert (depth > 0).mean() > 0.5
    np.testing.assert_allclose(depth[depth > 0], exact[depth > 0], rtol=1e-6)


def test_a_sphere_has_its_silhouette_and_depth():
    centre, radius = np.array([0.2, -0.1, 5.0]), 1.0
    camera = Camera(300.0, 300.0, 160.0, 120.0, 320, 240)
    depth, _ = rasterise(*sphere(centre, radius, 384, 256), camera)
    rays = camera.rays().astype(float)
    squared = (rays**2).sum(-1)
    along = rays @ centre
    discriminant = along**2 - squared * (centre @ centre - radius**2)
    exact = (along - np.sqrt(np.maximum(discriminant, 0))) / squared
    assert ((depth > 0) != (discriminant > 0)).sum() < 0.005 * (discriminant > 0).sum()
    interior = (depth > 0) & (discriminant > 0.02 * along**2)
    np.testing.assert_allclose(depth[interior], exact[interior], atol=3e-3)


def test_a_closed_mesh_has_no_cracks_and_culling_changes_nothing_outside():
    points, faces = sphere(np.array([0.0, 0, 4]), 1.5, 97, 61)
    depth, face = rasterise(points, faces, CAMERA)
    rows = np.flatnonzero((depth > 0).any(1))
    for row in rows:
        columns = np.flatnonzero(depth[row] > 0)
        assert len(columns) == columns[-1] - columns[0] + 1
    culled_depth, culled_face = rasterise(points, faces, CAMERA, cull=True)
    np.testing.assert_array_equal(depth, culled_depth)
    np.testing.assert_array_equal(face, culled_face)
    inside_out = rasterise(points, faces[:, ::-1], CAMERA, cull=True)[0]
    assert (inside_out[depth > 0] > depth[depth > 0]).mean() > 0.99


def test_a_grid_through_pixel_centres_is_covered_once_and_fully():
    columns, rows = np.meshgrid(np.arange(10.5, 70, 3), np.arange(5.5, 50, 2))
    points = pixels_to_points(np.column_stack([columns.ravel(), rows.ravel()]), 3.0)
    index = np.arange(columns.size).reshape(columns.shape)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    depth, _ = rasterise(points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), CAMERA)
    assert (depth[5:50, 10:68] > 0).all()


def test_the_nearest_face_wins_and_ties_go_to_the_first():
    square = [(10, 10), (30, 10), (30, 30), (10, 30)]
    points = np.concatenate([pixels_to_points(square, z) for z in (3.0, 2.0, 2.0)])
    faces = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * layer for layer in range(3)])
    depth, face = rasterise(points, faces, CAMERA)
    assert np.unique(depth[10:30, 10:30]).tolist() == [2.0]
    assert set(np.unique(face[10:30, 10:30])) == {2, 3}


def test_crossing_planes_meet_where_they_are_equally_deep():
    points = np.concatenate(
        [
            pixels_to_points([(5, 5), (75, 5), (75, 55), (5, 55)], [2.0, 4.0, 4.0, 2.0]),
            pixels_to_points([(5, 5), (75, 5), (75, 55), (5, 55)], [4.0, 2.0, 2.0, 4.0]),
        ]
    )
    quads = np.array([[0, 1, 2], [0, 2, 3]])
    _, face = rasterise(points, np.concatenate([quads, quads + 4]), CAMERA)
    assert set(np.unique(face[6:54, 6:39])) == {0, 1}
    assert set(np.unique(face[6:54, 41:74])) == {2, 3}


def test_the_near_plane_cuts_a_floor_that_runs_behind_the_camera():
    floor = np.array([(-50.0, 1, -20), (50, 1, -20), (50, 1, 40), (-50, 1, 40)])
    depth, face = rasterise(floor, np.array([[0, 1, 2], [0, 2, 3]]), CAMERA, near=0.1)
    slope = CAMERA.rays()[..., 1].astype(float)
    exact = np.where(slope > 1 / 40, 1 / np.maximum(slope, 1e-9), 0)
    np.testing.assert_allclose(depth, exact, rtol=1e-6)
    assert set(np.unique(face)) == {-1, 0, 1}


@pytest.mark.parametrize(
    "corners",
    [
        [(0.0, 0, -2), (1, 0, -2), (0, 1, -2)],  # behind the camera
        [(0.0, 0, 0.001), (0.001, 0, 0.001), (0, 0.001, 0.001)],  # nearer than the near plane
        [(90.0, 0, 2), (91, 0, 2), (90, 1, 2)],  # outside the picture
        [(0.0, 0, 2), (1, 1, 2), (0.5, 0.5, 2)],  # no area
        [(0.0, 0, 2), (0, 0, 2), (0, 0, 2)],  # a point
        [(0.0, 0, 2), (1, np.nan, 2), (0, 1, 2)],  # not finite
        [(0.0, 0, 2), (1, 0, np.inf), (0, 1, 2)],
    ],
)
def test_faces_that_cannot_be_seen_draw_nothing(corners):
    depth, face = rasterise(np.array(corners), np.array([[0, 1, 2]]), CAMERA)
    assert not depth.any()
    assert (face == -1).all()


def test_no_faces_at_all():
    depth, face = rasterise(np.zeros((0, 3)), np.zeros((0, 3), int), CAMERA)
    assert depth.shape == face.shape == (60, 80)
    assert (face == -1).all()


def test_batches_do_not_change_the_picture(monkeypatch):
    points, faces = sphere(np.array([0.0, 0, 3]), 1.0)
    whole = rasterise(points, faces, CAMERA)
    monkeypatch.setattr("maquette.inference.geometry.rasteriser._BATCH", 50)
    parts = rasterise(points, faces, CAMERA)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_against_a_reference_that_asks_every_triangle_about_every_pixel():
    rng = np.random.default_rng(5)
    points = np.column_stack([rng.uniform(-1.5, 1.5, (90, 2)), rng.uniform(1, 5, 90)])
    faces = np.arange(90).reshape(30, 3)
    depth, face = rasterise(points, faces, CAMERA)
    rays = CAMERA.rays().reshape(-1, 3).astype(float)
    best = np.full(len(rays), np.inf)
    owner = np.full(len(rays), -1)
    for index, triangle in enumerate(points[faces]):
        weights = np.linalg.solve(triangle.T, rays.T).T  # the ray as a sum of the corners: inside where none is < 0
        z = 1 / weights.sum(1)
        nearer = (weights >= 0).all(1) & (z < best)
        best[nearer], owner[nearer] = z[nearer], index
    agree = owner == face.ravel()
    assert agree.mean() > 0.9999  # a centre on an edge may go either way
    hit = agree & (owner >= 0)
    np.testing.assert_allclose(depth.ravel()[hit], best[hit], rtol=1e-5)
