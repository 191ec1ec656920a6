# SPDX-License-Identifier: GPL-3.0-or-later
"""All people of a clip on one floor: feet that stand are at height 0, whoever they belong to."""

from dataclasses import replace

import numpy as np
import pytest
from maquette.inference import runtime
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people.clip.contact import find_contacts
from maquette.inference.people.clip.floor import apart_said, lowered, stand
from maquette.inference.people.clip.ground import Ground
from maquette.inference.people.clip.motion import Spell, joint_transforms
from maquette.inference.people.fit.legs import find_legs, sole_points
from maquette.inference.shipped.body import load_body

#: As `recover_people` has them.
PLANTED = {"plant": 1.0, "floor_height": 0.0, "floor_pitch": 0.0, "floor_roll": 0.0}
LEVEL = Ground(np.array([0.0, -1.0, 0.0]), 1.4)


def _seen(motion, seed, near):
    """The walk as one camera sees it: limbs off by some degrees, the distance slowly wrong by a share that drifts."""
    rng = np.random.default_rng(seed)
    index = load_body().joint_names.index
    legs = [index(name + side) for name in ("upperleg01", "lowerleg01", "foot") for side in (".L", ".R")]
    vectors = np.zeros((*motion.rotations.shape[:2], 3))
    vectors[:, legs] = rng.normal(0, np.radians(2), (1, len(legs), 3))
    rotations = quaternion.multiply(quaternion.from_rotation_vector(vectors), motion.rotations)
    share = near + 0.04 * np.sin(np.arange(len(motion)) / 12 + seed)
    root = motion.translation + load_body().joints[0]
    return replace(motion, rotations=rotations, translation=motion.translation + share[:, None] * root)


def _soles(motion, ground):
    rotations, positions = joint_transforms(load_body(), motion)
    legs = find_legs(load_body(), motion.shape)
    return [ground.heights(sole_points(leg, rotations, positions)) for leg in legs]


@pytest.fixture(scope="module")
def standing(walk):
    spells = [Spell(0, 0, _seen(walk.motion, 1, 0.03)), Spell(1, 5, _seen(walk.motion, 2, -0.06))]
    return spells, *stand(load_body(), spells, PLANTED, runtime.start("cpu"))


def test_planted_soles_of_both_feet_of_everybody_are_at_height_0(standing):
    _, spells, ground = standing
    feet = set()
    for spell in spells:
        soles = _soles(spell.motion, ground)
        for one in find_contacts(load_body(), spell.motion, ground, find_legs(load_body(), spell.motion.shape)):
            if one.stop - one.start > 5:
                feet.add((spell.track, one.leg))
                assert abs(soles[one.leg][one.start + 2 : one.stop - 2, one.point].mean()) < 0.01
    assert len(feet) == 4


def test_before_a_camera_that_is_lost_the_floor_is_found_and_nobody_is_moved(standing):
    spells, _, ground = standing
    same, found = stand(load_body(), spells, PLANTED, runtime.start("cpu"), moving=False)
    assert all(one is other for one, other in zip(same, spells, strict=True))
    np.testing.assert_allclose(found.up, ground.up, atol=1e-6)


def test_without_planting_nothing_is_moved(standing):
    spells, *_ = standing
    same, ground = stand(load_body(), spells, {**PLANTED, "plant": 0.0}, runtime.start("cpu"))
    assert same == spells
    assert ground is None


def test_a_changed_floor_turns_below_the_people_and_carries_them(standing):
    spells, _, found = standing
    changed = {**PLANTED, "floor_height": 0.1, "floor_pitch": 0.04, "floor_roll": -0.03}
    moved, ground = stand(load_body(), spells, changed, runtime.start("cpu"))
    raw, bare = stand(load_body(), spells, {**changed, "plant": 0.0}, runtime.start("cpu"))
    assert raw == spells and np.allclose([*bare.up, bare.height], [*ground.up, ground.height])
    about = np.mean([spell.motion.translation.mean(axis=0) + load_body().joints[0] for spell in spells], axis=0)
    places = about + np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0]])
    over = found.heights(places) - ground.heights(places)
    assert over[0] == pytest.approx(0.1, abs=0.02)
    assert over[1:] - over[0] == pytest.approx([0.04, -0.03], abs=0.003)
    for spell in moved:
        soles = _soles(spell.motion, ground)
        for one in find_contacts(load_body(), spell.motion, ground, find_legs(load_body(), spell.motion.shape)):
            if one.stop - one.start > 5:
                assert abs(soles[one.leg][one.start + 2 : one.stop - 2, one.point].mean()) < 0.015


