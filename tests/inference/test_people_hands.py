# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands in bodies: whose hand it is, the wrist turned as it is seen, and a photo through the public function."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference import load_photo, recover_people, refine_hands
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.skinning import chain
from maquette.inference.people.clip.hands import set_hands
from maquette.inference.people.clip.motion import Motion, Spell
from maquette.inference.people.fit import hands
from maquette.inference.people.fit.hands import SeenHand, finger_joints, hand_joints, owned, with_hands
from maquette.inference.results import Body
from maquette.inference.shipped.body import load_body
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.hand import HandLandmarks

BODY = load_body()
INDEX = BODY.joint_names.index


def turned(angles):
    return quaternion.from_rotation_vector(np.asarray(angles, float))


def pose(seed=0):
    """(J, 4): arms turned at random."""
    rotations = np.tile([1.0, 0, 0, 0], (len(BODY.joint_names), 1))
    generator = np.random.default_rng(seed)
    for joint in ("root", "spine02", "upperarm01.L", "lowerarm01.L", "upperarm01.R", "lowerarm01.R"):
        rotations[INDEX(joint)] = turned(generator.uniform(-0.7, 0.7, 3))
    return rotations


def world_turn(rotations, joint, body=BODY):
    matrices = quaternion.rotation_matrices(np.asarray(rotations, float))[None]
    world, _ = chain(body.parents, body.joints[None].astype(float), matrices, np.zeros((1, 3)))
    return world[0, joint]


def seen_hand(wrist, fingers=(0, 0, 0), sure=0.9):
    rotations = np.stack([wrist, *[turned(fingers)] * 19])
    return SeenHand(rotations, np.full(20, sure), np.zeros((3, 2)))


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_wrist_is_turned_as_the_hand_is_seen(side):
    """Whatever the arm does: what the forearm's twist leaves is the wrist's, and the other hand stays as it was."""
    before, end = pose(), side[0].upper()
    arm = quaternion.quaternions_of(world_turn(before, INDEX(f"lowerarm01.{end}")))
    wanted = quaternion.multiply(arm, turned((0.8, -0.5, 0.6)))
    rotations, sure = with_hands(
        BODY, before[None], np.full((1, len(before)), 0.4), [{side: seen_hand(wanted, (0.3, 0, 0))}]
    )
    assert np.allclose(world_turn(rotations[0], INDEX(f"wrist.{end}")), quaternion.rotation_matrices(wanted), atol=1e-6)
    twist = rotations[0, INDEX(f"lowerarm02.{end}"), 1:]
    bone = BODY.joints[INDEX(f"wrist.{end}")] - BODY.joints[INDEX(f"lowerarm02.{end}")]
    assert np.linalg.norm(np.cross(twist, bone / np.linalg.norm(bone))) < 1e-6 < np.linalg.norm(twist)
    assert np.allclose(rotations[0, finger_joints(BODY, side)], turned((0.3, 0, 0)))
    changed = np.flatnonzero((rotations[0] != before).any(1))
    assert set(changed) <= set(hand_joints(BODY, side))
    assert np.allclose(sure[0, hand_joints(BODY, side)], 0.9)
    other = finger_joints(BODY, "right" if side == "left" else "left")
    assert (sure[0, other] < 0.2).all(), "Fingers that were looked for and not seen are relaxed ones"
    assert np.allclose(np.delete(sure[0], [*hand_joints(BODY, side), *other]), 0.4)


def test_a_hand_that_no_wrist_can_follow_bends_it_no_further_than_people_can():
    wanted = quaternion.multiply(
        quaternion.quaternions_of(world_turn(pose(), INDEX("lowerarm01.L"))), turned((0, 0, 3.0))
    )
    rotations, _ = with_hands(BODY, pose()[None], np.ones((1, len(BODY.parents))), [{"left": seen_hand(wanted)}])
    bend = 2 * np.arccos(np.abs(rotations[0, [INDEX("wrist.L"), INDEX("lowerarm02.L")], 0]))
    assert bend[0] < 1.46 and bend[1] < 1.91


def smpl_like():
    """A body with SMPL's names at its rest: arms to the sides, the palms down."""
    names = ("pelvis", "left_elbow", "left_wrist", "right_elbow", "right_wrist")
    joints = np.array([[0, 0, 0], [0.4, -0.5, 0], [0.65, -0.5, 0], [-0.4, -0.5, 0], [-0.65, -0.5, 0]], np.float32)
    none, skin = np.zeros((1, 5, 3), np.float32), np.eye(5, dtype=np.float32)
    faces, parents = np.zeros((0, 3), np.int32), np.array([-1, 0, 1, 0, 3], np.int32)
    return Body("SMPL", "", joints, faces, names, parents, joints, skin, none, none)


