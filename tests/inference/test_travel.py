# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras that move: solved from points of the background, in the metres of people whose feet stand."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from maquette.inference import Camera, People, Person, runtime
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people.clip.motion import Spell, in_first_camera
from maquette.inference.people.clip.scenery import Scenery, joined
from maquette.inference.people.clip.travel import (
    BLIND,
    MOVES,
    SHIFTS,
    TURNS,
    UNSOLVED,
    ZOOMS,
    Travel,
    scaled,
    through_lens,
    travel_of,
)  # fmt: skip
from maquette.inference.people.clip.world import in_cameras, in_world, way_up
from maquette.inference.shipped.body import load_body

CAMERA = Camera(560.0, 560.0, 240.0, 180.0, 480, 360)
FRAMES, FPS = 40, 24.0


def _path(kind):
    """(T, 4, 4) first camera from each frame's."""
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    for frame in range(FRAMES):
        share = frame / FRAMES
        angle = {"still": 0.0, "pan": 0.5 * share, "dolly": 0.0, "orbit": -0.6 * share}[kind]
        poses[frame, :3, :3] = cv2.Rodrigues(np.array([0.0, angle, 0.0]))[0]
        poses[frame, :3, 3] = {
            "still": (0, 0, 0), "pan": (0, 0, 0), "dolly": (1.5 * share, 0, 0.3 * share),
            "orbit": (-5 * np.sin(angle), 0, 5 - 5 * np.cos(angle)),
        }[kind]  # fmt: skip
    return poses


def _followed(poses, noise=0.1, loose=0.0, seed=0):
    """Paths of points on a floor and a wall, some of them on somebody who walks by (a share `loose`)."""
    random = np.random.default_rng(seed)
    wall = np.stack([random.uniform(-6, 6, 260), random.uniform(-2.5, 1.4, 260), random.uniform(6, 9, 260)], 1)
    floor = np.stack([random.uniform(-5, 5, 140), np.full(140, 1.45), random.uniform(3, 7, 140)], 1)
    points, rows = np.concatenate([wall, floor]), []
    walking = random.random(len(points)) < loose
    for frame, pose in enumerate(poses):
        now = points + walking[:, None] * np.array([-0.02, -0.01, 0.03]) * frame
        local = (now - pose[:3, 3]) @ pose[:3, :3]
        seen = CAMERA.project(local) + random.normal(0, noise, (len(points), 2))
        inside = (local[:, 2] > 0.1) & (seen > 0).all(1) & (seen < (480, 360)).all(1)
        named = np.flatnonzero(inside)
        rows.append(np.column_stack([named, np.full(len(named), frame), seen[named]]))
    return np.concatenate(rows)


def _angles(poses, true):
    turned = np.trace(np.swapaxes(poses[:, :3, :3], 1, 2) @ true[:, :3, :3], axis1=1, axis2=2)
    return np.degrees(np.arccos(np.clip((turned - 1) / 2, -1, 1)))


def _solve(kind, **how):
    return travel_of(_followed(_path(kind), **how), (CAMERA,) * FRAMES, FPS)


def test_a_camera_that_stands_still_is_known_as_one():
    assert _solve("still", loose=0.2) == Travel()
    paths = _followed(_path("still"))
    bare = paths[(paths[:, 1] < 30) | (paths[:, 0] < 10)]
    for few in (np.zeros((0, 4)), bare):
        assert travel_of(few, (CAMERA,) * FRAMES, FPS) == Travel(note=BLIND), "nobody can tell"


def test_a_camera_that_turns_stays_in_its_place():
    found = _solve("pan", loose=0.05)
    assert found.turns
    assert _angles(found.poses, _path("pan")).max() < 0.1
    assert np.abs(found.poses[:, :3, 3]).max() == 0


@pytest.mark.parametrize("kind", ["dolly", "orbit"])
def test_a_camera_that_travels_is_found_but_for_the_scale(kind):
    found, true = _solve(kind, loose=0.08), _path(kind)
    assert not found.turns
    assert _angles(found.poses, true).max() < 0.5
    mine, way = found.poses[:, :3, 3], true[:, :3, 3]
    scale = (mine * way).sum() / (mine**2).sum()
    assert np.abs(scale * mine - way).max() < 0.02 * np.linalg.norm(way, axis=1).max()


