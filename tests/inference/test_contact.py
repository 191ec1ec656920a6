# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted feet stay where they stand, and only they."""

from dataclasses import replace

import numpy as np
import pytest
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.planted import intervals, odds
from maquette.inference.people.clip.contact import Contact, find_contacts, lock_legs, plant_feet
from maquette.inference.people.clip.ground import Ground
from maquette.inference.people.clip.motion import joint_transforms
from maquette.inference.people.clip.smooth import smooth_motion
from maquette.inference.people.fit.legs import find_legs, reach, sole_points
from maquette.inference.shipped.body import load_body

GROUND = Ground(np.array([0.0, -1.0, 0.0]), 1.4)


@pytest.fixture(scope="module")
def shaken(walk):
    """The walk as a fit gives it: every joint off by some degrees, the distance by a tenth of a metre."""
    rng = np.random.default_rng(0)
    index = load_body().joint_names.index
    joints = [
        index(name + side) for name in ("upperleg01", "lowerleg01", "foot", "upperarm01") for side in (".L", ".R")
    ]
    vectors = np.zeros((*walk.motion.rotations.shape[:2], 3))
    vectors[:, joints] = rng.normal(0, np.radians(4), (len(walk.motion), len(joints), 3))
    rotations = quaternion.multiply(quaternion.from_rotation_vector(vectors), walk.motion.rotations)
    path = walk.motion.translation + rng.normal(0, [0.01, 0.01, 0.1], (len(walk.motion), 3))
    return smooth_motion(replace(walk.motion, rotations=rotations, translation=path), 1.5)


def _soles(motion):
    rotations, positions = joint_transforms(load_body(), motion)
    return np.stack(
        [sole_points(leg, rotations, positions) for leg in find_legs(load_body(), motion.shape)], axis=1
    ), positions


def _slide(motion, planted):
    """Mean speed (m/s) of the sole points of feet that stand in truth."""
    speed = np.linalg.norm(np.diff(_soles(motion)[0], axis=0), axis=-1) * motion.fps
    return float(speed[planted[1:] & planted[:-1]].mean())


def test_contacts_are_the_true_ones(walk):
    contacts = find_contacts(load_body(), walk.motion, GROUND, find_legs(load_body(), walk.motion.shape))
    found = np.zeros((len(walk.motion), 2), bool)
    for contact in contacts:
        found[contact.start : contact.stop, contact.leg] = True
    assert (found == walk.planted).mean() > 0.92


def test_planted_feet_stop_sliding(walk, shaken):
    held = plant_feet(load_body(), shaken, GROUND)
    assert _slide(shaken, walk.planted) > 0.4
    assert _slide(held, walk.planted) < 0.2


def test_planting_leaves_the_rest_of_the_body_alone(walk, shaken):
    held = plant_feet(load_body(), shaken, GROUND)
    legs = [joint for leg in find_legs(load_body(), walk.motion.shape) for joint in (leg.hip, leg.knee, leg.ankle)]
    others = np.setdiff1d(np.arange(held.rotations.shape[1]), legs)
    assert np.allclose(held.rotations[:, others], shaken.rotations[:, others])
    truth = _soles(walk.motion)[1]
    errors = [np.linalg.norm((_soles(one)[1] - truth), axis=-1).mean() for one in (shaken, held)]
    assert errors[1] < errors[0] + 0.02


def test_planting_makes_no_jerks(walk, shaken):
    held = plant_feet(load_body(), shaken, GROUND)

    def acceleration(motion):
        return np.linalg.norm(np.diff(_soles(motion)[1][:, [2, 4, 6, 22, 24, 26]], 2, axis=0), axis=-1).mean() * 625

    assert acceleration(held) < 2 * acceleration(walk.motion)


def test_a_foot_held_by_its_ball_lifts_the_heel_instead_of_stretching_the_leg(walk):
    """Networks see an ankle rise, and hardly a foot that turns with it."""
    body, count = load_body(), 15
    leg = find_legs(body, walk.motion.shape)[0]
    still = replace(
        walk.motion, rotations=np.repeat(walk.motion.rotations[:1], count, 0),
        translation=np.repeat(walk.motion.translation[:1], count, 0), confidence=walk.motion.confidence[:count],
    )  # fmt: skip
    rotations, positions = joint_transforms(body, still)
    up, flat = GROUND.up, quaternion.between(
        quaternion.rotate(rotations[:, leg.ankle], np.tile(leg.sole[1] - leg.sole[0], (count, 1))),
        np.tile([0.0, 0.0, -1.0], (count, 1)),
    )  # fmt: skip
    feet = quaternion.multiply(flat, rotations[:, leg.ankle])
    ball = positions[:, leg.ankle] + quaternion.rotate(feet, np.tile(leg.sole[1], (count, 1)))
    pitch = quaternion.from_rotation_vector(np.linspace(0, 0.7, count)[:, None] * [1.0, 0, 0])
    ankles = ball + quaternion.rotate(pitch, positions[:, leg.ankle] - ball)
    local = still.rotations.copy()
    reach(leg, body.parents, local, rotations, positions, ankles, feet)
    seen = replace(still, rotations=local)
    held = lock_legs(body, seen, (leg,), [Contact(0, 1, 0, count)], ball[:1], up)
    before, after = (joint_transforms(body, one) for one in (seen, held))
    soles = sole_points(leg, *after)
    assert np.linalg.norm(soles[3:-3, 1] - ball[0], axis=1).max() < 0.01
    assert np.linalg.norm(after[1][3:-3, leg.ankle] - before[1][3:-3, leg.ankle], axis=1).max() < 0.02
    assert np.linalg.norm(after[1][3:-3, leg.knee] - before[1][3:-3, leg.knee], axis=1).max() < 0.03
    toe = int(np.flatnonzero(body.parents == leg.ankle)[1])
    assert quaternion.angle_between(after[0][-4, toe], before[0][-4, toe]) < 0.15
    assert quaternion.angle_between(after[0][-4, leg.ankle], before[0][-4, leg.ankle]) > 0.4


