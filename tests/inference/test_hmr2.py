# SPDX-License-Identifier: GPL-3.0-or-later
"""`recover_people(..., "hmr2")` through the public function, with a small network of made-up weights: photos, clips,
people in front of each other, bad input. What these people look like is nonsense; where they are is not."""

import weakref
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference import (
    BadInput,
    Camera,
    Cancelled,
    Clip,
    Photo,
    export,
    load_photo,
    recover_people,
    solve_people,
)
from maquette.inference.geometry import rotations as quaternion
from maquette.inference.geometry.rotations import rotation_matrices
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people import skeleton_picture
from maquette.inference.people.hmr2 import answers
from maquette.inference.people.hmr2.placing import reference_focal
from maquette.inference.people.openpose import LAYOUTS, body_25


@pytest.fixture
def recover(small_hmr2):
    def run(photos, **named):
        return recover_people(photos, "hmr2", device="cpu", models_dir=small_hmr2, **named)

    return run


@pytest.fixture(scope="module")
def _known() -> dict:
    return {}


@pytest.fixture
def calm(recover, crossing_clip, _known):
    """The people of the crossing clip, whose feet are not planted; for several tests."""
    if not _known:
        clip, boxes, _ = crossing_clip
        _known["people"] = recover(clip, boxes=boxes, plant=0, hands="none")
    return _known["people"]


@pytest.fixture(scope="module")
def astronaut() -> Photo:
    photo = load_photo(sample_photo("astronaut"))
    return Photo(np.ascontiguousarray(photo.pixels[::2, ::2]), None, "astronaut")


BOX = (30.0, 5.0, 180.0, 256.0)


def noise(height, width, seed=0):
    return Photo(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8), None, f"noise{seed}")


def test_a_photo_keeps_everything(recover, astronaut):
    people = recover(astronaut, boxes=[BOX])
    (person,) = people.frames[0]
    body = people.body
    assert person.box == BOX and person.score == 1.0 and person.track_id == 0
    assert person.vertices.shape == (6890, 3) and person.joints.shape == (24, 3) == (len(body.joint_names), 3)
    assert person.rotations.shape == (24, 4) and person.shape.shape == (10,) and person.translation.shape == (3,)
    assert person.keypoints_2d.shape == (44, 2) and person.keypoints_3d.shape == (44, 3)
    assert person.crop_camera.shape == (3,) and person.confidence.shape == (24,)
    assert person.confidence.min() >= 0 and person.confidence.max() <= 1
    assert person.mask.shape == (256, 256) and person.mask.dtype == np.float32 and 0 < person.mask.mean() < 1
    np.testing.assert_allclose(np.linalg.norm(person.rotations, axis=1), 1, atol=1e-5)
    vertices, joints = pose_body(body, person.shape, person.rotations, person.translation)
    np.testing.assert_allclose(vertices, person.vertices, atol=1e-5)
    np.testing.assert_allclose(joints, person.joints, atol=1e-5)
    assert "non-commercial" in body.licence and body.faces.shape == (13776, 3)
    assert body.pose_blend_shapes.shape == (207, 6890, 3)
    # It rests upright, facing the viewer, in camera axes: head above (smaller y), toes towards the viewer.
    at = {name: body.joints[number] for number, name in enumerate(body.joint_names)}
    assert at["head"][1] < at["pelvis"][1] < at["left_ankle"][1] and at["left_foot"][2] < at["left_ankle"][2]
    assert at["left_hip"][0] > 0


def test_the_reference_focal_length_stretches_the_distance_alone(recover, astronaut):
    near = recover(astronaut, boxes=[BOX]).frames[0][0]
    focal = reference_focal(256, 256)
    far = recover(replace(astronaut, camera=Camera(focal, focal, 128, 128, 256, 256)), boxes=[BOX]).frames[0][0]
    own = Camera.default(256, 256)
    assert (near.joints[0, 2] / far.joints[0, 2]) == pytest.approx(own.fx / focal, rel=0.03)
    np.testing.assert_array_equal(near.rotations, far.rotations)
    np.testing.assert_array_equal(near.keypoints_2d, far.keypoints_2d)


