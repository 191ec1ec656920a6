# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands of real photos: found or not, on the right side, with meshes that lie on them; and every parameter at work."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference import BadInput, Camera, Photo, UnknownModel, load_photo, refine_hands
from maquette.inference.geometry.rotations import (
    between,
    from_rotation_vector,
    quaternions_of,
    rotation_matrices,
    to_rotation_vector,
)
from maquette.inference.hands import blazehand, fit, masks, preview
from maquette.inference.options.hands import OPTIONS
from maquette.inference.runtime.run import start
from maquette.inference.shipped import hand
from maquette.inference.shipped.hand_body import load_hand_body

RUN = start("cpu")
POINTING = (990, 400, 1160, 490, "left")


@pytest.fixture(scope="module")
def zidane() -> Photo:
    return load_photo(sample_photo("zidane"))


@pytest.fixture(scope="module")
def pointing(zidane):
    return refine_hands(zidane, mask_expand=0, resolution=0)


@pytest.fixture(scope="module")
def bus():
    return refine_hands(load_photo(sample_photo("bus")), mask_expand=0, resolution=0)


def matrices(vectors: np.ndarray) -> np.ndarray:
    return rotation_matrices(from_rotation_vector(vectors))


def _posed(side: str, flexion: float, turn: np.ndarray, place: np.ndarray, camera: Camera):
    """Landmarks as the network would give them of a hand of known pose: fingers bent by `flexion` at every joint."""
    model = load_hand_body(side)
    turns = np.tile(np.eye(3), (1, len(model.body.parents), 1, 1))
    for joint in range(8, 20):
        turns[0, joint] = matrices(model.axes[joint, 0] * flexion)
    turns[0, 0] = matrices(turn)
    state = fit._State(turns, place[None], np.zeros(1))
    points = fit._landmark_positions(model, state)[0][0] + place
    ray = np.array([*(camera.project(points).mean(0) - (camera.cx, camera.cy)) / camera.fx, 1.0])
    world = (points - points.mean(0)) @ rotation_matrices(between(np.array([0.0, 0.0, 1.0]), ray))
    pixels = camera.project(points).astype(np.float32)
    region = hand.region_from_points(pixels)
    right = 1.0 if side == "right" else 0.0
    seen = hand.HandLandmarks(pixels, world.astype(np.float32), right, 1.0, 1.0, np.zeros(21, np.float32), region)
    return seen, points


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("flexion", [0.0, 0.5, 1.1])
def test_the_fit_finds_a_known_pose(side, flexion):
    camera = Camera.default(640, 480)
    turn, place = np.array([0.4, 2.0, -0.3]), np.array([0.12, -0.08, 0.9])
    seen, points = _posed(side, flexion, turn, place, camera)
    found = fit.fit_hands([seen], [side], camera)[0]
    assert found is not None
    assert np.linalg.norm(found.joints - points, axis=1).mean() < 0.03, "place, distance included"
    off = (found.joints - found.joints.mean(0)) - (points - points.mean(0))
    assert np.linalg.norm(off, axis=1).mean() < 0.004
    assert found.reprojection < 1.0 and 0.93 < found.scale < 1.07


def test_a_hand_fits_its_own_side_better():
    camera = Camera.default(640, 480)
    seen, _ = _posed("left", 0.6, np.array([0.2, -1.0, 0.5]), np.array([0.0, 0.05, 0.7]), camera)
    left, right = (fit.fit_hands([seen], [side], camera)[0] for side in ("left", "right"))
    assert left is not None and right is not None and left.cost < right.cost


