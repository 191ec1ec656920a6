# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric depth of people: on bodies that stand at known places, and on a real photo."""

import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference import BadInput, Camera, NothingFound, Person, UnknownModel, estimate_depth, runtime
from maquette.inference.depth.from_people import complete, extend, people_depth, softened
from maquette.inference.geometry.previews import depth_preview, to_resolution
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.options.common import RESOLUTION
from maquette.inference.shipped.body import load_body

CAMERA = Camera.default(240, 320)


def standing(x, z, *, grow=0, hidden=()):
    """A person in the rest pose at (x, 0, z) metres, with a mask `grow` pixels larger than the body."""
    body = load_body()
    middle = (body.vertices.max(0) + body.vertices.min(0)) / 2
    vertices = (body.vertices - middle + [x, 0, z]).astype(np.float32)
    mask = rasterise(vertices, body.faces, CAMERA)[0] > 0
    for _ in range(grow):
        grown = np.pad(mask, 1)
        mask = grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:] | mask
    confidence = np.ones(len(body.joint_names), np.float32)
    for index, name in enumerate(body.joint_names):
        confidence[index] = not any(part in name for part in hidden)
    empty = np.zeros(0, np.float32)
    return Person(
        0, (0, 0, 1, 1), 1.0, mask.astype(np.float32), vertices, body.joints, empty, empty, empty, empty, confidence
    )


def depth_of(*persons):
    return people_depth(persons, load_body(), CAMERA, runtime.start("cpu"))


def test_a_person_is_as_far_away_as_the_body_and_fills_the_mask():
    person = standing(0.0, 3.0, grow=6)
    depth = depth_of(person)
    body = rasterise(person.vertices, load_body().faces, CAMERA)[0]
    np.testing.assert_array_equal(depth > 0, person.mask > 0.5)
    facing = (body > 0) & (np.abs(depth - body) < 1e-6)
    assert facing.sum() > 0.6 * (body > 0).sum()
    assert (depth[body > 0] <= body[body > 0] + 1e-6).all()  # what covers the body lies before it
    around = (depth > 0) & (body == 0)
    assert around.sum() > 1000
    assert depth[around].min() > 2.7
    assert depth[around].max() < 3.4


def test_the_surface_rounds_off_towards_the_outline():
    rows, columns = np.mgrid[:100, :100]
    body = np.where((np.abs(columns - 50) < 20) & (np.abs(rows - 50) < 30), 2.0, 0).astype(np.float32)
    mask = (np.abs(columns - 50) < 40) & (np.abs(rows - 50) < 45)
    depth = complete(body, mask, Camera(400.0, 400.0, 50.0, 50.0, 100, 100))
    np.testing.assert_array_equal(depth > 0, mask)
    np.testing.assert_array_equal(depth[body > 0], 2.0)
    line = depth[50, 70:90]
    assert (np.diff(line) >= 0).all()
    assert np.diff(line)[-1] > np.diff(line)[0]
    assert 0.01 < line[-1] - line[0] < 0.12


def test_nothing_is_claimed_far_from_the_body():
    body = np.zeros((100, 400), np.float32)
    body[30:70, 10:30] = 2.0
    depth = complete(body, np.ones(body.shape, bool), Camera(200.0, 200.0, 200.0, 50.0, 400, 100))
    reach = np.flatnonzero((depth > 0).any(0)).max() - 30
    assert 40 < reach < 60  # half a metre is 50 pixels here


def test_the_nearest_person_wins_and_both_keep_their_distance():
    near, far = standing(-0.25, 2.5), standing(0.25, 4.0)
    for order in [(near, far), (far, near)]:
        depth = depth_of(*order)
        both = (near.mask > 0.5) & (far.mask > 0.5)
        assert both.sum() > 50
        np.testing.assert_allclose(depth[near.mask > 0.5], 2.5, atol=0.4)
        np.testing.assert_allclose(depth[(far.mask > 0.5) & ~both], 4.0, atol=0.4)


def test_only_what_the_mask_shows_is_kept():
    person = standing(0.0, 3.0)
    person.mask[:, 120:] = 0
    depth = depth_of(person)
    assert not depth[:, 120:].any()
    assert depth[:, :120].any()


def test_limbs_that_nobody_saw_are_left_out():
    whole, hidden = standing(0.0, 3.0), standing(0.0, 3.0, hidden=("arm", "wrist", "finger", "metacarpal"))
    whole_without_mask, hidden_without_mask = (Person(**{**vars(person), "mask": None}) for person in (whole, hidden))
    assert (depth_of(hidden_without_mask) > 0).sum() < 0.9 * (depth_of(whole_without_mask) > 0).sum()


def test_a_mask_that_misses_the_body_gives_nothing():
    person = standing(0.0, 3.0)
    person.mask[:] = 0
    person.mask[:10, :10] = 1
    assert not depth_of(person).any()


