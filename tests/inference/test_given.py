# SPDX-License-Identifier: GPL-3.0-or-later
"""A camera whose motion is given: people stand and walk in its world, and what does not fit is said."""

import json
from dataclasses import replace

import numpy as np
import pytest
from maquette.inference import Camera, runtime
from maquette.inference.camera import level_world
from maquette.inference.errors import BadInput
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.people.clip.contact import find_contacts
from maquette.inference.people.clip.given import STANDS, travel_given, with_poses
from maquette.inference.people.clip.motion import Spell, joint_transforms
from maquette.inference.people.clip.scenery import Background
from maquette.inference.people.clip.travel import Travel
from maquette.inference.people.clip.world import in_cameras, in_world, stand_behind, travel_behind, world_behind
from maquette.inference.people.fit.legs import find_legs, sole_points
from maquette.inference.shipped.body import load_body

HEIGHT, FLIP = 1.4, np.diag([1.0, -1, -1, 1])
OPTIONS = {"plant": 1.0, "floor_height": 0.0, "floor_pitch": 0.0, "floor_roll": 0.0, "camera_motion": "scene"}


def _way(count):
    """(T, 4, 4) first camera from each of a dolly that pans, which is rolled and high in a world of its own; and that
    world from the first, as Blender has its cameras."""
    ways = np.tile(np.eye(4), (count, 1, 1))
    turned = quaternion.from_rotation_vector(np.array([[0.0, 0.2, 0.0]]) * np.linspace(0, 1, count)[:, None])
    ways[:, :3, :3] = np.stack([quaternion.rotate(turned, axis) for axis in np.eye(3)], axis=-1)
    ways[:, 0, 3] = np.linspace(0, 1.5, count)
    world = level_world((0.0, -1.0, 0.0), HEIGHT)
    about = np.eye(4)
    about[:2, :2], about[:2, 3] = [[0.6, -0.8], [0.8, 0.6]], (7, -3)
    return ways, about @ world @ ways @ FLIP


def _recovered(motion, ways, near=0.04):
    """The walk in the axes of the camera that moves, the distance off by a share and legs by some degrees."""
    body, rng = load_body(), np.random.default_rng(0)
    legs = [body.joint_names.index(name + side) for name in ("upperleg01", "lowerleg01") for side in (".L", ".R")]
    vectors = np.zeros((*motion.rotations.shape[:2], 3))
    vectors[:, legs] = rng.normal(0, np.radians(2), (1, len(legs), 3))
    motion = replace(motion, rotations=quaternion.multiply(quaternion.from_rotation_vector(vectors), motion.rotations))
    (spell,) = in_cameras(body, [Spell(0, 0, motion)], Travel(ways))
    place = spell.motion.translation + near * (spell.motion.translation + body.joints[0])
    return [replace(spell, motion=replace(spell.motion, translation=place))]


def _solved(walk, poses, **options):
    motion, cameras = walk.motion, (Camera(500.0, 500.0, 320.0, 240.0, 640, 480),) * len(walk.motion)
    spells = _recovered(motion, _way(len(motion))[0])
    options = with_poses({**OPTIONS, "camera_poses": poses, **options}, len(motion))
    behind = Background(np.zeros((0, 4)))
    travel = travel_behind(load_body(), spells, behind, cameras, motion.fps, options)
    spells, ground = stand_behind(load_body(), spells, travel, options, runtime.start("cpu"))
    (walked,) = in_world(load_body(), spells, travel)
    _, joints = joint_transforms(load_body(), walked.motion)
    world = world_behind(ground, [], travel)
    return travel, walked.motion, joints @ world[:3, :3].T + world[:3, 3]


