# SPDX-License-Identifier: GPL-3.0-or-later
"""Gravity and the ground from people of known pose before cameras of known height and tilt."""

from dataclasses import replace

import numpy as np
import pytest
from maquette.inference import Camera, People, Person
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people.clip.ground import (
    EYE_HEIGHT,
    LEANING,
    fit_ground,
    gather_evidence,
    gather_motion_evidence,
    lean,
    posture,
    said_apart,
    scaled_shape,
    snap_feet,
    stand_together,
    standing_apart,
    world_from_camera,
)
from maquette.inference.shipped.body import load_body

CAMERA = Camera(600, 600, 320, 240, 640, 480)
HEIGHT = 1.4


def _person(
    walk, frame: int, place: tuple[float, float], tilt: tuple[float, float], scale: float = 1.0, track: int = 0
):
    """A frame of the walk at (x, z) before a camera that looks down by tilt[0] and is rolled by tilt[1] (degrees)."""
    body, motion = load_body(), walk.motion
    pitch, roll = np.radians(tilt)
    down = quaternion.from_rotation_vector(np.array([pitch, 0.0, 0.0]))
    camera = quaternion.multiply(quaternion.from_rotation_vector(np.array([0.0, 0.0, roll])), down)
    rotations = motion.rotations[frame].copy()
    root = body.joints[0] + motion.translation[frame]
    root = quaternion.rotate(camera, np.array([place[0], root[1], place[1]])) * scale
    rotations[0] = quaternion.multiply(camera, rotations[0])
    shape = scaled_shape(body, np.zeros(len(body.shape_blend_shapes)), scale)
    rest = body.joints[0] + shape @ body.joint_blend_shapes[:, 0]
    vertices, joints = pose_body(body, shape, rotations, root - rest)
    confidence = np.ones(len(joints), np.float32)
    return Person(
        track, (0, 0, 1, 1), 1.0, None, vertices, joints, np.zeros((33, 2), np.float32),
        rotations.astype(np.float32), shape, (root - rest).astype(np.float32), confidence,
    )  # fmt: skip


def _people(*frames):
    return People(tuple(frames), load_body(), CAMERA, tuple(CAMERA for _ in frames), 25.0)


def _tilt_error(world: np.ndarray, tilt: tuple[float, float]) -> float:
    """Degrees between the world's up and the true one, in camera axes."""
    pitch, roll = np.radians(tilt)
    down = quaternion.from_rotation_vector(np.array([pitch, 0.0, 0.0]))
    camera = quaternion.multiply(quaternion.from_rotation_vector(np.array([0.0, 0.0, roll])), down)
    up = quaternion.rotate(camera, np.array([0.0, -1.0, 0.0]))
    return float(np.degrees(np.arccos(np.clip(world[2, :3] @ up, -1, 1))))


@pytest.mark.parametrize("tilt", [(0, 0), (12, 0), (-8, 0), (5, 3)])
def test_a_few_people_give_gravity_and_ground(walk, tilt):
    places = [(-1.2, 3.5), (0.4, 5.0), (1.5, 6.5)]
    people = _people(tuple(_person(walk, 7 * i, place, tilt, track=i) for i, place in enumerate(places)))
    world = world_from_camera(people)
    assert _tilt_error(world, tilt) < 2.5
    assert world[2, 3] == pytest.approx(HEIGHT, abs=0.15)
    feet = [(person.vertices @ world[2, :3] + world[2, 3]).min() for person in people.frames[0]]
    assert np.abs(feet).max() < 0.12


def test_a_walk_gives_gravity_better_than_one_frame_of_it(walk):
    tilt = (10, 0)
    frames = [(_person(walk, t, (0.5, 3.0 + 0.05 * t), tilt),) for t in range(0, 60, 3)]
    assert _tilt_error(world_from_camera(_people(*frames)), tilt) < 2.0