def _zoomed(paths, last):
    """What a camera sees that zooms by so much."""
    shares = np.linspace(1, last, FRAMES)
    paths = paths.copy()
    paths[:, 2:] = (paths[:, 2:] - (240, 180)) * shares[paths[:, 1].astype(int), None] + (240, 180)
    return paths[((paths[:, 2:] > 0) & (paths[:, 2:] < (480, 360))).all(1)], shares


@pytest.mark.parametrize(
    ("kind", "last", "lens"), [("still", 1.3, "given"), ("pan", 0.8, "given"), ("pan", 1.3, "default")]
)
def test_a_zoom_is_no_way(kind, last, lens):
    paths, shares = _zoomed(_followed(_path(kind), loose=0.05), last)
    off = 1.4 if (kind, lens) == ("pan", "default") else 1
    cameras = (replace(CAMERA.with_focal(off * 560, off * 560), source=lens),) * FRAMES
    told = travel_of(paths, (CAMERA,) * FRAMES, FPS)
    assert told == Travel(lost=True, note=f"{UNSOLVED} (it zooms)"), "where nobody asks for another lens"
    seen = through_lens(paths, cameras, FPS, runtime.start("cpu"))
    assert np.allclose([camera.fx / 560 for camera in seen], shares, rtol=0.002 if off == 1 else 0.03)
    assert seen[0].source == (lens if off == 1 else "motion")
    found = travel_of(paths, seen, FPS)
    assert found.turns and found.note == ZOOMS
    assert _angles(found.poses, _path(kind)).max() < (0.1 if off == 1 else 1)


def test_a_camera_that_is_carried_nearer_does_not_zoom():
    path = _path("still")
    path[:, 2, 3] = np.linspace(0, 1, FRAMES)
    paths, cameras = _followed(path, loose=0.05), (CAMERA,) * FRAMES
    assert through_lens(paths, cameras, FPS, runtime.start("cpu")) == cameras
    assert travel_of(paths, cameras, FPS).note == MOVES


@pytest.mark.parametrize("kind", ["pan", "dolly"])
def test_a_moment_that_shows_nothing_is_bridged(kind):
    paths, true = _followed(_path(kind)), _path(kind)
    found = travel_of(paths[~np.isin(paths[:, 1], (0, 20, 21, 22))], (CAMERA,) * FRAMES, FPS)
    assert not found.lost and found.turns == (kind == "pan")
    assert _angles(found.poses, np.linalg.inv(true[1]) @ true)[1:].max() < 0.5
    way = np.diff(found.poses[1:, :3, 3], axis=0)
    assert found.turns or np.allclose(way, way.mean(axis=0), atol=0.1 * np.linalg.norm(way.mean(axis=0)))


def test_what_cannot_be_solved_is_said():
    random = np.random.default_rng(0)
    paths = _followed(_path("pan"))
    paths[:, 2:] += random.normal(0, 15, (len(paths), 2))
    assert travel_of(paths, (CAMERA,) * FRAMES, FPS) == Travel(lost=True, note=UNSOLVED)
    cut = travel_of(_followed(_path("pan")), (CAMERA,) * FRAMES, FPS, cuts=(20,))
    assert cut.poses is None and cut.lost
    assert "cut" in cut.note


def test_small_films_are_followed_less_exactly():
    rough = _followed(_path("orbit"), noise=0.6)
    rough[:, 2:] *= 320 / 480
    small = replace(CAMERA, fx=560 * 2 / 3, fy=560 * 2 / 3, cx=160, cy=120, width=320, height=240)
    found = travel_of(rough, (small,) * FRAMES, FPS)
    assert found.poses is not None and _angles(found.poses, _path("orbit")).max() < 1


@pytest.mark.parametrize("kind", ["pan", "orbit"])
def test_how_the_camera_moves_tells_a_lens_that_is_a_guess(kind):
    paths = _followed(_path(kind))
    guess = (replace(CAMERA, fx=300.0, fy=300.0, source="default"),) * FRAMES
    assert not travel_of(paths, guess, FPS).turns, "a pan through a wrong lens looks like a way"
    found = through_lens(paths, guess, FPS, runtime.start("cpu"))
    assert found[0].source == "motion" and found[0].fx == pytest.approx(CAMERA.fx, rel=0.15)
    assert _angles(travel_of(paths, found, FPS).poses, _path(kind)).max() < 4
    told = (replace(guess[0], source="exif"),) * FRAMES
    assert through_lens(paths, told, FPS, runtime.start("cpu")) == told
    cut = through_lens(paths, guess, FPS, runtime.start("cpu"), cuts=(20,))
    assert cut == guess


