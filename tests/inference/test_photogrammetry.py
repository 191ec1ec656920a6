# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras by several photos: a known room, which way is up, where the floor is, and what is told where it fails."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from maquette import inference
from maquette.inference import BadInput, Camera, Cancelled, MissingPackages, NothingFound, Photo
from maquette.inference import reconstruct_photos as solve
from maquette.inference.photo import Clip
from maquette.inference.photogrammetry import colmap, place, upright
from maquette.inference.results import DepthMap

sys.path.insert(0, str(Path(__file__).parent))
from room_views import pose, view

SHARES = np.linspace(0, 1, 7)


def photos(shares=SHARES, **size):
    return [Photo(view(share, **size)[0], name=f"{share:.2f}") for share in shares]


def apart(found, true):
    """Degrees and metres between poses (N, 4, 4), by how much the first are too large, once one similarity has laid
    all but the last of them on the others."""
    turns = [one[:3, :3] @ other[:3, :3].T for one, other in zip(true[:-1], found[:-1], strict=True)]
    u, _, v = np.linalg.svd(np.sum(turns, 0))
    turn = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    one, other = found[:, :3, 3] @ turn.T, true[:, :3, 3]
    centred, known = one[:-1] - one[:-1].mean(0), other[:-1] - other[:-1].mean(0)
    scale = (centred * known).sum() / (centred * centred).sum()
    moved = scale * (one - one[:-1].mean(0)) + other[:-1].mean(0)
    traces = np.einsum("nij,nij->n", turn @ found[:, :3, :3], true[:, :3, :3])
    return np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1))), np.linalg.norm(moved - other, axis=1), 1 / scale


@pytest.mark.full
def test_a_known_room_and_its_floor():
    """Cameras, one of them held out of the alignment, within 0.5 degrees and 1 % of their distance from the room."""
    found = solve(photos())
    assert found.indices.tolist() == list(range(len(SHARES))) and found.fps is None
    true = np.array([pose(share) for share in SHARES])
    degrees, metres, size = apart(found.world_from_camera, true)
    assert degrees.max() < 0.5 and metres.max() < 0.03
    assert size == pytest.approx(1, abs=0.08) and found.floor and "cameras held at 1.6 m" in found.notes[-1]
    assert all(abs(camera.fx / 300 - 1) < 0.01 and camera.source == "photos" for camera in found.cameras)
    assert len(found.points) > 300 and np.median(found.errors) < 0.5 and found.views.min() >= 2
    low = found.points[np.abs(found.points[:, 2]) < 0.1, 2]
    assert len(low) > 0.1 * len(found.points) and np.median(np.abs(low)) < 0.02, "the floor is at height 0"
    np.testing.assert_allclose(found.world_from_camera[0, :2, 3], 0, atol=1e-9)
    assert found.digests[2] == photos()[2].digest


@pytest.mark.full
def test_metres_of_a_depth_model_and_a_film(monkeypatch):
    """A film: one lens, fps kept; a depth of known size tells the metres."""
    frames = photos(np.linspace(0.2, 0.8, 7))
    truth = {view(share)[0].tobytes(): view(share)[1] for share in np.linspace(0.2, 0.8, 7)}

    def known(photo, *_, **__):
        depth = truth[photo.pixels.tobytes()].astype(np.float32) * np.float32(1.5)
        return DepthMap(depth, np.isfinite(depth), None, photo.camera, True, photo.pixels)

    monkeypatch.setattr(place, "estimate_depth", known)
    film = Clip("walk", 7, 25.0, lambda: iter(frames))
    found = solve(film, most_photos=6)
    assert found.fps == 25 and found.length == 7 and len(found.indices) == 6 and found.measured
    assert apart(found.world_from_camera, np.array([pose(0.2 + 0.1 * n) for n in found.indices]))[2] == pytest.approx(
        1.5, rel=0.02
    )
    assert found.notes[0] == "6 of 7 photos were compared"


@pytest.mark.full
def test_what_shows_no_place_from_several_sides():
    random = np.random.default_rng(0)
    with pytest.raises(NothingFound, match="one place from several sides"):
        solve([Photo(random.integers(0, 255, (120, 160, 3)).astype(np.uint8)) for _ in range(3)])
    turning = [Photo(view(0.5, turn=turn)[0]) for turn in (-12, -4, 4, 12)]
    for some in (turning, turning[1:3]):
        with pytest.raises(NothingFound, match="one place from several sides"):
            solve(some)