def test_the_world_is_right_handed_with_the_first_person_over_its_origin(walk):
    person = _person(walk, 0, (0.8, 4.0), (8, 0))
    world = world_from_camera(_people((), (person,)))
    assert world.dtype == np.float64
    assert np.allclose(world[:3, :3] @ world[:3, :3].T, np.eye(3))
    assert np.linalg.det(world[:3, :3]) == pytest.approx(1)
    root = world[:3, :3] @ person.joints[0] + world[:3, 3]
    assert np.allclose(root[:2], 0, atol=1e-6)
    assert 0.7 < root[2] < 1.1
    forward, right = world[:3, 2], world[:3, 0]
    assert forward[0] == pytest.approx(0, abs=1e-9)
    assert forward[1] > 0.9
    assert right[0] > 0.99


def test_without_people_the_camera_is_level_at_eye_height():
    world = world_from_camera(_people((), ()))
    expected = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, EYE_HEIGHT], [0, 0, 0, 1]], float)
    assert np.allclose(world, expected)


def test_a_person_whose_feet_nobody_saw_says_nothing_about_the_ground(walk):
    seen = _person(walk, 0, (0, 4.0), (0, 0))
    floating = _person(walk, 0, (1.0, 4.0), (0, 0), track=1)
    floating = replace(
        floating, vertices=floating.vertices + np.float32([0, 1.0, 0]), confidence=0 * floating.confidence
    )
    alone, both = world_from_camera(_people((seen,))), world_from_camera(_people((seen, floating)))
    assert np.allclose(alone, both, atol=1e-3)


def test_people_of_whom_only_the_upper_half_is_seen_stand_all_the_same(walk):
    person = _person(walk, 0, (0, 4.0), (0, 0))
    person = replace(person, confidence=0 * person.confidence)
    world = world_from_camera(_people((person,)))
    lowest = (person.vertices @ world[:3, :3].T + world[:3, 3])[:, 2].min()
    assert abs(lowest) < 0.02
    assert _tilt_error(world, (0, 0)) < 4


def test_half_figures_of_one_photo_end_on_one_floor(walk):
    """Their guessed distances differ; the soles that nobody sees are the ones they stand on."""
    both = _person(walk, 0, (0, 4.0), (0, 0)), _person(walk, 0, (1.0, 4.0), (0, 0), scale=1.06, track=1)
    pair = _people(tuple(replace(one, confidence=0 * one.confidence) for one in both))
    world = world_from_camera(pair)
    soles = [one.vertices @ world[2, :3] + world[2, 3] for one in snap_feet(pair, world).frames[0]]
    before = [one.vertices @ world[2, :3] + world[2, 3] for one in both]
    assert max(abs(one.min()) for one in before) > 0.03
    assert all(abs(one.min()) < 0.015 for one in soles)


def test_half_figures_that_sit_hardly_tilt_the_floor(walk):
    """Their legs hang below the floor, which would rise steeply to who stands."""
    stands, sits = (_person(walk, 0, place, (0, 0), track=i) for i, place in enumerate([(0.5, 2.0), (-0.5, 3.2)]))
    lower = np.float32([0, 0.42, 0])
    sits = replace(sits, vertices=sits.vertices + lower, joints=sits.joints + lower)
    people = tuple(replace(one, confidence=0 * one.confidence) for one in (stands, sits))
    assert _tilt_error(world_from_camera(_people(people)), (0, 0)) < 5
    clip = _people(*[people] * 12)
    assert _tilt_error(world_from_camera(clip), (0, 0)) < 5


