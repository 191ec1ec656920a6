# SPDX-License-Identifier: GPL-3.0-or-later
"""The refinement of HMR 2.0's answer on landmarks: its arithmetic, and that it lowers the reprojection error."""

from dataclasses import replace

import numpy as np
import pytest
from maquette.inference import Camera, Clip, recover_people, runtime
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.rotations import quaternions_of, rotation_matrices
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people.clip.motion import Motion
from maquette.inference.people.clip.smooth import smooth_motion
from maquette.inference.people.hmr2 import refine
from maquette.inference.people.hmr2.body import load_template
from maquette.inference.people.hmr2.markers import KEYPOINTS, SOURCES, landmark_markers
from maquette.inference.people.hmr2.refine import Evidence, Pose
from maquette.inference.shipped import search
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.pose import PoseLandmarks

CAMERA = Camera(900.0, 900.0, 320.0, 240.0, 640, 480)


@pytest.fixture(scope="module")
def template(hmr2_models):
    return load_template(hmr2_models)


@pytest.fixture(scope="module")
def markers(template):
    return landmark_markers(template)


def random_pose(frames, turn=0.3, seed=0):
    rng = np.random.default_rng(seed)
    turns = rotation_matrices(quaternion.from_rotation_vector(rng.normal(0, turn, (frames, 24, 3))))
    place = np.array([0.1, 0.2, 4.0]) + rng.normal(0, 0.1, (frames, 3))
    return Pose(turns, place, rng.normal(0, 0.5, (1, 10)).repeat(frames, 0))


def seen(markers, pose, noise=0.0, seed=1):
    points, _ = markers.place(pose.matrices, pose.translation, pose.shape)
    frames, count = points.shape[:2]
    pixels = CAMERA.project(points) + np.random.default_rng(seed).normal(0, max(noise, 1e-9), (frames, count, 2))
    focal, centre = (np.tile(pair, (frames, 1)) for pair in ((900.0, 900.0), (320.0, 240.0)))
    return Evidence(pixels, np.full((frames, count), 4.0), np.ones((frames, count)), focal, centre)


def error(markers, evidence, pose):
    return evidence.mean_error(markers.place(pose.matrices, pose.translation, pose.shape)[0])


def test_keypoints_without_vertices_are_those_of_the_skin(template, markers):
    pose = random_pose(4)
    points, _ = markers.place(pose.matrices, pose.translation, pose.shape)
    vertices, joints = pose_body(template.body, pose.shape, quaternions_of(pose.matrices), pose.translation)
    offset = np.linalg.norm(template.keypoints(vertices, joints)[:, KEYPOINTS] - points, axis=-1)
    # Corrections that depend on the pose are left out; joints have none.
    assert np.median(offset) < 1e-3 and offset.max() < 0.05


def test_slopes_are_those_of_small_steps(markers):
    pose, step = random_pose(3), 1e-6
    points, slopes = markers.place(pose.matrices, pose.translation, pose.shape)
    for parameter in (*range(0, 75, 4), 75, 80, 84):
        change = np.zeros((3, markers.size(True)))
        change[:, parameter] = step
        moved = pose.moved(change)
        there, _ = markers.place(moved.matrices, moved.translation, moved.shape)
        np.testing.assert_allclose((there - points) / step, slopes[..., parameter], atol=1e-5)
    _, without = markers.place(pose.matrices, pose.translation, pose.shape, with_shape=False)
    np.testing.assert_array_equal(without, slopes[..., :75])


@pytest.mark.parametrize("with_shape", [True, False])
def test_a_fit_finds_the_landmarks_and_stays_near_the_answer(markers, with_shape):
    true = random_pose(5)
    rng = np.random.default_rng(2)
    start = true.moved(rng.normal(0, 0.12, (5, 75)))
    evidence = seen(markers, true, noise=1.0)
    found = refine.fit(markers, evidence, start, start, with_shape)
    before, after = error(markers, evidence, start), error(markers, evidence, found)
    assert before > 15 and after < 2.5
    turned = quaternions_of(np.swapaxes(start.matrices, -1, -2) @ found.matrices)
    assert np.degrees(quaternion.angle_between(turned, quaternion.IDENTITY)).mean() < 10
    assert np.array_equal(found.shape, start.shape) == (not with_shape)


def test_wrong_landmarks_let_go(markers):
    true = random_pose(3)
    evidence = seen(markers, true)
    evidence.pixels[:, 10] += 200
    found = refine.fit(markers, evidence, true, true, True)
    errors = evidence.errors(markers.place(found.matrices, found.translation, found.shape)[0])
    assert np.delete(errors, 10, 1).max() < 3 and errors[:, 10].min() > 150


def test_landmarks_of_no_weight_change_nothing(markers):
    start = random_pose(2)
    evidence = seen(markers, random_pose(2, seed=9))
    evidence.weights[:] = 0
    found = refine.fit(markers, evidence, start, start, True)
    np.testing.assert_allclose(found.matrices, start.matrices, atol=1e-9)
    assert evidence.mean_error(np.ones((2, len(SOURCES), 3))) == 0


def landmark_error(people, frames, landmarks):
    """Mean distance in pixels of the people's keypoints from what the built-in network sees of them."""
    total = weights = 0.0
    for persons, camera, seen_here in zip(people.frames, frames, landmarks, strict=True):
        for person, one in zip(persons, seen_here, strict=True):
            evidence = refine.gather([one], [camera])
            total += (evidence.errors(person.keypoints_3d[None, KEYPOINTS]) * evidence.weights).sum()
            weights += evidence.weights.sum()
    return total / weights


