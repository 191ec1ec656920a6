# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0's people on SMPL+H and SMPL-X: they stand as SMPL's do, and their hands are the hand model's.

The hand network is one that knows: it sees the landmarks of a hand that is held at the end of each left forearm.
"""

from dataclasses import replace

import made_up
import numpy as np
import pytest
from maquette.inference import (
    Camera,
    Clip,
    MissingModel,
    Photo,
    export,
    measure_people,
    recover_people,
    solve_people,
)
from maquette.inference.camera import level_world
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.rotations import rotation_matrices
from maquette.inference.geometry.skinning import chain
from maquette.inference.people.clip import measured as files
from maquette.inference.people.fit.fingers import finger_joints, relaxed_turns
from maquette.inference.people.fit.hands import fitted, to_ours
from maquette.inference.people.hmr2 import answers, fingered
from maquette.inference.people.hmr2 import clip as hmr2_clip
from maquette.inference.people.hmr2 import hands as hmr2_hands
from maquette.inference.people.hmr2.body import load_template
from maquette.inference.people.hmr2.fingered import load_fingered
from maquette.inference.results import People, Person
from maquette.inference.rigs import on_builtin_body
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.hand import HandLandmarks
from maquette.inference.shipped.hand_body import load_hand_body
from maquette.inference.weights import smpl

KINDS = ("smplh", "smplx")
HAND = load_hand_body("left")
#: How the wrist is turned on its forearm, and when nobody shows it otherwise how the fingers bend.
WRIST = quaternion.from_rotation_vector(np.array([0.5, 0.2, -0.15]))


@pytest.fixture(scope="module")
def folder(hmr2_models, tmp_path_factory):
    """`hmr2_models`, and bodies with fingers."""
    root = tmp_path_factory.mktemp("fingered")
    (root / "hmr2").symlink_to(hmr2_models / "hmr2")
    made_up.fingered_bodies(root)
    return root


@pytest.fixture
def models(folder, small_hmr2, monkeypatch):
    monkeypatch.setitem(smpl.FAMILY, "smplx", replace(smpl.FAMILY["smplx"], vertices=1602, faces=3200))
    return folder


def bent(amount):
    """(20, 4) our hand with fingers that bend by so much, the thumb by less, each joint by its own share."""
    share = np.random.default_rng(2).uniform(0.5, 1.2, 20)
    share[5:8] *= 0.3
    share[:5] = 0
    return quaternion.from_rotation_vector(amount * share[:, None] * HAND.axes[:, 0])


def forearm(body, rotations):
    """(3, 3) how the left elbow is turned from rest."""
    turns = rotation_matrices(rotations.astype(np.float64))[None]
    world, _ = chain(body.parents, body.joints[None].astype(np.float64), turns, np.zeros((1, 3)))
    return world[0, body.joint_names.index("left_elbow")]


def landmarks(rotations):
    """(21, 3) of our hand with its wrist at 0."""
    rest, carriers = HAND.body.joints[None].astype(np.float64), HAND.landmark_joints
    world, joints = chain(HAND.body.parents, rest, rotation_matrices(rotations)[None], np.zeros((1, 3)))
    steps = world[0, carriers] @ (HAND.landmarks - HAND.body.joints[carriers])[..., None]
    return joints[0, carriers] + steps[..., 0] - joints[0, 0]


def held(body, person, fingers):
    """(21, 3) landmarks, camera axes, of our hand on somebody's left forearm."""
    own = quaternion.multiply(WRIST, quaternion.conjugate(to_ours(body, "left")))
    turned = quaternion.multiply(quaternion.quaternions_of(forearm(body, person.rotations)), own)
    wrist = person.joints[body.joint_names.index("left_wrist")]
    return landmarks(np.concatenate([turned[None], fingers[1:]])) + wrist


def as_seen(points, camera, noise=0.0):
    """What the hand network says of landmarks."""
    pixels = camera.project(points) + np.random.default_rng(int(1e6 * abs(points[0, 0]))).normal(0, noise, (21, 2))
    world, sigma = (points - points.mean(0)).astype(np.float32), np.full(21, 0.5, np.float32)
    return HandLandmarks(pixels.astype(np.float32), world, 0.02, 0.95, 0.95, sigma, Region(0.0, 0.0, 1.0))