@pytest.mark.parametrize("seen", [False, True], ids=["half figures", "whole ones"])
def test_a_figurine_on_a_desk_does_not_tilt_the_floor(walk, seen):
    """Taken for an adult it stands far away and far below the floor; its feet may be the only ones in the picture."""
    people = [_person(walk, 9 * i, place, (0, 0), track=i) for i, place in enumerate([(-1, 2.2), (0, 3.0), (1, 2.5)])]
    if not seen:
        people = [replace(one, confidence=0 * one.confidence) for one in people]
    figurine, lower = _person(walk, 30, (1.5, 9.0), (0, 0), track=3), np.float32([0, 3.5, 0])
    figurine = replace(
        figurine, vertices=figurine.vertices + lower, joints=figurine.joints + lower,
        translation=figurine.translation + lower,
    )  # fmt: skip
    assert _tilt_error(world_from_camera(_people((*people, figurine))), (0, 0)) < 5
    together = stand_together(load_body(), [*people, figurine], CAMERA)
    assert together.apart == pytest.approx([-3.5], abs=0.6) and together.lean < np.radians(5)
    assert together.persons[3] is figurine, "who stands elsewhere keeps his size"
    assert said_apart(together.apart, "of the others")[0].startswith("One person stands 3.")


def test_a_shelf_of_figurines_does_not_outvote_the_people_before_it(walk):
    """They stand on one floor, and lean alike: each is drawn as if looked at from its own height."""
    people = [_person(walk, 9 * i, place, (0, 0), track=i) for i, place in enumerate([(-1, 2.2), (0, 3.0), (1, 2.5)])]
    people = [replace(one, confidence=0.4 * one.confidence * (one.joints[:, 1] < 0.2)) for one in people]
    figurines = [_person(walk, 9 * i, (i - 1.5, 12.0), (0, 0), track=3 + i) for i in range(4)]
    turn = np.array([[1, 0, 0], [0, np.cos(0.4), -np.sin(0.4)], [0, np.sin(0.4), np.cos(0.4)]])
    figurines = [
        replace(
            one, vertices=(one.vertices @ turn.T).astype(np.float32), joints=(one.joints @ turn.T).astype(np.float32)
        )
        for one in figurines
    ]
    people = _people((*people, *figurines))
    assert _tilt_error(world_from_camera(people), (0, 0)) < 7
    together = stand_together(load_body(), people.frames[0], CAMERA)
    assert len(together.apart) == 4 and min(together.apart) > 1 and together.lean < np.radians(10)


def test_people_who_lean_all_alike_are_told_of(walk):
    """On a floor that something else tilts."""
    evidence = gather_evidence(_people(tuple(_person(walk, 9 * i, (i - 1, 4.0), (0, 0), track=i) for i in range(3))))
    assert lean(evidence, fit_ground(evidence)) < np.radians(5)
    tilted = replace(fit_ground(evidence), up=np.array([0.0, -np.cos(0.5), -np.sin(0.5)]))
    assert lean(evidence, tilted) == pytest.approx(0.5, abs=0.08) and LEANING < 0.5


def test_snapping_scales_about_the_camera_and_stays_a_body(walk):
    tilt = (6, 0)
    true = [_person(walk, 9 * i, place, tilt, track=i) for i, place in enumerate([(-1, 3.5), (0, 4.5), (1, 5.5)])]
    # the middle one is taken for a smaller person, nearer the camera
    wrong = [true[0], _person(walk, 9, (0, 4.5), tilt, 0.95, 1), true[2]]
    people = _people(tuple(wrong))
    snapped = snap_feet(people, world_from_camera(_people(tuple(true))))
    before, after = people.frames[0][1], snapped.frames[0][1]
    truth = true[1].joints[0, 2]
    assert abs(after.joints[0, 2] - truth) < 0.3 * abs(before.joints[0, 2] - truth)
    assert np.abs(CAMERA.project(after.vertices) - CAMERA.project(before.vertices)).max() < 1.0
    vertices, joints = pose_body(load_body(), after.shape, after.rotations, after.translation)
    assert np.allclose(vertices, after.vertices, atol=1e-5)
    assert np.allclose(joints, after.joints, atol=1e-5)