def test_photos_come_nearer_to_what_is_seen(small_hmr2, crossing_clip):
    clip, boxes, _ = crossing_clip
    photos, some = list(clip)[::12], boxes[::12]
    run = runtime.start("cpu")
    landmarks = [search.find_people(photo.pixels, run, boxes=box) for photo, box in zip(photos, some, strict=True)]
    errors, results = [], []
    for asked in (False, True):
        people = recover_people(photos, "hmr2", boxes=some, refine=asked, device="cpu", models_dir=small_hmr2)
        errors.append(landmark_error(people, people.cameras, landmarks))
        results.append(people)
    assert errors[1] < 0.6 * errors[0]
    for before, after in zip(*(people.frames for people in results), strict=True):
        assert len(before) == len(after) == 2
        for person in after:
            vertices, _ = pose_body(results[1].body, person.shape, person.rotations, person.translation)
            np.testing.assert_allclose(vertices, person.vertices, atol=1e-5)


def walking(template, frames=40):
    """A motion of swinging limbs before `CAMERA`, as it is, and as a network sees it: each frame off by itself, and all
    of them a little to one side."""
    time, rng = np.arange(frames) / 25, np.random.default_rng(5)
    vectors = rng.normal(0, 0.25, (24, 3)) * np.sin(2 * np.pi * (time[:, None, None] + rng.random((24, 1))))
    vectors[:, 0] = (0, 0.4, 0)
    turns = quaternion.from_rotation_vector(vectors)
    path = np.stack([0.5 * time - 0.4, 0 * time + 0.2, 4 + 0 * time], 1)
    shape = rng.normal(0, 0.5, 10)
    true = Motion(turns, path, shape, np.ones((frames, 24)), 25.0)
    off = quaternion.from_rotation_vector(rng.normal(0, 0.15, (24, 3)) + rng.normal(0, 0.06, (frames, 24, 3)))
    told = replace(true, rotations=quaternion.multiply(turns, off), translation=path + rng.normal(0, 0.02, path.shape))
    return true, told


def read(template, motion, spread=2.0):
    """What the pose network would see of a motion: landmarks that are `spread` pixels off, one hand nowhere near."""
    rng, found = np.random.default_rng(6), {}
    for frame in range(len(motion)):
        vertices, joints = pose_body(template.body, motion.shape, motion.rotations[frame], motion.translation[frame])
        points, ones = np.zeros((39, 2), np.float32), np.ones(39, np.float32)
        points[SOURCES] = CAMERA.project(template.keypoints(vertices, joints)[KEYPOINTS])
        points += rng.normal(0, spread, points.shape)
        points[15] += (120, 0) if frame % 10 == 0 else (0, 0)
        region, empty = Region(320, 240, 400), np.zeros((0, 0), np.float32)
        found[frame] = PoseLandmarks(
            points,
            np.zeros((39, 3)),
            ones,
            ones,
            0.9,
            0.9,
            ones * spread,
            ones,
            ones,
            0.01,
            region,
            region.matrix,
            empty,
        )
    return found


def places(template, motion):
    """Joints (T, 24, 3) from the root."""
    _, joints = pose_body(template.body, motion.shape, motion.rotations, motion.translation)
    return joints - joints[:, :1]


def test_a_motion_comes_nearer_to_the_truth_and_stays_calm(template):
    true, told = walking(template)
    landmarks, cameras, run = read(template, true), [CAMERA] * len(true), runtime.start("cpu")
    calm = smooth_motion(told, 1.0)
    found = refine.refine_motion(template, told, landmarks, cameras, run, 1.0)
    evidence = refine.gather([landmarks[frame] for frame in range(len(true))], cameras)
    errors = [evidence.mean_error(refine._keypoints(template, motion)) for motion in (calm, found)]
    assert errors[1] < 0.6 * errors[0]
    truth = places(template, true)
    off = [np.linalg.norm(places(template, motion) - truth, axis=-1).mean() for motion in (calm, found)]
    assert off[1] < off[0]
    jerk = [
        np.linalg.norm(np.diff(places(template, motion), 3, axis=0), axis=-1).mean() for motion in (told, calm, found)
    ]
    assert jerk[2] < 1.5 * jerk[1] < 0.5 * jerk[0]


def test_a_motion_that_cannot_come_nearer_is_the_smoothed_one(template):
    true, _ = walking(template, 12)
    landmarks = read(template, smooth_motion(true), spread=0.0)
    for one in landmarks.values():
        one.visibility[:] = 0
    found = refine.refine_motion(template, true, landmarks, [CAMERA] * 12, runtime.start("cpu"), 1.0)
    np.testing.assert_array_equal(found.rotations, smooth_motion(true, 1.0).rotations)


def test_a_clip_comes_nearer_to_what_is_seen(small_hmr2, crossing_clip):
    clip, boxes, _ = crossing_clip
    photos, count = list(clip), 6
    short, some = Clip("short", count, clip.fps, lambda: iter(photos[:count])), boxes[:count]
    run = runtime.start("cpu")
    landmarks = search.find_people(photos[3].pixels, run, boxes=some[3])
    errors = []
    for asked in (False, True):
        people = recover_people(short, "hmr2", boxes=some, refine=asked, plant=0, device="cpu", models_dir=small_hmr2)
        assert len(people.tracks()) == 2
        order = [next(p for p in people.frames[3] if np.allclose(p.box, box)) for box in some[3]]
        points = np.stack([person.keypoints_3d[KEYPOINTS] for person in order])
        errors.append(refine.gather(landmarks, [people.cameras[3]] * 2).mean_error(points))
    assert errors[1] < 0.8 * errors[0]