def bones(points):
    """(15, 3) unit directions of the finger bones of landmarks (21, 3)."""
    steps = np.diff(points[1:].reshape(5, 4, 3), axis=1).reshape(15, 3)
    return steps / np.linalg.norm(steps, axis=1, keepdims=True)


def hand_of(body, person):
    """(21, 3) landmarks of somebody's left hand."""
    joints = finger_joints(body, "left")
    tips = [person.vertices[np.argmax(body.skin_weights[:, joint])] for joint in joints[2::3]]
    points = np.column_stack([person.joints[joints].reshape(5, 9), tips]).reshape(20, 3)
    return np.vstack([person.joints[body.joint_names.index("left_wrist")], points])


def palm(points):
    """(2, 3) unit: along the hand, and the palm's normal."""
    along, across = (points[5] + points[17]) / 2 - points[0], points[5] - points[17]
    axes = np.stack([along, np.cross(along, across)])
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


def apart(first, second):
    """Degrees between unit vectors."""
    return np.degrees(np.arccos(np.clip((first * second).sum(-1), -1, 1)))


def hand_errors(body, person, points):
    """Degrees by which fingers (the mean and the worst bone), the hand's direction and its palm are off landmarks."""
    own = hand_of(body, person)
    fingers = apart(bones(own), bones(points))
    return fingers.mean(), fingers.max(), *apart(palm(own), palm(points))


@pytest.fixture
def photo():
    return Photo(np.random.default_rng(4).integers(0, 255, (1200, 960, 3), np.uint8), None, "noise")


@pytest.mark.parametrize("kind", KINDS)
def test_a_photos_hand_is_the_one_that_is_seen(kind, models, photo, monkeypatch):
    asked = {"boxes": [[(160.0, 80.0, 800.0, 1160.0)]], "device": "cpu", "models_dir": models}
    plain = recover_people(photo, "hmr2", hands="none", **asked).frames[0][0]
    still = recover_people(photo, "hmr2", hands="none", smpl_body=kind, **asked)
    (before,), body = still.frames[0], still.body
    true = held(body, before, bent(0.7))
    seen = fitted([{"left": as_seen(true, still.camera)}], still.camera)
    points = landmarks(seen[0]["left"].rotations)
    monkeypatch.setattr(hmr2_hands, "read_hands", lambda *_: seen)
    people = recover_people(photo, "hmr2", smpl_body=kind, **asked)
    (person,) = people.frames[0]
    assert body.name == smpl.FAMILY[kind].name and "non-commercial" in people.body.licence
    errors = hand_errors(body, person, points)
    relaxed, off = hand_errors(body, before, points), hand_errors(body, person, true)
    print(f"{kind}: fingers (mean, worst), direction, palm {np.round(errors, 1)} degrees off the model,")
    print(f"{np.round(off, 1)} off the truth; not looked at {np.round(relaxed, 1)}")
    assert errors[1] < 12 and errors[2] < 12 and errors[3] < 15 and min(relaxed[0], relaxed[3]) > 15
    # Where SMPL stands, in the same pose; each finger as sure as it is seen, relaxed ones less than their wrist.
    shared, limbs = slice(fingered.SHARED), [plain_index(name) for name in ("left_knee", "right_ankle", "right_elbow")]
    off = np.linalg.norm(person.joints[shared] - plain.joints[shared], axis=1)
    assert off[limbs].max() < (1e-3 if kind == "smplh" else 0.05), off
    seen, unseen = (person.confidence[finger_joints(body, side)] for side in ("left", "right"))
    assert (seen > 0.5).all() and np.allclose(unseen, 0.3 * person.confidence[body.joint_names.index("right_wrist")])
    assert person.keypoints_3d.shape == (44, 3)
    assert np.linalg.norm(person.keypoints_3d - plain.keypoints_3d, axis=1)[:25].max() < 0.12


def plain_index(name):
    return smpl.FAMILY["smpl"].joint_names.index(name)


FRAMES, SEEN = 10, 8