def test_snapping_keeps_statures_plausible(walk):
    giant = _person(walk, 0, (0, 4.0), (0, 0), 1.3, 1)
    people = _people((_person(walk, 0, (1, 4.0), (0, 0)), giant))
    snapped = snap_feet(people, world_from_camera(_people((people.frames[0][0],))))
    ratio = np.ptp(snapped.frames[0][1].vertices[:, 1]) / np.ptp(giant.vertices[:, 1])
    assert ratio == pytest.approx(0.92, abs=0.01)


def test_a_motion_and_its_posed_people_tell_the_same(walk):
    body = load_body()
    frames = []
    for t in range(0, 40, 4):
        vertices, joints = pose_body(body, walk.motion.shape, walk.motion.rotations[t], walk.motion.translation[t])
        frames.append((replace(_person(walk, t, (0, 4.0), (0, 0)), vertices=vertices, joints=joints),))
    posed = fit_ground(gather_evidence(_people(*frames)))
    motion = fit_ground([gather_motion_evidence(body, walk.motion)])
    assert posed.height == pytest.approx(motion.height, abs=0.03)
    assert np.degrees(np.arccos(posed.up @ motion.up)) < 1.0


def test_people_of_one_photo_stand_on_one_ground_and_one_alone_stays(walk):
    tilt = (6, 0)
    places = [(-1.5, 3.2), (0, 4.5), (1.2, 5.5)]
    persons = [_person(walk, 9 * i, place, tilt, 1.0 if i else 0.95, i) for i, place in enumerate(places)]
    body = load_body()
    together = stand_together(body, persons, CAMERA).persons
    true = _person(walk, 0, places[0], tilt).joints[0]
    assert np.linalg.norm(together[0].joints[0] - true) < 0.8 * np.linalg.norm(persons[0].joints[0] - true)
    assert stand_together(body, persons[:1], CAMERA).persons[0] is persons[0]
    assert stand_together(body, [], CAMERA).persons == ()


def test_a_camera_high_up_is_believed(walk):
    tilt = (38, 0)
    world = world_from_camera(_people((_person(walk, 3, (0.3, 5.0), tilt),)))
    assert _tilt_error(world, tilt) < 8


def test_who_stands_on_a_wall_does_not_tilt_the_floor(walk):
    tilt, wall = (5, 0), 1.6
    below = [_person(walk, 9 * t, (-1.0 + 0.2 * t, 5.0), tilt) for t in range(4)]
    above = []
    for one in (_person(walk, 9 * t, (0.8, 5.5), tilt, 1.0, 1) for t in range(4)):
        pitch = np.radians(tilt[0])
        raised = wall * np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
        above.append(replace(one, vertices=one.vertices + raised, joints=one.joints + raised))
    evidence = gather_evidence(_people(*zip(below, above, strict=True)))
    ground = fit_ground(evidence)
    assert _tilt_error(world_from_camera(_people(*zip(below, above, strict=True))), tilt) < 4
    assert ground.height == pytest.approx(HEIGHT, abs=0.1)
    assert standing_apart(evidence[1], ground) == pytest.approx(wall, abs=0.2) and not standing_apart(
        evidence[0], ground
    )
    np.testing.assert_allclose(fit_ground(evidence[:1]).up, ground.up, atol=0.002)


def test_one_who_sits_says_nothing_of_up(walk):
    body = load_body()
    joints = np.stack([_person(walk, 5, (0, 4.0), (0, 0)).joints] * 2).astype(np.float64)
    index = body.joint_names.index
    for side in "LR":  # thighs forward, lower legs upright
        thigh = np.linalg.norm(joints[1, index(f"lowerleg01.{side}")] - joints[1, index(f"upperleg01.{side}")])
        knee = joints[1, index(f"upperleg01.{side}")] + [0, 0, -thigh]
        joints[1, index(f"foot.{side}")] = knee + np.array([0, 0.42, 0])
        joints[1, index(f"lowerleg01.{side}")] = knee
    _, weights = posture(body, joints, np.ones(joints.shape[:2]))
    assert weights[0] > 0.6
    assert weights[1] == 0
