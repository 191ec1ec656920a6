# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip, from pictures to posed bodies, through the public API."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from maquette.inference import (
    Camera,
    Cancelled,
    Clip,
    NothingFound,
    Photo,
    batch,
    measure_people,
    recover_people,
    solve_people,
)
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people import blazepose_anny
from maquette.inference.people import clip as clip_room
from maquette.inference.people.clip import key_frames
from maquette.inference.people.clip.track import Sighting
from maquette.inference.people.fit import fitting

CAMERA = Camera(420, 420, 192, 144, 384, 288)
FRAMES, FPS = range(8, 24), 12.5


@pytest.fixture(scope="module")
def clip(crossing):
    pictures, _ = crossing
    photos = [Photo(pictures[frame], CAMERA, str(frame)) for frame in FRAMES]
    return Clip("crossing", len(photos), FPS, lambda: iter(photos))


@pytest.fixture(scope="module")
def measured(clip):
    return measure_people(clip, device="cpu")


@pytest.fixture(scope="module")
def people(measured):
    return solve_people(measured)


def test_each_person_is_one_track_over_all_frames(people, crossing):
    _, hips = crossing
    assert people.fps == FPS
    assert people.camera == CAMERA
    assert len(people.frames) == len(FRAMES)
    tracks = people.tracks()
    assert len(tracks) == 2
    index = people.body.joint_names.index
    for track in tracks.values():
        assert [frame for frame, _ in track] == list(range(len(FRAMES)))
        owners = []
        for frame, person in track:
            middle = CAMERA.project(person.joints[[index("upperleg01.L"), index("upperleg01.R")]]).mean(0)
            apart = np.linalg.norm(hips[:, FRAMES[frame]] - middle, axis=1)
            if np.linalg.norm(hips[0, FRAMES[frame]] - hips[1, FRAMES[frame]]) > 20:
                owners.append(int(np.argmin(apart)))
                assert apart.min() < 15
        assert len(set(owners)) == 1


def test_who_is_behind_the_other_is_told_of(people, crossing):
    _, hips = crossing
    (note,) = [note for note in people.notes if note.startswith("Hidden by somebody else")]
    farther = [np.linalg.norm(one.keypoints_2d[23:25].mean(0) - hips[0, FRAMES[0]]) for one in people.frames[0]]
    assert f"person {people.frames[0][int(np.argmin(farther))].track_id + 1} in frames" in note


def test_whom_the_detector_hardly_sees_is_left_out_and_told_of(people, measured):
    def hardly(one: Sighting) -> Sighting:
        landmarks = one.landmarks
        return replace(one, landmarks=replace(landmarks, region=replace(landmarks.region, score=0.2)))

    (piece,) = measured.pieces
    vague = replace(piece.tracks[1], sightings={frame: hardly(one) for frame, one in piece.tracks[1].sightings.items()})
    left = solve_people(replace(measured, pieces=(replace(piece, tracks=[piece.tracks[0], vague]),)), plant=0)
    assert len(left.tracks()) == 1
    assert [note for note in left.notes if "may be there" in note] == [clip_room.MORE.format("Somebody")]
    assert not any("may be there" in note for note in people.notes)


def _moved(one: Sighting, scale: float, to: np.ndarray, belief: float) -> Sighting:
    """A sighting as it would be of a body so many times as large in the picture, elsewhere in it; without hands."""
    landmarks = one.landmarks
    region, off = landmarks.region, to - scale * landmarks.points[[23, 24]].mean(0)
    cx, cy = scale * np.array([region.cx, region.cy]) + off
    region = replace(region, cx=float(cx), cy=float(cy), size=scale * region.size)
    matrix = scale * landmarks.matrix + np.column_stack([np.zeros((2, 2)), off])
    points = (scale * landmarks.points + off).astype(np.float32)
    sigma = scale * landmarks.sigma
    moved = replace(landmarks, points=points, sigma=sigma, region=region, matrix=matrix, belief=belief)
    return replace(one, landmarks=moved, hands={})


@pytest.mark.parametrize("belief", [0.9, 0.99])
def test_a_figure_far_below_the_floor_that_is_hardly_believed_is_left_out_and_told_of(measured, belief):
    (piece,) = measured.pieces
    low = np.array([CAMERA.width / 2, CAMERA.height - 20])
    small = {frame: _moved(one, 0.15, low, belief) for frame, one in piece.tracks[0].sightings.items()}
    figure = replace(piece.tracks[0], sightings=small)
    solved = solve_people(replace(measured, pieces=(replace(piece, tracks=[figure, *piece.tracks]),)))
    told = " ".join(solved.notes)
    if belief < clip_room.SURE:
        assert sorted(solved.tracks()) == [1, 2] and clip_room.MORE.format("Somebody") in told and "below" not in told
    else:
        assert sorted(solved.tracks()) == [0, 1, 2] and "may be there" not in told and "m below the floor" in told


def test_slow_motion_is_solved_at_the_rate_it_was_filmed_at_and_plays_at_its_own(people, measured):
    played = replace(measured, fps=FPS / 4)
    as_slow, as_filmed = solve_people(played), solve_people(played, capture_fps=FPS)
    assert as_filmed.fps == as_slow.fps == as_filmed.measured.fps == FPS / 4
    joints, slow, true = (np.stack([frame[0].joints for frame in one.frames]) for one in (as_filmed, as_slow, people))
    np.testing.assert_array_equal(joints, true)
    assert np.abs(np.diff(slow, 3, axis=0)).mean() > 1.2 * np.abs(np.diff(true, 3, axis=0)).mean()