def test_people_of_all_photos_pass_together_and_nothing_depends_on_it(recover, astronaut, monkeypatch):
    photos = [astronaut, noise(120, 200, 1), noise(300, 90, 2), astronaut]
    boxes = [[BOX, (90, 0, 200, 250)], [(10, 10, 90, 110)], [], [BOX]]
    one = recover(photos, boxes=boxes, hmr_batch_size=1, det_batch_size=1)
    sizes = []
    forward = answers.HMR2.forward

    def counted(self, pictures):
        sizes.append(len(pictures))
        return forward(self, pictures)

    monkeypatch.setattr(answers.HMR2, "forward", counted)
    many = recover(photos, boxes=boxes, hmr_batch_size=3, det_batch_size=2)
    assert sizes == [3, 1]
    assert [len(frame) for frame in many.frames] == [2, 1, 0, 1]
    assert [(camera.width, camera.height) for camera in many.cameras] == [photo.size for photo in photos]
    for first, second in zip(one.frames, many.frames, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_allclose(a.vertices, b.vertices, atol=1e-4)
            assert a.track_id == b.track_id
    np.testing.assert_allclose(many.frames[0][0].vertices, many.frames[3][0].vertices, atol=1e-4)


def test_nobody_anywhere_is_an_empty_result_of_the_right_size(recover):
    photos = [noise(64, 96), Photo(np.zeros((50, 70, 3), np.uint8))]
    for people in (recover(photos), recover(photos, boxes=[[], []]), recover(photos, refine=True)):
        assert people.frames == ((), ())
        assert [(camera.width, camera.height) for camera in people.cameras] == [(96, 64), (70, 50)]
    clip = Clip("nobody", 3, 25.0, lambda: iter([Photo(np.full((96, 128, 3), 90, np.uint8))] * 3))
    for people in (recover(clip), recover(clip, boxes=[[], [], []])):
        assert people.frames == ((), (), ()) and people.fps == 25.0 and len(people.cameras) == 3
    assert not skeleton_picture(people, 1).any()


def test_a_person_cut_by_the_border_and_one_hardly_in_the_picture(recover, astronaut):
    boxes = [(-80.0, -40.0, 120.0, 300.0), (250.0, 100.0, 400.0, 256.0)]
    people = recover(astronaut, boxes=[boxes])
    assert len(people.frames[0]) == 2
    for person, box in zip(people.frames[0], boxes, strict=True):
        assert person.box == box and np.isfinite(person.vertices).all()
    hardly = people.frames[0][1]
    assert hardly.confidence.min() < 0.5
    assert skeleton_picture(people).shape == (256, 256, 3)


@pytest.mark.parametrize("hands", ["none", pytest.param("full", marks=pytest.mark.full)])
def test_a_hundred_people(recover, astronaut, hands):
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 200, (100, 2))
    boxes = [(x, y, x + w, y + 50) for (x, y), w in zip(low, rng.uniform(8, 50, 100), strict=True)]
    people = recover(astronaut, boxes=[boxes], hmr_batch_size=20, hands=hands)
    assert len(people.frames[0]) == 100
    assert [person.track_id for person in people.frames[0]] == list(range(100))
    masks = np.stack([person.mask for person in people.frames[0]])
    assert (masks > 0.5).sum(0).max() == 1  # no pixel is two people's