@pytest.fixture
def clip():
    """Somebody of whom the network says about the same in every frame, 10 frames a second, and where that is."""
    noise = np.random.default_rng(4).integers(0, 250, (640, 480, 3), np.uint8)
    photos = [Photo(noise + np.uint8(frame // 3), None, str(frame)) for frame in range(FRAMES)]
    return Clip("held", FRAMES, 10.0, lambda: iter(photos)), [[(80.0, 40.0, 400.0, 600.0)]] * FRAMES


@pytest.mark.parametrize("kind", KINDS)
def test_a_clips_hand_is_the_one_that_is_seen_but_calm(kind, models, clip, monkeypatch):
    clip, boxes = clip
    asked = {"device": "cpu", "models_dir": models, "smpl_body": kind, "plant": 0.0}
    before = recover_people(clip, "hmr2", boxes=boxes, hands="none", **asked)
    body, lens = before.body, before.camera
    true = [held(body, own[0], bent(0.5 + 0.2 * np.sin(frame / 3))) for frame, own in enumerate(before.frames)]

    def look(_template, _people, photo, camera, _run):
        frame = int(photo.name)
        return [{"left": as_seen(true[frame], camera, 0.7)} if frame < SEEN else {}]

    monkeypatch.setattr(hmr2_clip, "look_at_hands", look)
    people = recover_people(clip, "hmr2", boxes=boxes, **asked)
    said = [landmarks(one[0]["left"].rotations) for one in (fitted([{"left": as_seen(t, lens)}], lens) for t in true)]
    pairs = list(zip(people.frames, said, strict=True))[:SEEN]
    errors = np.array([hand_errors(body, own[0], points) for own, points in pairs])
    print(f"{kind}: fingers (mean, worst), direction, palm {np.round(errors.mean(0), 1)} degrees off the model")
    assert (errors.mean(0) < (12, 20, 12, 15)).all()
    raw, joints = solve_people(people.measured, **asked, smoothing=0.0), finger_joints(body, "left")

    def shaking(one):
        turns = np.stack([own[0].rotations[joints] for own in one.frames[:SEEN]])
        return np.abs(np.diff(turns, 2, axis=0)).mean()

    assert shaking(people) < 0.5 * shaking(raw)
    sure = np.stack([own[0].confidence[joints] for own in people.frames])
    assert (sure[:SEEN] > 0.5).all() and np.allclose(sure[SEEN:], 0.3)


def test_what_was_measured_is_solved_again_on_any_of_the_bodies(models, clip, tmp_path, monkeypatch):
    clip, boxes = clip
    seen = landmarks(bent(0.6)) + np.array([0, 0, 2])
    monkeypatch.setattr(
        hmr2_clip, "look_at_hands", lambda _body, _people, _photo, lens, _run: [{"left": as_seen(seen, lens)}]
    )
    for number, frames in enumerate(((0, 5), (5, FRAMES))):
        part = measure_people(clip, "hmr2", frames=frames, boxes=boxes, device="cpu", models_dir=models)
        files.save(tmp_path / f"{number}.npz", part)
    monkeypatch.setattr(answers, "_network", lambda _run: pytest.fail("a network ran"))
    asked = {"device": "cpu", "models_dir": models, "plant": 0.0}
    plain, second, third = (solve_people(tmp_path, smpl_body=kind, **asked) for kind in ("smpl", *KINDS))
    assert [people.body.name for people in (plain, second, third)] == ["SMPL", "SMPL+H", "SMPL-X"]
    for one, other, more in zip(plain.frames, second.frames, third.frames, strict=True):
        np.testing.assert_allclose(other[0].joints[:18], one[0].joints[:18], atol=1e-3)
        assert (
            len(more[0].joints) == 55 and np.linalg.norm(more[0].joints[:18] - one[0].joints[:18], axis=1).max() < 0.06
        )
    relaxed = solve_people(tmp_path, smpl_body="smplh", hands="none", **asked).frames
    joints = finger_joints(second.body, "left")
    bent_by = quaternion.angle_between(second.frames[3][0].rotations[joints], relaxed[3][0].rotations[joints])
    assert np.degrees(bent_by).max() > 10
    np.testing.assert_allclose(relaxed[3][0].rotations[joints], relaxed[8][0].rotations[joints], atol=1e-6)


@pytest.fixture
def waving(models):
    """A function: kind -> a photo's person with bent fingers and turned limbs, of that body."""

    def make(kind):
        body = load_fingered(kind, load_template(models), models).target
        random, count = np.random.default_rng(3), len(body.body.parents)
        rotations = quaternion.from_rotation_vector(random.normal(0, 0.25, (count, 3))).astype(np.float32)
        shape, place = np.zeros(len(body.body.shape_blend_shapes), np.float32), np.float32([0.2, 0.1, 4])
        vertices, joints = body.pose(shape, rotations, place)
        none = np.zeros((0, 2), np.float32)
        sure = np.ones(count, np.float32)
        person = Person(0, (0, 0, 9, 9), 1.0, None, vertices, joints, none, rotations, shape, place, sure)
        lens = Camera(500.0, 500.0, 320.0, 240.0, 640, 480)
        return People(((person,),), body.body, lens, (lens,))

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_fingers_are_in_files_and_on_the_built_in_body(kind, waving, tmp_path):
    people = waving(kind)
    (person,), body = people.frames[0], people.body
    export.save_amass(tmp_path / "x.npz", people, joints="smplx")
    export.save_amass(tmp_path / "own.npz", people)
    with np.load(tmp_path / "x.npz") as file, np.load(tmp_path / "own.npz") as own:
        assert file["pose_hand"].shape == (1, 90) and "non-commercial" in str(file["licence"])
        np.testing.assert_allclose(file["poses"][:, -90:], own["poses"][:, -90:], atol=1e-4)
        assert list(file["joint_names"][-30:]) == list(own["joint_names"][-30:])
    neutral = on_builtin_body(people, level_world((0.0, -1.0, 0.0), 1.4))
    index, shown = neutral.body.joint_names.index, neutral.frames[0][0].joints
    for side in ("left", "right"):
        joints = np.reshape(finger_joints(body, side), (5, 3))
        ours = [[index(f"finger{finger}-{bone}.{side[0].upper()}") for bone in (1, 2, 3)] for finger in range(1, 6)]
        off = [
            apart(*(step / np.linalg.norm(step, axis=-1, keepdims=True) for step in steps))
            for steps in (
                (places[rows][:, 2] - places[rows][:, 0] for places, rows in ((person.joints, joints), (shown, ours))),
                (np.diff(places[rows], axis=1) for places, rows in ((person.joints, joints), (shown, ours))),
            )
        ]
        # The made-up thumb rests straight, the built-in body's bent.
        assert off[0].max() < 5 and off[1][1:].max() < 5 and off[1][0].max() < 20, off


def test_a_right_hand_is_a_left_one_in_the_mirror(waving):
    body = waving("smplx").body
    left, right = (relaxed_turns(body, side, to_ours(body, side)) for side in ("left", "right"))
    mirrored = right * (1, 1, -1, -1)
    assert np.degrees(quaternion.angle_between(left, mirrored)).max() < 3
    # A finger of a flat hand that points sideways bends down, to the palm.
    index = quaternion.rotate(left[3], np.array([1.0, 0, 0]))
    assert 0.1 < index[1] < 0.5


def test_a_missing_body_is_named_before_any_work(models, photo, tmp_path):
    for folder in ("hmr2", "smpl"):
        (tmp_path / folder).symlink_to(models / folder)
    asked = {"device": "cpu", "models_dir": tmp_path, "progress": lambda *_: pytest.fail("work began")}
    with pytest.raises(MissingModel, match=r"SMPLH_NEUTRAL\.pkl is missing") as raised:
        recover_people(photo, "hmr2", smpl_body="smplh", **asked)
    assert "https://mano.is.tue.mpg.de" in raised.value.remedy and "non-commercial" in raised.value.remedy
    (tmp_path / "smplh").mkdir()
    (tmp_path / "smplh" / "SMPLH_MALE.npz").symlink_to(models / "smplh" / "SMPLH_NEUTRAL.npz")
    male = load_fingered("smplh", load_template(tmp_path), tmp_path)
    np.testing.assert_allclose(male.shapes, np.eye(11, 10, -1), atol=1e-4)
