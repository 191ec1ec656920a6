# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth maps as meshes: their edges, loose pieces, limits, and the flat grids that are displaced."""

from __future__ import annotations

import numpy as np
import pytest
from maquette.inference.camera import Camera
from maquette.inference.geometry import relief_grid
from maquette.inference.results import DepthMap


def map_of(depth: np.ndarray, valid: np.ndarray | None = None, *, metric: bool = True) -> DepthMap:
    height, width = depth.shape
    lens = Camera(float(width), float(width), width / 2, height / 2, width, height)
    valid = depth > 0 if valid is None else valid
    return DepthMap(depth.astype(np.float32), valid, None, lens, metric, np.zeros((1, 1, 3), np.uint8))


@pytest.mark.parametrize(("size", "holes"), [((2, 2), 0.0), ((7, 5), 0.2), ((30, 41), 0.5), ((40, 60), 0.02)])
def test_edges_are_those_of_the_faces(size, holes) -> None:
    depth = np.full(size, 2.0)
    depth[np.random.default_rng(1).random(size) < holes] = 0
    found = relief_grid.unprojected(map_of(depth), resolution=None)
    edges = found.edges()
    assert len(found.quads)
    following = np.roll(found.quads, -1, axis=1)
    named = np.sort(edges.vertices[edges.of_corners], axis=-1)
    np.testing.assert_array_equal(named, np.sort(np.stack([found.quads, following], axis=-1), axis=-1))
    assert len(np.unique(np.sort(edges.vertices, axis=1), axis=0)) == len(edges.vertices), "none twice"
    assert set(edges.of_corners.ravel()) == set(range(len(edges.vertices))), "none without a face"


def test_edges_of_nothing() -> None:
    edges = relief_grid.unprojected(map_of(np.zeros((5, 6))), resolution=None).edges()
    assert edges.vertices.shape == (0, 2) and edges.of_corners.shape == (0, 4)


def test_pieces_that_share_a_corner_are_one() -> None:
    cells = np.zeros((6, 9), bool)
    cells[0, :3] = cells[1, 3] = True  # four, over a corner
    cells[4:6, 6:8] = True  # four in a square
    cells[5, 0] = True
    for smallest, wanted in ((0, 9), (1, 9), (2, 8), (4, 8), (5, 0)):
        assert relief_grid.without_specks(cells, smallest).sum() == wanted


def test_a_distance_limits_metres_alone() -> None:
    depth = np.tile(np.linspace(1, 4, 40), (30, 1))
    near = relief_grid.unprojected(map_of(depth), resolution=None, tear=0.5, max_distance=2.5)
    assert 0 < near.vertices[:, 2].max() <= 2.5
    assert len(relief_grid.at_rest(map_of(depth), resolution=None, max_distance=2.5).vertices) == len(near.vertices)
    heights = map_of(depth / 4, metric=False)
    assert len(relief_grid.at_rest(heights, resolution=None, max_distance=0.1).vertices) == depth.size


def test_flat_grids() -> None:
    depth = np.full((30, 40), 2.0)
    depth[:10] = 6
    seen = relief_grid.at_rest(map_of(depth), resolution=None)
    np.testing.assert_allclose(np.ptp(seen.vertices, axis=0), [2 * 39 / 40, 2 * 29 / 40, 0], rtol=1e-6)
    assert seen.vertices[0, 1] < 0, "y down, as in the photo"
    valid = np.ones((30, 40), bool)
    valid[5, 5] = False
    ground = relief_grid.at_rest(map_of(depth / 6, valid, metric=False), resolution=None, width=0.8)
    np.testing.assert_allclose(np.ptp(ground.vertices, axis=0), [0.8 * 39 / 40, 0.8 * 29 / 40, 0], rtol=1e-6)
    assert ground.vertices[0, 1] > 0 and len(ground.quads) == 29 * 39 - 4


def test_vertices_along_the_sides() -> None:
    for size, resolution, wanted in (((1080, 1920), 1024, (576, 1024)), ((3, 1000), 10, (2, 10)), ((5, 5), 50, (5, 5))):
        samples = relief_grid.Samples.of(*size, resolution)
        assert (len(samples.rows), len(samples.columns)) == wanted
        assert samples.rows.max() < size[0] and samples.columns.max() < size[1]