def test_a_picture_that_was_reframed_afterwards_is_told_of():
    paths, guess = _followed(_path("still")), (Camera.default(240, 360),) * FRAMES
    paths[:, 2] -= 160 * paths[:, 1] / FRAMES  # an upright part of a wide film that follows somebody through it
    paths = paths[(paths[:, 2] > 0) & (paths[:, 2] < 240)]
    assert travel_of(paths, through_lens(paths, guess, FPS, runtime.start("cpu")), FPS).note.endswith(SHIFTS)
    for kind in ("pan", "dolly", "orbit"):
        assert SHIFTS not in _solve(kind).note
    panned, guess = _followed(_path("pan")), (replace(CAMERA, fx=460.0, fy=460.0, source="default"),) * FRAMES
    assert travel_of(panned, through_lens(panned, guess, FPS, runtime.start("cpu")), FPS).note == TURNS


def test_the_ground_below_the_feet_gives_the_scale_of_who_runs_and_jumps():
    true, unit = _path("dolly"), travel_of(_followed(_path("dolly"), noise=0.05), (CAMERA,) * FRAMES, FPS)
    feet = np.zeros((FRAMES, 2, 3))
    for frame in range(FRAMES):
        feet[frame] = (0.05 * frame - 1, 1.45 - 0.2 * (frame % 8 > 5), 6), (0.05 * frame - 1, 1.25, 6.1)
    local = np.einsum("tji,tfj->tfi", true[:, :3, :3], feet - true[:, None, :3, 3])
    found = scaled(unit, [(np.arange(FRAMES), local)], FPS)
    length = np.linalg.norm(found.poses[-1, :3, 3]) / np.linalg.norm(true[-1, :3, 3])
    assert length == pytest.approx(1, abs=0.05)
    assert scaled(replace(unit, points=unit.points[:2]), [(np.arange(FRAMES), local)], FPS).lost


def test_the_feet_of_the_people_give_the_scale():
    true = _path("orbit")
    unit = true.copy()
    unit[:, :3, 3] /= 3.7
    feet = np.zeros((FRAMES, 2, 3))
    for frame in range(FRAMES):  # each foot stands while the other one swings
        step = frame // 10
        ahead = 0.3 * (frame % 10) / 10
        feet[frame, step % 2] = (0.15 * step, 1.4, 5.0)
        feet[frame, 1 - step % 2] = (0.15 * (step - 1) + ahead, 1.35, 5.1)
    local = np.einsum("tji,tfj->tfi", true[:, :3, :3], feet - true[:, None, :3, 3])
    local += np.random.default_rng(0).normal(0, 0.002, local.shape)
    found = scaled(Travel(unit), [(np.arange(FRAMES), local)], FPS)
    length = np.linalg.norm(found.poses[-1, :3, 3]) / np.linalg.norm(true[-1, :3, 3])
    assert length == pytest.approx(1, abs=0.05)
    nobody = scaled(Travel(unit), [], FPS)
    assert nobody.poses is None and nobody.lost
    assert "how far" in nobody.note


def test_points_are_followed_beside_people_and_over_pieces():
    random = np.random.default_rng(0)
    wide = cv2.GaussianBlur(random.integers(0, 255, (200, 400, 3), np.uint8), (0, 0), 2)
    scenes, parts = [Scenery(), Scenery()], []
    for frame in range(12):
        picture = np.ascontiguousarray(wide[:, 3 * frame : 3 * frame + 300])
        for start, scenery in zip((0, 6), scenes, strict=True):
            if start - 2 <= frame < start + 6:
                scenery.step(frame, picture, [])
    parts = [(0, scenes[0].paths), (6, scenes[1].paths)]
    paths = joined(parts)
    names, counts = np.unique(paths[:, 0], return_counts=True)
    assert (counts == 12).sum() > 20
    for name in names[counts == 12][:10]:
        own = paths[paths[:, 0] == name]
        assert np.allclose(np.diff(own[:, 2]), -3, atol=0.15)
        assert np.allclose(np.diff(own[:, 3]), 0, atol=0.15)
    assert joined([]).shape == (0, 4)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("cut", [False, True])