def test_extending_keeps_what_is_known_and_stays_between_its_values():
    rng = np.random.default_rng(0)
    values = rng.uniform(2, 3, (67, 41)).astype(np.float32)
    known = rng.random((67, 41)) < 0.02
    filled = extend(values, known)
    np.testing.assert_array_equal(filled[known], values[known])
    assert filled.min() >= values[known].min() - 1e-5
    assert filled.max() <= values[known].max() + 1e-5


def test_the_preview_is_near_255_far_51_and_nothing_0():
    depth = np.array([[1.0, 2.0, 3.0, 0.0]], np.float32)
    picture = depth_preview(depth, depth > 0, 0)
    assert picture[0].tolist() == [[255] * 3, [153] * 3, [51] * 3, [0] * 3]
    assert not depth_preview(depth, depth > 9, 0).any()
    assert depth_preview(np.full((2, 2), 4, np.float32), np.ones((2, 2), bool), 0).min() == 255


@pytest.mark.parametrize(
    ("resolution", "shape"), [(0, (90, 120)), (45, (45, 60)), (90, (90, 120)), (200, (200, 267)), (1, (1, 1))]
)
def test_the_previews_short_side(resolution, shape):
    assert to_resolution(np.zeros((90, 120, 3), np.uint8), RESOLUTION.checked(resolution)).shape == (*shape, 3)


@pytest.mark.parametrize("resolution", [-1, 16385, 3.5, "512", None, float("nan")])
def test_resolutions_that_are_none(resolution):
    with pytest.raises(BadInput) as raised:
        RESOLUTION.checked(resolution)
    assert raised.value.remedy


@pytest.fixture(scope="module")
def astronaut():
    told = []
    depth_map = estimate_depth(sample_photo("astronaut"), resolution=128, progress=lambda *args: told.append(args))
    return depth_map, told


def test_a_real_photo(astronaut):
    depth_map, told = astronaut
    assert depth_map.metric
    assert depth_map.depth.shape == depth_map.valid.shape == (512, 512)
    assert depth_map.depth.dtype == np.float32
    assert 0.25 < depth_map.valid.mean() < 0.7
    assert depth_map.valid[80:150, 200:240].all()  # her face
    assert not depth_map.valid[40:200, 400:].any()  # the shuttle behind her
    np.testing.assert_array_equal(depth_map.depth > 0, depth_map.valid)
    assert 0.3 < np.median(depth_map.depth[depth_map.valid]) < 2.5
    assert depth_map.preview.shape == (128, 128, 3)
    np.testing.assert_allclose(np.linalg.norm(depth_map.normals, axis=-1), 1, atol=1e-4)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_a_longer_lens_stands_farther_away(astronaut):
    default = astronaut[0]
    long_lens = estimate_depth(sample_photo("astronaut"), fx=2 * default.camera.fx)
    assert long_lens.camera.fx == long_lens.camera.fy == 2 * default.camera.fx
    ratio = np.median(long_lens.depth[long_lens.valid]) / np.median(default.depth[default.valid])
    assert 1.6 < ratio < 2.5


def test_nobody_a_wrong_model_and_wrong_parameters():
    empty = np.full((240, 320, 3), 120, np.uint8)
    with pytest.raises(NothingFound, match="nobody") as raised:
        estimate_depth(empty, "builtin")
    assert "relief" in raised.value.remedy
    with pytest.raises(UnknownModel, match="mirror"):
        estimate_depth(empty, "mirror")
    for options in [{"fx": 0}, {"fy": -1}, {"fx": float("nan")}, {"resolution": -5}, {"device": "abacus"}]:
        for model in ("builtin", "relief"):
            with pytest.raises(BadInput):
                estimate_depth(empty, model, **options)


def test_shallow_relief_goes_and_limbs_stay():
    """Bumps of a centimetre are no clothed person's; an arm before the chest is."""
    rows, columns = np.mgrid[:120, :160]
    flat = np.full((120, 160), 2.0, np.float32)
    flat[:, :20] = 0
    bumpy = flat - np.where(flat > 0, 0.006 * np.sin(columns / 3.0) * np.sin(rows / 3.0), 0).astype(np.float32)
    smooth = softened(bumpy, CAMERA)
    np.testing.assert_array_equal(smooth > 0, flat > 0)
    inside = np.s_[20:100, 45:135]
    assert np.ptp(smooth[inside]) < 0.35 * np.ptp(bumpy[inside])
    arm = np.where((rows > 55) & (rows < 65) & (flat > 0), 1.7, flat).astype(np.float32)
    assert np.abs(softened(arm, CAMERA) - arm)[inside].max() < 0.02
    assert not softened(np.zeros((4, 4), np.float32), CAMERA).any()