@pytest.mark.parametrize(("side", "end"), [*product(("left", "right"), (0.0, 0.9))])
def test_another_bodys_wrist_is_turned_by_its_own_rest_pose(side, end):
    """Our hand at rest, laid along an arm at SMPL's rest, is what turns nothing there; a turn of it turns the wrist."""
    body = smpl_like()
    wrist = body.joint_names.index(f"{side}_wrist")
    still = np.tile([1.0, 0, 0, 0], (5, 1))
    at_rest = quaternion.conjugate(hands.to_ours(body, side))
    wanted = quaternion.multiply(turned((end, 0, 0.4 * end)), at_rest)
    rotations, _ = with_hands(body, still[None], np.ones((1, 5)), [{side: seen_hand(wanted)}])
    expected = quaternion.rotation_matrices(turned((end, 0, 0.4 * end)))
    assert np.allclose(world_turn(rotations[0], wrist, body), expected, atol=1e-6)


def landmarks(x, y, right, palm=20.0):
    points = np.full((21, 2), (x, y), np.float32)
    points[9, 1] -= palm
    world, sigma = np.zeros((21, 3), np.float32), np.zeros(21, np.float32)
    return HandLandmarks(points, world, right, 0.9, 0.9, sigma, Region(x, y, 60))


class Someone:
    """As much of `PoseLandmarks` as tells where wrists are: 200 pixels a metre."""

    def __init__(self, left, right):
        self.points, self.world = np.zeros((39, 2)), np.zeros((39, 3))
        self.presence = self.visibility = np.ones(39)
        self.points[:33] = np.random.default_rng(1).normal(0, 50, (33, 2))
        self.points[[15, 16]] = left, right
        self.world[:, :2] = self.points / 200


def test_each_hand_goes_to_one_wrist_of_its_side():
    people = [Someone((100, 100), (200, 100)), Someone((112, 100), (400, 100))]
    found = [landmarks(101, 100, 0.05), landmarks(111, 100, 0.1), landmarks(201, 100, 0.99), landmarks(300, 300, 0.9)]
    own = owned(found, people)
    assert own[0] == {"left": found[0], "right": found[2]}
    assert own[1] == {"left": found[1]}


@pytest.mark.parametrize("one", [landmarks(201, 100, 0.02), landmarks(201, 100, 0.5), landmarks(201, 100, 0.9, palm=2)])
def test_a_hand_of_the_other_side_undecided_or_tiny_is_left_out(one):
    assert owned([one], [Someone((100, 100), (200, 100))]) == [{}]
    assert owned([], []) == []


def test_a_clips_hands_are_calm_and_come_to_rest_where_nobody_sees_them():
    count = 40
    generator = np.random.default_rng(0)
    still = np.tile([1.0, 0, 0, 0], (count, len(BODY.parents), 1))
    shown = {
        10 + frame: {"left": seen_hand(turned(generator.normal(0, 0.1, 3)), (0, 0, 0.8 + generator.normal(0, 0.1)))}
        for frame in range(20)
    }
    motion = Motion(still, np.zeros((count, 3)), np.zeros(40), np.full((count, len(BODY.parents)), 0.5), 25.0)
    moved = set_hands(BODY, Spell(0, 10, motion), shown, 1.0).motion
    finger = moved.rotations[:, INDEX("finger2-1.L")]
    angle = 2 * np.degrees(np.arccos(np.clip(finger[:, 0], -1, 1)))
    assert abs(angle[5:15].mean() - 45.8) < 6
    assert angle[-5:].max() < 12
    assert np.abs(np.diff(angle)).max() < 8
    assert np.allclose(moved.confidence[:20, INDEX("wrist.L")], 0.9)
    assert np.allclose(moved.confidence[20:, INDEX("wrist.L")], 0.5)
    assert np.allclose(set_hands(BODY, Spell(0, 50, motion), {}, 1.0).motion.rotations, still)


def test_a_bodys_hand_is_the_one_in_the_photo():
    """The man of bus.jpg whose left hand lies on his chest."""
    whole = load_photo(sample_photo("bus"))
    photo = replace(whole, pixels=np.ascontiguousarray(whole.pixels[380:900, 200:360]), camera=None)
    box = [[(10, 10, 145, 490)]]
    hand = next(one for one in refine_hands(photo, "builtin", device="cpu").hands if one.side == "left")
    errors = []
    for wanted in ("full", "none"):
        person = recover_people(photo, "builtin", boxes=box, hands=wanted, device="cpu").frames[0][0]
        chosen = [INDEX(name) for name in ("wrist.L", "finger2-1.L", "finger5-1.L")]
        wrist, index, little = person.joints[chosen].astype(float)
        seen = np.cross(hand.joints[5] - hand.joints[0], hand.joints[17] - hand.joints[0])
        own = np.cross(index - wrist, little - wrist)
        cosine = own @ seen / np.linalg.norm(own) / np.linalg.norm(seen)
        errors.append(np.degrees(np.arccos(cosine)))
        assert person.confidence[INDEX("finger2-1.L")] > 0.5
    assert errors[0] < 10 < errors[1]
