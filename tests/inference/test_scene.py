# SPDX-License-Identifier: GPL-3.0-or-later
"""One scene of one photo, on a set that is known: a floor, a wall and two people before a tilted camera.

The set's own depth, scaled wrongly and noisy, stands in for a depth network; bodies of wrong statures for the fit.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maquette import inference
from maquette.inference import Camera, Photo, reconstruct_scene, scene
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.people.clip.ground import EYE_HEIGHT
from maquette.inference.results import DepthMap, People
from maquette.inference.scene import background
from maquette.inference.shipped.body import load_body

sys.path.insert(0, str(Path(__file__).parent))
from test_ground import CAMERA, HEIGHT, _person

TILT, PLACES, WALL = (10.0, 2.0), [(-0.8, 3.5), (0.9, 5.0)], 8.0
SIZE = CAMERA.height, CAMERA.width


def turned() -> np.ndarray:
    """(3, 3) from a level camera's axes to those of the tilted one."""
    pitch, roll = np.radians(TILT)
    down = quaternion.from_rotation_vector(np.array([pitch, 0.0, 0.0]))
    camera = quaternion.multiply(quaternion.from_rotation_vector(np.array([0.0, 0.0, roll])), down)
    return np.stack([quaternion.rotate(camera, axis) for axis in np.eye(3)], -1)


def empty_set() -> np.ndarray:
    """Metres along z of floor and wall."""
    rays = CAMERA.rays().astype(float) @ turned()
    with np.errstate(divide="ignore"):
        floor = np.where(rays[..., 1] > 0, HEIGHT / rays[..., 1], np.inf)
        wall = np.where(rays[..., 2] > 0, WALL / rays[..., 2], np.inf)
    return np.minimum(floor, wall).astype(np.float32)


@pytest.fixture(scope="module")
def known(walk):
    """The true people, and the whole set's depth."""
    persons = [_person(walk, 7 * number, place, TILT, track=number) for number, place in enumerate(PLACES)]
    depth, body = empty_set(), load_body()
    for person in persons:
        drawn, _ = rasterise(person.vertices, body.faces, CAMERA)
        depth = np.where((drawn > 0) & (drawn < depth), drawn, depth)
    return persons, depth


def fitted(walk, scales):
    """The same people as a fit sees them, whose statures are guessed."""
    persons = tuple(
        _person(walk, 7 * number, place, TILT, scale, number)
        for number, (place, scale) in enumerate(zip(PLACES, scales, strict=True))
    )
    return People((persons,), load_body(), CAMERA, (CAMERA,))


def measured(depth, scale):
    noise = np.exp(np.random.default_rng(5).normal(0, 0.02, SIZE)).astype(np.float32)
    pixels = np.full((*SIZE, 3), 120, np.uint8)
    return DepthMap(depth * noise * np.float32(scale), depth > 0, None, CAMERA, True, pixels, model="moge-2-small")


def photo():
    return Photo(np.random.default_rng(2).integers(60, 200, (*SIZE, 3)).astype(np.uint8), CAMERA)


@pytest.mark.parametrize(("depth_scale", "statures"), [(1.12, (0.97, 1.02)), (0.9, (1.03, 1.03)), (1.0, (1.0, 1.0))])
def test_camera_floor_person_and_depth_agree(known, walk, monkeypatch, depth_scale, statures):
    persons, depth = known
    monkeypatch.setattr(scene, "recover_people", lambda *_, **__: fitted(walk, statures))
    found = reconstruct_scene(photo(), scene_depth=measured(depth, depth_scale))
    up, height = found.world_from_camera[2, :3], found.world_from_camera[2, 3]
    assert np.degrees(np.arccos(np.clip(up @ turned() @ (0, -1, 0), -1, 1))) < 0.5
    empty = empty_set()
    hidden = np.any(found.masks, axis=0)
    ratio = found.depth.depth[~hidden & found.depth.valid] / empty[~hidden & found.depth.valid]
    whole = float(np.median(ratio))
    assert abs(height / HEIGHT / whole - 1) < 0.03, "the floor is where the depth has it"
    for person, true in zip(found.people.frames[0], persons, strict=True):
        own = float(np.median(person.vertices[:, 2] / true.vertices[:, 2]))
        assert abs(own / whole - 1) < 0.03, "a person is as far as the depth has it"
        feet = float(np.percentile(person.vertices @ up + height, 0.5))
        assert abs(feet) < 0.03 * HEIGHT, "and stands on the floor"
    assert abs(whole - 1) < 0.03 + 0.5 * abs(depth_scale - 1), "nearer to the truth than the depth was"