@pytest.mark.full
def test_two_photos_alone():
    """Every point is seen by two of them, which tell nothing of the lens: it is the one that is given, or guessed."""
    found = solve(photos(SHARES[2:4]))
    assert len(found.points) > 500 and np.median(found.errors) < 0.2
    assert {camera.source for camera in found.cameras} == {"default"} and len({one.fx for one in found.cameras}) == 1
    given = [Photo(one.pixels, Camera(300, 300, 160, 120, 320, 240, "given")) for one in photos(SHARES[2:4])]
    known = solve(given)
    assert known.cameras[0].fx == 300 and known.cameras[0].source == "given"
    true = np.array([pose(share) for share in SHARES[2:4]])
    turned = [pair[0, :3, :3].T @ pair[1, :3, :3] for pair in (known.world_from_camera, true)]
    assert np.degrees(np.arccos(np.clip((np.trace(turned[0].T @ turned[1]) - 1) / 2, -1, 1))) < 0.5


@pytest.mark.full
def test_two_photos_in_a_process_of_their_own(monkeypatch):
    """As where Blender brings a logging of its own: the same numbers."""
    here = solve(photos(SHARES[2:4]))
    monkeypatch.setattr(colmap, "_logging_is_taken", lambda: True)
    there = solve(photos(SHARES[2:4]))
    np.testing.assert_allclose(there.points, here.points, atol=1e-6)
    assert there.cameras == here.cameras


def test_what_cannot_be_solved_is_told(monkeypatch):
    with pytest.raises(BadInput, match="from one side only"):
        solve(photos(SHARES[:1]))
    with pytest.raises(BadInput, match="two photos"):
        solve(photos(SHARES[:2]), most_photos=1)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(MissingPackages) as told:
        solve(photos(SHARES[:2]))
    assert told.value.arguments == {"features": "photogrammetry"} and told.value.operator
    assert inference.reconstruct_photos is solve


def test_a_job_that_is_cancelled_stops_its_work():
    stopped = []

    class Token:
        def cancel(self):
            stopped.append(True)

    class Package:
        CancellationToken = Token

    def report(*_):
        raise Cancelled

    def work(token):
        while not stopped:
            pass

    from maquette.inference.runtime import start

    with pytest.raises(Cancelled):
        colmap._cancellable(Package, start(progress=report), lambda: (0.5, "Joining"), work)
    assert stopped


def test_up_and_floor_of_cameras_held_level(tmp_path):
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    poses = np.array([pose(share) for share in SHARES])
    poses[:, :3] = turn @ poses[:, :3]
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.full((60, 80, 3), 90, np.uint8))
    up = upright.way_up(poses, [grey] * len(poses), [Camera.default(80, 60)] * len(poses))
    assert np.degrees(np.arccos(up @ turn[:, 2])) < 3
    random = np.random.default_rng(1)
    floor = np.concatenate([random.uniform(-4, 4, (400, 2)), random.normal(0, 0.01, (400, 1))], 1)
    wall = np.concatenate([random.uniform(-4, 4, (300, 1)), np.full((300, 1), 4.0), random.uniform(0, 3, (300, 1))], 1)
    table = np.concatenate([random.uniform(0, 1, (300, 2)), np.full((300, 1), 0.7)], 1)
    points = np.concatenate([floor, wall, table]) @ turn.T
    normal, height = upright.floor_under(points, poses[:, :3, 3], up)
    assert np.degrees(np.arccos(min(1, normal @ turn[:, 2]))) < 0.3 and abs(height) < 0.02
    world = upright.world(poses[0], normal, height, 2.0, 1.6)
    placed = points @ world[:3, :3].T + world[:3, 3]
    assert np.abs(np.median(placed[:400, 2])) < 0.02 and np.median(placed[700:, 2]) == pytest.approx(1.4, abs=0.03)
    np.testing.assert_allclose(world[:3, :3] @ poses[0, :3, 3] + world[:3, 3], (0, 0, 2 * 1.6), atol=0.3)
    assert upright.floor_under(points[400:700], poses[:, :3, 3], up) is None