def test_landmarks_that_are_no_numbers_fail_alone():
    camera = Camera.default(640, 480)
    seen, _ = _posed("right", 0.4, np.zeros(3), np.array([0.0, 0.0, 0.8]), camera)
    broken = replace(seen, points=np.full((21, 2), np.nan, np.float32))
    flat = replace(seen, points=np.full((21, 2), 300, np.float32))
    found = fit.fit_hands([broken, seen, flat], ["right"] * 3, camera)
    assert found[0] is None and found[1] is not None


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_hands_mesh_is_closed_and_faces_outwards(side):
    body = load_hand_body(side).body
    edges = np.sort(body.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    a, b, c = np.moveaxis(body.vertices[body.faces].astype(float), 1, 0)
    volume = (a * np.cross(b, c)).sum() / 6
    assert 1e-4 < volume < 6e-4, "a hand holds a quarter to half a litre"
    assert np.allclose(body.skin_weights.sum(1), 1, atol=1e-5)


def test_the_turn_between_opposite_and_equal_directions_is_a_rotation():
    directions = np.array([[0, 0, 1.0], [0, 0, -1.0], [1.0, 0, 0]])
    turns = rotation_matrices(between(np.array([0, 0, 1.0]), directions))
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    assert np.allclose(turns @ [0, 0, 1.0], directions, atol=1e-6)


def test_rotation_vectors_come_back_from_their_matrices():
    vectors = np.random.default_rng(1).uniform(-1.7, 1.7, size=(50, 3))  # less than half a turn
    assert np.allclose(to_rotation_vector(quaternions_of(matrices(vectors))), vectors, atol=1e-6)


def test_the_pointing_hand_is_found_and_is_a_left_one(pointing):
    assert [one.side for one in pointing.hands] == ["left"]
    found = pointing.hands[0]
    assert np.linalg.norm(found.keypoints_2d[8] - (1150, 415)) < 15, "the tip of the index finger"
    assert found.score > 0.9
    assert found.vertices.shape[1] == 3 and found.faces.max() < len(found.vertices)
    assert found.joints.shape == (21, 3) and found.keypoints_2d.shape == (21, 2)


def test_the_fitted_hand_lies_on_its_landmarks(pointing, zidane):
    found = pointing.hands[0]
    assert np.linalg.norm(pointing.camera.project(found.joints) - found.keypoints_2d, axis=1).mean() < 4
    assert 0.14 < np.ptp(found.vertices, axis=0).max() < 0.25, "the size of an adult's hand in metres"
    assert 0.8 < found.joints[0, 2] < 2.5
    columns, rows = found.keypoints_2d.round().astype(int).T
    assert (found.depth[rows, columns] > 0).mean() > 0.85


def test_depth_and_mask_belong_together(pointing, zidane):
    found = pointing.hands[0]
    assert pointing.depth.shape == pointing.mask.shape == zidane.pixels.shape[:2]
    assert pointing.depth.dtype == pointing.mask.dtype == np.float32
    assert np.array_equal(found.mask > 0, found.depth > 0) and set(np.unique(pointing.mask)) == {0, 1}
    assert np.array_equal(pointing.mask > 0, pointing.depth > 0), "neither grown nor scaled"
    assert 0.02 < np.ptp(pointing.depth[pointing.depth > 0]) < 0.25
    x0, y0, x1, y1 = found.box
    assert 0 <= x0 < x1 <= 1280 and 0 <= y0 < y1 <= 720


def test_the_hands_of_the_bus_are_found_with_their_sides(bus):
    middle = {tuple((one.keypoints_2d[9] // 50).astype(int)): one.side for one in bus.hands}
    assert middle.get((5, 10)) == "left" and middle.get((5, 13)) == "right"
    assert len(bus.hands) == 3
    distances = [one.joints[9, 2] for one in bus.hands]
    assert distances == sorted(distances, reverse=True), "from far to near"


def test_the_depth_is_the_nearest_hands(bus):
    layers = np.stack([np.where(one.depth > 0, one.depth, np.inf) for one in bus.hands]).min(0)
    assert np.array_equal(bus.depth, np.where(np.isfinite(layers), layers, 0))


@pytest.mark.parametrize("name", ["astronaut", "coins"])
def test_no_hand_gives_black_pictures(name):
    photo = load_photo(sample_photo(name))
    maps = refine_hands(photo, resolution=256)
    assert maps.hands == () and not maps.mask.any() and not maps.depth.any() and not maps.preview.any()
    assert maps.mask.shape == photo.pixels.shape[:2] and min(maps.preview.shape[:2]) == 256


def test_a_small_hand_is_found_at_the_wrist(zidane):
    small = cv2.resize(load_photo(sample_photo("bus")).pixels, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    sides = sorted(one.side for one in refine_hands(small).hands if one.box[2] > 120)
    assert sides == ["left", "right"], "hands of 20 pixels"


def test_boxes_bypass_the_detector(zidane, pointing):
    maps = refine_hands(zidane, boxes=[POINTING], resolution=0, mask_expand=0)
    assert len(maps.hands) == 1 and maps.hands[0].side == "left"
    apart = np.linalg.norm(maps.hands[0].keypoints_2d - pointing.hands[0].keypoints_2d, axis=1)
    assert np.median(apart) < 8


def test_the_side_of_a_box_is_obeyed(zidane):
    maps = refine_hands(zidane, boxes=[(*POINTING[:4], "right")])
    assert [one.side for one in maps.hands] == ["right"]


def test_boxes_keep_their_order_and_no_boxes_give_no_hands(zidane):
    other = (700, 380, 900, 560, "right")
    maps = refine_hands(zidane, boxes=[POINTING, other])
    assert maps.hands[0].side == "left"
    assert refine_hands(zidane, boxes=[]).hands == ()


def test_a_hand_that_cannot_be_fitted_is_left_out_alone(zidane, monkeypatch):
    real = fit.fit_hands
    monkeypatch.setattr(blazehand, "fit_hands", lambda *given: [None, *real(*given)[1:]])
    maps = refine_hands(zidane, boxes=[(700, 380, 900, 560, "right"), POINTING])
    assert [one.side for one in maps.hands] == ["left"] and maps.mask.any()


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 10, 60, "left"),
        (1300, 10, 1400, 60, "left"),
        (60, 60, 10, 10, "left"),
        (0, 0, 50, 50, "both"),
        (0, 0, 50, 50),
        (np.nan, 0, 50, 50, "right"),
        "left",
    ],
)
def test_boxes_that_are_none_are_refused(zidane, box):
    with pytest.raises(BadInput, match="box"):
        refine_hands(zidane, boxes=[POINTING, box])


def test_a_box_larger_than_the_photo_is_the_photo(zidane):
    cut = Photo(np.ascontiguousarray(zidane.pixels[330:560, 960:1230]))
    maps = refine_hands(cut, boxes=[(-1000, -1000, 5000, 5000, "left")])
    assert len(maps.hands) == 1 and maps.hands[0].score > 0.8


@pytest.mark.parametrize("mask_type", ["based_on_depth", "tight_bboxes", "original"])
@pytest.mark.parametrize(("expand", "padding", "resolution"), [(0, 30, 512), (9, 0, 0), (-4, 60, 1000)])
def test_the_masks_are_made_as_their_parameters_say(zidane, pointing, mask_type, expand, padding, resolution):
    hands = pointing.hands
    shape = zidane.pixels.shape[:2]
    asked = {"mask_type": mask_type, "mask_bbox_padding": padding, "mask_expand": expand, "resolution": resolution}
    options = OPTIONS.checked(asked)
    maps = blazehand._maps(hands, pointing.camera, shape, options)
    extents = [masks.extent(one.keypoints_2d, one.depth > 0) for one in hands]
    picture = preview.resize(preview.paint([one.depth for one in hands], shape), resolution)
    assert np.array_equal(maps.preview, picture)
    plain = masks.hand_mask(mask_type, picture, extents, padding, shape)
    assert np.array_equal(maps.mask > 0, masks.expand(plain, expand))
    grown = maps.mask.sum() - plain.sum()
    assert (grown > 0) == (expand > 0) and (grown < 0) == (expand < 0)


def test_every_parameter_reaches_the_mask(zidane):
    asked = {"mask_type": "original", "mask_bbox_padding": 50, "mask_expand": 0, "resolution": 300, "boxes": [POINTING]}
    base = refine_hands(zidane, **asked)
    assert base.preview.shape == (300, 533, 3)
    less = refine_hands(zidane, **{**asked, "mask_bbox_padding": 10})
    more = refine_hands(zidane, **{**asked, "mask_expand": 7})
    tight = refine_hands(zidane, **{**asked, "mask_type": "tight_bboxes"})
    assert tight.mask.sum() < less.mask.sum() < base.mask.sum() < more.mask.sum()


def test_the_given_camera_places_the_hand(zidane):
    near, far = (
        refine_hands(Photo(zidane.pixels, Camera(f, f, 640, 360, 1280, 720)), boxes=[POINTING]).hands[0]
        for f in (800.0, 2400.0)
    )
    assert far.joints[0, 2] / near.joints[0, 2] == pytest.approx(3.0, rel=0.15)


def test_bad_requests_are_refused_before_any_work(zidane):
    with pytest.raises(UnknownModel, match="builtin"):
        refine_hands(zidane, "best")
    with pytest.raises(BadInput, match="based_on_depth, tight_bboxes, original"):
        refine_hands(zidane, mask_type="outline")
    for change in ({"resolution": -2}, {"resolution": 20000}, {"mask_bbox_padding": 200}, {"mask_expand": 99999}):
        with pytest.raises(BadInput, match="must be a whole number from"):
            refine_hands(zidane, **change)


def test_the_smallest_photo_holds_no_hand():
    maps = refine_hands(np.full((8, 8, 3), 77, np.uint8), resolution=64)
    assert maps.hands == () and maps.preview.shape == (64, 64, 3)