def test_people_are_left_out_and_the_set_goes_on_behind_them(known, walk, monkeypatch):
    _, depth = known
    monkeypatch.setattr(scene, "recover_people", lambda *_, **__: fitted(walk, (1.0, 1.0)))
    picture = photo()
    found = reconstruct_scene(picture, scene_depth=replace(measured(depth, 1.0), depth=depth))
    hidden = np.any(found.masks, axis=0)
    assert hidden.mean() > 0.02 and found.depth.valid[hidden].mean() > 0.98
    off = np.abs(found.depth.depth / found.depth_scale / empty_set() - 1)[hidden]
    assert np.median(off) < 0.02 and np.percentile(off, 95) < 0.1
    np.testing.assert_array_equal(found.picture[:20, :20], picture.pixels[:20, :20])
    assert not np.array_equal(found.picture[hidden], picture.pixels[hidden])


def test_a_plane_goes_on_straight_behind_a_hole():
    depth = 1 / np.fromfunction(lambda v, u: 0.2 + 0.001 * u + 0.002 * v, SIZE)
    mask = np.zeros(SIZE, bool)
    mask[150:330, 250:340] = True
    filled, _ = background.without(measured(depth.astype(np.float32), 1.0), [mask])
    clean = replace(measured(depth.astype(np.float32), 1.0), depth=depth.astype(np.float32))
    filled, hidden = background.without(clean, [mask])
    assert np.abs(filled.depth / depth - 1)[hidden].max() < 0.02 and filled.valid.all()


def test_what_there_is_no_model_for_is_left_out_and_said(walk, monkeypatch, tmp_path):
    monkeypatch.setattr(scene, "recover_people", lambda *_, **__: fitted(walk, (1.0, 1.0)))
    found = reconstruct_scene(photo(), models_dir=tmp_path)
    assert (
        found.depth is None and found.model == "" and any("but the people was left out" in note for note in found.notes)
    )
    hidden = np.any(found.masks, axis=0)
    assert (found.picture[hidden] != photo().pixels[hidden]).any(-1).mean() > 0.9, (
        "they are painted out of what is behind"
    )
    nobody = People(((),), load_body(), CAMERA, (CAMERA,))
    monkeypatch.setattr(scene, "recover_people", lambda *_, **__: nobody)
    empty = reconstruct_scene(photo(), models_dir=tmp_path)
    assert empty.depth is None and empty.picture is None and empty.people.frames == ((),)
    assert any("but the camera was left out" in note and "MoGe-2 small (MIT)" in note for note in empty.notes)
    np.testing.assert_allclose(empty.world_from_camera[:3, 3], (0, 0, EYE_HEIGHT), atol=1e-9)
    alone = reconstruct_scene(photo(), scene_depth=measured(empty_set(), 1.0))
    assert (
        alone.world_from_camera[2, 3] == pytest.approx(HEIGHT, rel=0.03)
        and "There is nobody in the photo" in alone.notes
    )
    assert alone.depth is not None and alone.picture is None


def test_the_lens_of_the_depth_is_everyones(known, walk, monkeypatch):
    _, depth = known
    seen = []

    def recover(given, *_, **__):
        seen.append(given.camera)
        return fitted(walk, (1.0, 1.0))

    monkeypatch.setattr(scene, "recover_people", recover)
    own = Camera(640, 640, 320, 240, 640, 480, "model")
    reconstruct_scene(photo().pixels, scene_depth=replace(measured(depth, 1.0), camera=own))
    assert seen == [own]
    assert inference.reconstruct_scene is reconstruct_scene


def test_what_no_body_fits_is_nobody(walk):
    """A cat's face may be taken for somebody; of a real one some joints are seen. Other models judge otherwise."""
    people = fitted(walk, (1.0, 1.0))
    first, second = people.frames[0]
    weak = replace(second, confidence=np.full_like(second.confidence, 0.1))
    face = replace(first, confidence=np.where(np.arange(len(first.confidence)) < 5, 0.9, 0).astype(np.float32))
    people = replace(people, frames=((face, weak),), model="builtin")
    kept, notes = scene.seen(people)
    assert kept.frames == ((face,),) and "What may be a person was left out" in notes[0]
    assert scene.seen(replace(people, model="hmr2")) == (replace(people, model="hmr2"), ())