def test_one_who_jumps_is_not_pulled_down_and_one_who_floats_is(walk):
    body, motion = load_body(), walk.motion
    lowest = np.array([foot.min(axis=1) for foot in _soles(motion, LEVEL)]).min(axis=0)
    assert np.abs(lowest).max() < 0.02
    height = np.zeros(len(motion))
    height[30:40] = 0.35 * np.sin(np.linspace(0, np.pi, 10))
    jumping = replace(motion, translation=motion.translation + height[:, None] * LEVEL.up)
    moved = lowered(body, jumping, LEVEL, 1.0).translation - jumping.translation
    assert np.abs(moved).max() < 0.35
    floating = replace(motion, translation=motion.translation - 0.07 * (motion.translation + body.joints[0]))
    held = lowered(body, floating, LEVEL, 1.0)
    before, after = (
        np.median(np.min([foot.min(axis=1) for foot in _soles(one, LEVEL)], axis=0)) for one in (floating, held)
    )
    assert before > 0.03
    assert abs(after) < 0.3 * before


def test_who_kneels_rests_on_the_knees_and_is_not_sunk_to_the_soles(walk):
    body, motion = load_body(), walk.motion
    kneeling = np.repeat(motion.rotations[:1], len(motion), axis=0)
    for leg in find_legs(body, motion.shape):
        kneeling[:, leg.hip] = quaternion.from_rotation_vector(np.zeros(3))
        kneeling[:, leg.knee] = quaternion.from_rotation_vector(np.array([1.9, 0, 0]))
        kneeling[:, leg.ankle] = quaternion.from_rotation_vector(np.array([0.8, 0, 0]))
    kneeling = replace(motion, rotations=kneeling, translation=np.repeat(motion.translation[:1], len(motion), axis=0))

    def heights(one):
        shape, rows = one.shape.astype(np.float32), one.rotations[30].astype(np.float32)
        return LEVEL.heights(pose_body(body, shape, rows, one.translation[30].astype(np.float32))[0])

    down = replace(kneeling, translation=kneeling.translation - heights(kneeling).min() * LEVEL.up)
    soles = np.min([foot[30] for foot in _soles(down, LEVEL)])
    assert soles > 0.15
    spells, _ = stand(body, [Spell(0, 0, down)], PLANTED, runtime.start("cpu"), ground=LEVEL)
    assert abs(heights(spells[0].motion).min()) < 0.03


def test_all_of_one_persons_spells_keep_one_shape(walk):
    first = _seen(walk.motion, 1, 0.05)
    later = _seen(walk.motion, 4, -0.05)
    other = _seen(walk.motion, 3, -0.05)
    spells, _ = stand(
        load_body(), [Spell(0, 0, first), Spell(1, 0, other), Spell(0, 200, later)], PLANTED, runtime.start("cpu")
    )
    assert np.array_equal(spells[0].motion.shape, spells[2].motion.shape)
    assert [(one.track, one.first) for one in spells] == [(0, 0), (1, 0), (0, 200)]


def test_who_stands_on_a_stage_is_planted_there_and_told_of(walk):
    stage = 0.7
    raised = replace(walk.motion, translation=walk.motion.translation - [0, stage, 0])
    spells = [Spell(0, 0, _seen(walk.motion, 1, 0.02)), Spell(1, 0, _seen(walk.motion, 3, -0.02))]
    spells += [Spell(2, 0, _seen(raised, 2, 0.0))]
    for floor in (0.0, 0.2):
        options = {**PLANTED, "floor_height": floor}
        moved, ground = stand(load_body(), spells, options, runtime.start("cpu"))
        assert ground.height == pytest.approx(LEVEL.height - floor, abs=0.1)
        heights = [min(sole.min(axis=1).mean() for sole in _soles(one.motion, ground)) for one in moved]
        assert np.abs(heights[:2]).max() < 0.03 and heights[2] == pytest.approx(stage, abs=0.12)
    moved, ground = stand(load_body(), spells, PLANTED, runtime.start("cpu"))
    assert apart_said(load_body(), moved, ground) == ("One person stands 0.7 m above the floor of the others",)
    alone = ("One person stands 0.7 m above the floor that was found",)
    assert apart_said(load_body(), moved[2:], ground) == alone, "whoever is alone has no others"
    moved, ground = stand(load_body(), spells[:2], PLANTED, runtime.start("cpu"))
    assert apart_said(load_body(), moved, ground) == () == apart_said(load_body(), moved, None)