def test_true_motion_stays_as_it_is(walk):
    held = plant_feet(load_body(), walk.motion, GROUND)
    assert np.linalg.norm(_soles(held)[1] - _soles(walk.motion)[1], axis=-1).mean() < 0.003


def test_strength_zero_and_bodies_without_known_legs_are_left_alone(walk):
    body = load_body()
    assert plant_feet(body, walk.motion, GROUND, 0.0) is walk.motion
    nameless = replace(body, joint_names=tuple(f"bone{i}" for i in range(len(body.joint_names))))
    assert plant_feet(nameless, walk.motion, GROUND) is walk.motion


def test_reach_brings_the_ankle_to_its_target_and_keeps_the_foot(walk):
    body, motion = load_body(), walk.motion
    leg = find_legs(body, motion.shape)[0]
    rotations, positions = joint_transforms(body, motion)
    targets = positions[:, leg.ankle] + np.array([0.03, -0.1, 0.05])
    local = motion.rotations.copy()
    reach(leg, body.parents, local, rotations, positions, targets, rotations[:, leg.ankle])
    after_turned, after = joint_transforms(body, replace(motion, rotations=local))
    assert np.abs(after[:, leg.ankle] - targets).max() < 1e-6
    assert quaternion.angle_between(after_turned[:, leg.ankle], rotations[:, leg.ankle]).max() < 1e-3
    # the knee still points ahead: in front of the line from hip to ankle
    ahead = quaternion.rotate(after_turned[:, 0], np.tile([0.0, 0.0, -1.0], (len(after), 1)))
    assert (((after[:, leg.knee] - (after[:, leg.hip] + after[:, leg.ankle]) / 2) * ahead).sum(1) > 0).all()


def test_a_target_out_of_reach_straightens_the_leg(walk):
    body, motion = load_body(), walk.motion
    leg = find_legs(body, motion.shape)[1]
    rotations, positions = joint_transforms(body, motion)
    local = motion.rotations.copy()
    reach(leg, body.parents, local, rotations, positions, positions[:, leg.hip] + [0, 3.0, 0], rotations[:, leg.ankle])
    _, after = joint_transforms(body, replace(motion, rotations=local))
    length = sum(
        np.linalg.norm(positions[0, a] - positions[0, b]) for a, b in ((leg.hip, leg.knee), (leg.knee, leg.ankle))
    )
    assert np.allclose(np.linalg.norm(after[:, leg.ankle] - after[:, leg.hip], axis=1), 0.999 * length, rtol=1e-6)


def test_intervals_bridge_a_doubtful_frame_and_drop_a_short_run():
    odds = np.full(40, -3.0)
    odds[10:20], odds[15], odds[30] = 3.0, -1.0, 3.0
    assert intervals(odds, 25.0) == [(10, 20)]


def test_feet_on_a_step_are_planted_on_the_step(shaken):
    step = 0.7
    raised = replace(shaken, translation=shaken.translation - [0, step, 0])
    legs = find_legs(load_body(), raised.shape)
    held = plant_feet(load_body(), raised, GROUND)
    rotations, positions = joint_transforms(load_body(), held)
    soles = np.stack([GROUND.heights(sole_points(leg, rotations, positions)) for leg in legs])
    contacts = [one for one in find_contacts(load_body(), held, GROUND, legs) if one.stop - one.start > 6]
    assert contacts
    for one in contacts:
        span = soles[one.leg][one.start + 2 : one.stop - 2, one.point]
        assert abs(span.mean() - step) < 0.12 and span.std() < 0.01


def test_who_jumps_from_a_wall_stands_on_both():
    still, heights = np.zeros(400), np.repeat([1.8, 0.0], 200)
    standing = odds(still, heights, still, 25.0) > 0
    assert standing[:150].all() and standing[250:].all()
    assert not (odds(still[:50], np.repeat([0.0, 1.8], [40, 10]), still[:50], 25.0) > 0)[40:].any()