def test_masks_are_left_out_where_there_is_no_room(recover, astronaut, monkeypatch):
    monkeypatch.setattr("maquette.inference.people.hmr2.MASK_BYTES", 1)
    people = recover([astronaut, noise(40, 40)], boxes=[[BOX], []])
    assert people.frames[0][0].mask is None


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"boxes": [(0, 0, 10)]}, "four numbers"),
        ({"boxes": [(50, 50, 20, 90)]}, "no pixel"),
        ({"boxes": [(0, 0, np.nan, 9)]}, "not finite"),
        ({"boxes": [(900, 900, 950, 950)]}, "no pixel"),
        ({"boxes": [(0, 0, 1e9, 1e9)]}, "8 times as large"),
        ({"boxes": [[BOX], [BOX]]}, "2 lists"),
        ({"det_confidence_thresh": 1.5}, "det_confidence_thresh must be a number from 0 to 1"),
        ({"det_iou_thresh": -0.1}, "det_iou_thresh must be a number from 0 to 1"),
        ({"det_batch_size": 0}, "det_batch_size must be a whole number of at least 1"),
        ({"hmr_batch_size": 2.5}, "hmr_batch_size must be a whole number of at least 1"),
        ({"smoothing": -1}, "smoothing must be a number from 0 to"),
        ({"plant": 2}, "plant must be a number from 0 to 1"),
    ],
)
def test_bad_parameters_are_named(recover, astronaut, named, said):
    with pytest.raises(BadInput, match=said):
        recover(astronaut, **named)


def test_cancelling_in_the_middle_of_the_network(recover, astronaut):
    said = []

    def stop(fraction, message):
        said.append(message)
        if message == "Reading poses":
            raise Cancelled

    with pytest.raises(Cancelled):
        recover([astronaut, noise(40, 40)], boxes=[[BOX], []], progress=stop)
    assert len(said) < 10