def test_a_person_has_one_shape_and_is_a_posed_body(people):
    for track in people.tracks().values():
        assert all(np.array_equal(person.shape, track[0][1].shape) for _, person in track)
        for _, person in track[::7]:
            vertices, joints = pose_body(people.body, person.shape, person.rotations, person.translation)
            assert np.allclose(person.vertices, vertices, atol=1e-5)
            assert np.allclose(person.joints, joints, atol=1e-5)
            assert np.allclose(np.linalg.norm(person.rotations, axis=-1), 1, atol=1e-5)
            assert person.vertices.dtype == person.rotations.dtype == person.translation.dtype == np.float32
            assert person.keypoints_2d.shape == (33, 2)


def test_neighbouring_quaternions_lie_in_one_hemisphere(people):
    for track in people.tracks().values():
        rotations = np.stack([person.rotations for _, person in track])
        assert ((rotations[1:] * rotations[:-1]).sum(-1) > 0).all()


def test_a_gap_is_marked_by_its_confidence(people):
    persons = [person for frame in people.frames for person in frame]
    bridged = [person for person in persons if person.score == 0]
    assert all((person.confidence == 0).all() and person.mask is None for person in bridged)
    seen = [person for person in persons if person.score > 0]
    assert all(person.confidence.max() > 0 and person.mask.shape == (288, 384) for person in seen)
    # Not each: of somebody who is all but hidden the network may see little.
    assert np.median([person.confidence.max() for person in seen]) > 0.5
    assert len(seen) > 0.7 * len(persons)


def test_depth_and_normals_of_a_film_are_of_the_people_who_are_followed(people, measured, clip, monkeypatch):
    """Once for all frames; who is out of sight in one of them is not drawn there."""
    tracks = clip_room.identify.identify(measured.pieces, FPS)
    del tracks[0].sightings[2], tracks[0].sightings[1], tracks[1].sightings[1]
    asked = []
    monkeypatch.setattr(blazepose_anny, "measure", lambda *_: asked.append(1) or measured)
    monkeypatch.setattr(clip_room, "solve_clip", lambda *_: people)
    monkeypatch.setattr(clip_room.identify, "identify", lambda *_: tracks)
    short = Clip("crossing", 4, FPS, lambda: islice(clip, 4))
    found = [depth for _, depth in batch.each("depth", short, "builtin", device="cpu")]
    assert len(asked) == 1 and isinstance(found.pop(1), NothingFound)
    for frame, depth in zip((0, 2, 3), found, strict=True):
        assert depth.model == "builtin" and depth.camera == CAMERA
        for person in people.frames[frame]:
            drawn = rasterise(person.vertices, people.body.faces, CAMERA)[0]
            near = np.abs(depth.depth - drawn)[drawn > 0] < 0.3
            assert near.mean() < 0.5 if (frame, person.track_id) == (2, 0) else near.mean() > 0.8
    normals = [one for _, one in batch.each("normals", short, "builtin", device="cpu")]
    np.testing.assert_array_equal(normals[0].valid, found[0].valid)
    np.testing.assert_array_equal(normals[0].normals, found[0].normals)


def test_both_batch_sizes_act_on_a_tracked_clip(clip, monkeypatch):
    crops, solved = [], []
    make, fit = clip_room.follow.Pyramid, fitting._fit_some
    monkeypatch.setattr(clip_room.follow, "Pyramid", lambda pixels, batch: crops.append(batch) or make(pixels, batch))
    monkeypatch.setattr(fitting, "_fit_some", lambda some, *how: solved.append(len(some)) or fit(some, *how))
    short = Clip("short", 4, FPS, lambda: islice(clip, 4))
    recover_people(short, device="cpu", det_batch_size=3, hmr_batch_size=1)
    assert set(crops) == {3}
    assert set(solved) == {1}


def test_progress_rises_and_can_cancel(clip):
    fractions = []

    def stop(fraction, message):
        fractions.append(fraction)
        if fraction > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        recover_people(clip, device="cpu", progress=stop)
    assert fractions == sorted(fractions)


def test_a_clip_without_people_gives_empty_frames():
    photos = [Photo(np.full((96, 128, 3), 90, np.uint8), None, str(i)) for i in range(3)]
    people = recover_people(Clip("nobody", 3, 25.0, lambda: iter(photos)), device="cpu")
    assert people.frames == ((), (), ())
    assert people.fps == 25.0


def test_a_frame_of_another_size_begins_a_shot(crossing):
    pictures = list(crossing[0][6:11])
    pictures[2] = pictures[2].repeat(2, axis=0).repeat(2, axis=1)
    photos = [Photo(picture, None, str(number)) for number, picture in enumerate(pictures)]
    people = recover_people(Clip("sizes", 5, FPS, lambda: iter(photos)), device="cpu")
    assert [camera.width for camera in people.cameras] == [384, 384, 768, 384, 384]
    assert all(people.frames)
    assert {frozenset(frame for frame, _ in track) for track in people.tracks().values()} == {
        frozenset({0, 1}),
        frozenset({2}),
        frozenset({3, 4}),
    }


def test_key_frames_hold_the_first_and_the_last():
    assert key_frames(np.arange(10, 21), 25.0).tolist() == [0, 3, 6, 9, 10]
    assert key_frames(np.array([4, 5, 20]), 25.0).tolist() == [0, 2]
    assert key_frames(np.array([7]), 25.0).tolist() == [0]
    assert key_frames(np.arange(4), 0.0).tolist() == [0, 1, 2, 3]