def test_points_are_followed_over_a_flash(length, cut):
    random = np.random.default_rng(0)
    wide = cv2.GaussianBlur(random.integers(0, 255, (200, 400, 3), np.uint8), (0, 0), 2)
    read = {(0, 16): Scenery(), (0, 10): Scenery(), (4, 16): Scenery()}
    for frame in range(16):
        picture = np.ascontiguousarray(wide[:, 4 * frame : 4 * frame + 300])
        if 10 - length <= frame < 10:
            picture = np.clip(255 - 0.1 * (255 - np.roll(picture, 50, 0).astype(float)), 0, 255).astype(np.uint8)
        for (start, stop), scenery in read.items():
            if start <= frame < stop:
                if cut and frame in (10 - length, 10):
                    scenery.cut()
                scenery.step(frame, picture, [])
    whole, first, second = (scenery.paths for scenery in read.values())
    assert not np.isin(whole[:, 1], range(10 - length, 10)).any()
    for paths in (whole, joined([(0, first), (10, second)])):
        names, counts = np.unique(paths[~np.isin(paths[:, 1], range(10 - length, 10)), 0], return_counts=True)
        kept = names[counts == 16 - length]
        assert len(kept) > 15
        for name in kept[:10]:
            own = paths[paths[:, 0] == name]
            assert np.allclose(own[:, 2] + 4 * own[:, 1], own[0, 2] + 4 * own[0, 1], atol=0.3)


def test_the_way_up_is_told_by_whichever_frame_knows_it():
    up, path = (0.1, -0.99, -0.1), _path("pan")
    cameras = (*[CAMERA] * 20, replace(CAMERA, up=up), *[CAMERA] * 19)
    assert way_up((CAMERA,) * FRAMES, Travel(path)) is None
    assert way_up(cameras, Travel(lost=True)) is None and way_up(cameras, Travel()) == up
    assert np.allclose(way_up(cameras, Travel(path)), path[20, :3, :3] @ up)


def test_motions_go_to_the_world_and_back(walk):
    body, path = load_body(), _path("orbit")
    spells = [Spell(0, 5, replace(walk.motion, **{
        name: getattr(walk.motion, name)[:30] for name in ("rotations", "translation", "confidence")
    }))]  # fmt: skip
    there = in_world(body, spells, Travel(path))
    (back,) = in_cameras(body, there, Travel(path))
    assert np.allclose(back.motion.translation, spells[0].motion.translation, atol=1e-9)
    turned = np.abs((back.motion.rotations * spells[0].motion.rotations).sum(-1))
    assert np.allclose(turned, 1)
    frames = [()] * 5
    for index in range(30):
        motion = spells[0].motion
        rotations, place = motion.rotations[index].astype(np.float32), motion.translation[index].astype(np.float32)
        vertices, joints = pose_body(body, motion.shape, rotations, place)
        keypoints = np.zeros((33, 2), np.float32)
        frames.append((Person(0, (0, 0, 1, 1), 1.0, None, vertices, joints, keypoints, rotations,
                              motion.shape.astype(np.float32), place, np.ones(len(joints), np.float32)),))  # fmt: skip
    frames += [()] * (FRAMES - len(frames))
    people = People(tuple(frames), body, CAMERA, (CAMERA,) * FRAMES, FPS, travel=path)
    carried = in_first_camera(people).frames[20][0]
    pose = path[20]
    assert np.allclose(carried.vertices, frames[20][0].vertices @ pose[:3, :3].T + pose[:3, 3], atol=1e-5)
    vertices, _ = pose_body(body, carried.shape, carried.rotations, carried.translation)
    assert np.allclose(vertices, carried.vertices, atol=1e-4)
    assert np.allclose(carried.translation, there[0].motion.translation[15], atol=1e-5)
    assert quaternion.angle_between(carried.rotations[:1], there[0].motion.rotations[15, :1]).max() < 1e-3