def test_who_walks_before_a_given_camera_walks_in_its_world(walk):
    _, poses = _way(len(walk.motion))
    scaled = poses.copy()
    scaled[:, :3, :3] *= 3.0  # the camera hangs on something that is scaled
    travel, motion, joints = _solved(walk, scaled)
    assert travel.note == "" and np.allclose(travel.world, poses[0] @ FLIP)
    _, true = joint_transforms(load_body(), walk.motion)
    true = true @ travel.world[:3, :3].T + travel.world[:3, 3]
    length, right = (np.linalg.norm(one[-1, 0] - one[0, 0]) for one in (joints, true))
    assert length == pytest.approx(right, rel=0.03)
    assert np.abs(joints[:, 0] - true[:, 0]).max() < 0.12
    legs = find_legs(load_body(), motion.shape)
    turned, placed = joint_transforms(load_body(), motion)
    held = 0
    for one in find_contacts(load_body(), motion, travel.ground, legs):
        if one.stop - one.start > 5:
            sole = sole_points(legs[one.leg], turned, placed)[one.start + 1 : one.stop - 1, one.point]
            assert np.linalg.norm(np.diff(sole, axis=0), axis=1).mean() * motion.fps < 0.15
            assert abs(travel.ground.heights(sole).mean()) < 0.01
            held += 1
    assert held > 3


def test_a_world_of_another_size_or_another_way_up_is_said(walk):
    _, poses = _way(len(walk.motion))
    wide = poses.copy()
    wide[:, :3, 3] *= 1.5
    travel, _, joints = _solved(walk, wide)
    assert "1.5 times as tall" in travel.note and "by 0.6" in travel.note
    said = float(travel.note.partition("at height ")[2].split()[0])
    assert said == pytest.approx(0.5 * HEIGHT, abs=0.1) and abs(joints[..., 2].min() - said) < 0.1
    tilted = np.eye(4)
    tilted[:3, :3] = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # z up taken for y up
    assert "lean by 90°" in _solved(walk, tilted @ poses)[0].note
    _, _, raised = _solved(walk, poses, floor_height=0.1)
    assert abs(raised[..., 2].min() - 0.1) < 0.06, "the floor is higher in the camera's world, which stays"


def test_a_camera_that_stands_or_stops_is_told():
    _, poses = _way(20)
    assert travel_given(np.repeat(poses[:1], 9, 0)).note == STANDS
    stopped = np.concatenate([poses[:15], np.repeat(poses[14:15], 5, 0)])
    assert travel_given(stopped).note == f"{STANDS} in the clip's frames 15 to 20: is it tracked there?"
    assert travel_given(poses).note == ""


def test_poses_are_read_from_files_and_what_they_cannot_be_is_said(tmp_path):
    _, poses = _way(6)
    asked = {**OPTIONS, "camera_poses": None}

    def read(given, **how):
        return with_poses({**asked, "camera_poses": given}, 6, **how)["camera_poses"]

    np.save(tmp_path / "way.npy", poses)
    np.savez(tmp_path / "way.npz", poses=poses)
    (tmp_path / "way.json").write_text(json.dumps(poses.tolist()))
    frames = [{"file_path": "x", "transform_matrix": pose.tolist()} for pose in poses]
    (tmp_path / "nerf.json").write_text(json.dumps({"frames": frames}))
    for name in ("way.npy", "way.npz", "way.json", "nerf.json"):
        np.testing.assert_allclose(read(tmp_path / name), poses @ FLIP)
    mirrored, sheared, gone = poses * [-1, 1, 1, 1], poses.copy(), poses.copy()
    sheared[3, 0, 1] += 0.1
    gone[2, 0, 3] = np.nan
    (tmp_path / "broken.json").write_text("{")
    for given, why in (
        (poses[:4], "4 poses, the clip 6 frames"), (mirrored, "mirrored in frame 1"), (sheared, "in frame 4"),
        (gone, "not finite"), (poses[0], "not finite matrices"), (tmp_path / "none.npz", "cannot be read"),
        (tmp_path / "broken.json", "cannot be read"), (None, "needs the camera's poses"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=why):
            read(given)
    with pytest.raises(BadInput, match="through a clip"):
        read(poses, tracked=False)
    with pytest.raises(BadInput, match="count only where"):
        with_poses({**asked, "camera_motion": "auto", "camera_poses": poses}, 6)