def test_a_corrupt_frame_of_a_folder_is_named(recover, astronaut, tmp_path):
    import cv2

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"frame_{number:03d}.png"), astronaut.pixels[..., ::-1])
    (tmp_path / "frame_001.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(BadInput, match="frame_001"):
        recover(tmp_path, boxes=[[BOX]] * 3)


def test_two_people_who_cross_keep_their_names_whatever_the_order_of_their_boxes(recover, crossing_clip):
    clip, boxes, hips = crossing_clip
    fractions = []
    people = recover(clip, boxes=boxes, hands="none", progress=lambda fraction, _: fractions.append(fraction))
    assert sorted(people.tracks()) == [0, 1] and people.fps == clip.fps
    assert fractions[-1] == 1.0 and (np.diff(fractions) >= 0).all()
    for track in people.tracks().values():
        frames = [frame for frame, _ in track]
        assert frames == list(range(len(clip)))
        middles = np.array([(person.box[0] + person.box[2]) / 2 for _, person in track])
        nearest = np.abs(hips[:, frames, 0] - middles).argmin(0)
        assert len(set(nearest)) == 1
        assert all(np.array_equal(person.shape, track[0][1].shape) for _, person in track)
        turns = np.stack([person.rotations for _, person in track])
        assert ((turns[1:] * turns[:-1]).sum(-1) > 0).all()


@pytest.mark.full  # each day by test_measured_bodies, of two people who cross too
def test_the_builtin_network_follows_where_there_is_no_detector(recover, crossing_clip):
    clip, _, hips = crossing_clip
    people = recover(clip, hands="none")
    tracks = people.tracks()
    assert len(tracks) == 2
    for track in tracks.values():
        frames = np.array([frame for frame, _ in track])
        middles = np.array([(person.box[0] + person.box[2]) / 2 for _, person in track])
        clear = np.abs(hips[0, frames, 0] - hips[1, frames, 0]) > 40
        assert len(set(np.abs(hips[:, frames, 0] - middles).argmin(0)[clear])) == 1
        assert all(person.mask.max() > 0.5 for _, person in track if person.score > 0)


def jitter(people, track_id):
    turns = np.stack([person.rotations for _, person in people.tracks()[track_id]]).astype(float)
    steps = quaternion.to_rotation_vector(quaternion.multiply(turns[1:], quaternion.conjugate(turns[:-1])))
    return np.linalg.norm(np.diff(steps, axis=0), axis=-1).mean()


def test_smoothing_calms_without_lag_and_none_is_the_networks_own(recover, crossing_clip, calm, small_hmr2):
    clip, boxes, _ = crossing_clip
    raw, calmer = (
        solve_people(calm.measured, smoothing=amount, plant=0, hands="none", models_dir=small_hmr2) for amount in (0, 4)
    )
    assert jitter(calmer, 0) < jitter(calm, 0) < 0.7 * jitter(raw, 0)
    short = Clip("short", 6, clip.fps, lambda: islice(clip, 6))
    single = recover(short, boxes=boxes[:6], track=False, hands="none")
    number = [np.allclose(raw.tracks()[0][5][1].box, person.box) for person in single.frames[5]].index(True)
    own, same = rotation_matrices(single.frames[5][number].rotations), raw.tracks()[0][5][1].rotations
    np.testing.assert_allclose(rotation_matrices(same), own, atol=1e-5)
    # The one shape of a track does not move anybody in the picture.
    seen = raw.tracks()[0][5][1]
    camera = raw.cameras[5]
    offset = camera.project(seen.keypoints_3d) - camera.project(single.frames[5][number].keypoints_3d)
    assert np.abs(offset.mean(0)).max() < 2


def test_gaps_are_filled_without_confidence(recover, crossing_clip):
    clip, boxes, _ = crossing_clip
    holes = [[] if 8 <= frame < 12 else some for frame, some in enumerate(boxes)]
    people = recover(clip, boxes=holes, hands="none")
    assert sorted(people.tracks()) == [0, 1]
    for track in people.tracks().values():
        assert [frame for frame, _ in track] == list(range(len(clip)))
        for frame, person in track:
            assert (person.score == 0) == (8 <= frame < 12) == (person.mask is None)
            assert not person.confidence.any() if person.score == 0 else person.confidence.max() > 0.5
            assert np.isfinite(person.vertices).all()


def test_the_skeletons_lie_where_the_people_are(recover, astronaut):
    people = recover(astronaut, boxes=[BOX])
    for layout in LAYOUTS:
        picture = skeleton_picture(people, layout=layout)
        assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8 and picture.any()
    (person,) = people.frames[0]
    joints = body_25(person)
    np.testing.assert_array_equal(joints, person.keypoints_2d[:25])
    picture = skeleton_picture(people)
    inside = (joints.round() >= 1).all(1) & (joints.round() < 255).all(1)
    assert inside.sum() > 10
    columns, rows = joints[inside].round().astype(int).T
    assert picture[rows, columns].any(-1).all()
    over = skeleton_picture(people, background=astronaut.pixels)
    black = ~picture.any(-1)
    np.testing.assert_array_equal(over[black], astronaut.pixels[black])
    for bad in (
        {"frame": 1},
        {"frame": "first"},
        {"frame": np.nan},
        {"layout": "coco"},
        {"layout": ["coco_18"]},
        {"background": astronaut.pixels[:9]},
        {"background": astronaut.pixels / 255.0},
    ):
        with pytest.raises(BadInput):
            skeleton_picture(people, **bad)


def turned(vectors):
    """Rotation vectors (T, 3 * J) as matrices, which are the same for the same turn."""
    return quaternion.rotation_matrices(quaternion.from_rotation_vector(vectors.reshape(len(vectors), -1, 3)))


def test_the_motion_under_amass_names_makes_the_same_people(calm, crossing_clip, tmp_path):
    clip, people = crossing_clip[0], calm
    export.save_amass(tmp_path / "second.npz", people, 1)
    with np.load(tmp_path / "second.npz", allow_pickle=False) as content:
        amass = dict(content)
    assert amass["poses"].shape == (36, 72) and amass["trans"].shape == (36, 3) and amass["betas"].shape == (10,)
    assert amass["mocap_framerate"] == clip.fps and str(amass["gender"]) == "neutral"
    # A body with y up, as SMPL's own, in these turns, stands where the camera sees it.
    body, flip = people.body, np.array([1.0, -1.0, -1.0], np.float32)
    signs = np.tile(np.outer(flip, flip).reshape(-1), 23)[:, None, None]
    upright = replace(
        body,
        vertices=body.vertices * flip,
        joints=body.joints * flip,
        shape_blend_shapes=body.shape_blend_shapes * flip,
        joint_blend_shapes=body.joint_blend_shapes * flip,
        pose_blend_shapes=body.pose_blend_shapes * flip * signs,
    )
    turns = quaternion.from_rotation_vector(amass["poses"].reshape(36, 24, 3))
    vertices, _ = pose_body(upright, amass["betas"], turns, amass["trans"])
    world = amass["camera_to_world"]
    for frame, person in people.tracks()[1]:
        there = person.vertices @ world[:3, :3].T + world[:3, 3]
        np.testing.assert_allclose(vertices[frame], there, atol=1e-3)
    # SMPL-X's joints are these, and the hands and the face beside them.
    whole = export.amass_of(people, 1, joints="smplx")
    np.testing.assert_allclose(turned(whole["pose_body"]), turned(amass["poses"][:, 3:66]), atol=1e-4)
    np.testing.assert_allclose(turned(whole["root_orient"]), turned(amass["poses"][:, :3]), atol=1e-4)
    np.testing.assert_allclose(whole["trans"], amass["trans"], atol=1e-3)
    with pytest.raises(BadInput, match="exists"):
        export.save_amass(tmp_path / "second.npz", people, 1)
    with pytest.raises(BadInput, match="no person 9"):
        export.amass_of(people, 9)


def test_half_precision_on_the_cpu_is_float32(recover, astronaut):
    full = recover(astronaut, boxes=[BOX]).frames[0][0]
    half = recover(astronaut, boxes=[BOX], precision="float16").frames[0][0]
    np.testing.assert_array_equal(full.vertices, half.vertices)


def test_a_long_clip_streams(recover):
    """Photos are read in small groups and let go."""
    alive: set[int] = set()
    most = 0

    def photos():
        nonlocal most
        for number in range(40):
            photo = noise(48, 36, number % 3)
            alive.add(number)
            weakref.finalize(photo, alive.discard, number)
            most = max(most, len(alive))
            yield photo

    clip = Clip("long", 40, 25.0, photos)
    people = recover(clip, boxes=[[(2, 2, 30, 46)]] * 40, det_batch_size=3, hmr_batch_size=4)
    assert len(people.frames) == 40 and all(len(frame) == 1 for frame in people.frames)
    assert most <= 8


def test_frames_of_different_sizes_in_a_clip(recover):
    sizes = [(48, 36), (48, 36), (80, 60), (80, 60), (30, 90)]
    clip = Clip("sizes", 5, 25.0, lambda: (noise(*size, seed) for seed, size in enumerate(sizes)))
    people = recover(clip, boxes=[[(2, 2, 28, 28)]] * 5)
    assert [(camera.height, camera.width) for camera in people.cameras] == sizes
    assert [len(frame) for frame in people.frames] == [1] * 5
    for frame, size in zip(people.frames, sizes, strict=True):
        assert frame[0].mask.shape == size and np.isfinite(frame[0].vertices).all()


def test_everything_is_saved(recover, astronaut, tmp_path):
    people = recover(astronaut, boxes=[BOX, (0, 0, 100, 200)])
    export.save(tmp_path / "people.npz", people, astronaut)
    with np.load(tmp_path / "people.npz", allow_pickle=False) as content:
        assert content["keypoints_3d"].shape == (2, 44, 3) and content["crop_camera"].shape == (2, 3)
        assert content["vertices"].shape == (2, 6890, 3) and "non-commercial" in str(content["body_licence"])
    export.save(tmp_path / "people.glb", people, astronaut)
    export.save(tmp_path / "mask.png", people, astronaut, picture="mask")
    assert (tmp_path / "people.glb").stat().st_size > 100_000
