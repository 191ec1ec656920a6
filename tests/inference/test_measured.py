# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips measured in parts and solved as one: equal to a run in one piece, and every wrong part is named."""

from dataclasses import replace

import numpy as np
import pytest
from maquette.inference import BadInput, Camera, Clip, Photo, export, measure_people, recover_people, solve_people
from maquette.inference.__main__ import main
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people import blazepose_anny
from maquette.inference.people import clip as clip_room
from maquette.inference.people.clip import measured as files
from maquette.inference.people.clip import pieces as clip_pieces
from maquette.inference.results import Body

CAMERA = Camera(420, 420, 192, 144, 384, 288)
#: The parts begin inside of pieces and at their ends.
PARTS = ((0, 4), (4, 6), (6, 8))
_SKIN = ("vertices", "faces", "joint_names", "parents", "joints", "skin_weights", "shape_blend_shapes")
_SKIN += ("joint_blend_shapes",)


def _clip(pictures, camera=CAMERA):
    photos = [Photo(picture, camera, str(number)) for number, picture in enumerate(pictures)]
    return Clip("crossing", len(photos), 12.5, lambda: iter(photos))


@pytest.fixture(scope="module")
def short_pieces():
    patch = pytest.MonkeyPatch()
    for room in (clip_pieces, files):
        patch.setattr(room, "PIECE", 6)
    patch.setattr(clip_pieces, "LEAD", 2)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def clip(crossing):
    return _clip(crossing[0][6:14])


@pytest.fixture(scope="module")
def parts(clip, short_pieces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    for number, frames in enumerate(PARTS):
        files.save(folder / f"{number}.npz", measure_people(clip, "builtin", frames=frames, device="cpu"))
    return folder


@pytest.fixture(scope="module")
def whole(clip, short_pieces):
    return recover_people(clip, "builtin", device="cpu")


def test_merged_parts_are_the_run_in_one_piece_bit_for_bit(parts, whole):
    merged = solve_people(parts)
    assert len(merged.tracks()) == len(whole.tracks()) == 2
    assert np.array_equal(merged.world, whole.world)
    assert merged.cameras == whole.cameras
    for ours, theirs in zip(merged.frames, whole.frames, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.track_id == other.track_id
            for name in ("vertices", "rotations", "translation", "shape", "confidence", "keypoints_2d"):
                assert np.array_equal(getattr(one, name), getattr(other, name))
            assert (one.mask is None and other.mask is None) or np.array_equal(one.mask, other.mask)


def test_what_was_measured_is_solved_anew_without_networks(parts, whole, monkeypatch):
    for name in ("landmarks", "load_network"):
        monkeypatch.setattr(clip_room.pose, name, lambda *_, **__: pytest.fail("a network ran"))
    rough = solve_people(parts, smoothing=0.0, plant=0.0)
    assert rough.world is None
    assert not np.array_equal(rough.frames[4][0].rotations, whole.frames[4][0].rotations)
    longer = solve_people(parts, fx=840.0)
    assert longer.camera.fx == 840
    assert longer.frames[4][0].translation[2] > 1.5 * whole.frames[4][0].translation[2]


def test_surfaces_of_long_clips_are_made_when_they_are_asked_for(parts, whole, tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(clip_room, "SURFACE_BYTES", 0)
    monkeypatch.setattr(export, "SURFACE_BYTES", 0)
    monkeypatch.setattr(
        export, "save", lambda *given, save=export.save, **more: made.append(given) or save(*given, **more)
    )
    assert main(["people", "--merge", str(parts), "--output", str(tmp_path / "people.npz")]) == 0
    assert "are left out of the file" in capsys.readouterr().err
    late, one = made[0][1].frames[4][0], whole.frames[4][0]
    assert callable(vars(late)["vertices"]) and not callable(vars(one)["vertices"])
    np.testing.assert_allclose(late.vertices, one.vertices, atol=1e-6)
    assert late.box == one.box and late.vertices is not late.vertices
    with np.load(tmp_path / "people.npz") as people:
        assert "vertices" not in people.files
        body = Body(**{name: people[f"body_{name}"] for name in _SKIN}, name="", licence="")
        pose = [people[name][0] for name in ("shape", "rotations", "translation")]
        first = next(person for persons in whole.frames for person in persons)
        np.testing.assert_allclose(pose_body(body, *pose)[0], first.vertices, atol=1e-6)


def test_people_whom_a_detector_finds_are_measured_in_parts(crossing, short_pieces, tmp_path, monkeypatch):
    clip = _clip(crossing[0][6:8])
    monkeypatch.setattr(blazepose_anny, "_boxes_of_detector", lambda some, *_: [[[90, 60, 250, 250]]] * len(some))
    for start in range(2):
        measured = measure_people(
            clip, "builtin", frames=(start, start + 1), detector="my.pt", hands="none", device="cpu"
        )
        files.save(tmp_path / f"{start}.npz", measured)
    assert files.merge(files.files_in(tmp_path)).options["detector"] == repr("my.pt")


def test_a_part_without_what_is_before_it_is_refused(parts):
    with pytest.raises(BadInput, match="Of crossing only frames 5 to 6 were measured"):
        solve_people(files.load(parts / "1.npz"))


def test_wrong_missing_doubled_and_broken_parts_are_named(parts, tmp_path, crossing, short_pieces):
    own = [files.load(parts / f"{number}.npz") for number in range(3)]

    def why(*measured, broken=False):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for number, one in enumerate(measured):
            files.save(folder / f"part{number}.npz", one)
        if broken:
            data = (folder / "part1.npz").read_bytes()
            (folder / "part1.npz").write_bytes(data[: len(data) // 2])
        with pytest.raises(BadInput) as error:
            solve_people(folder)
        return error.value.message

    assert why(own[0], own[2]) == "The frames 5 to 6 are missing."
    assert why(own[0], own[1]) == "The frames 7 to 8 are missing."
    assert why(*own, own[1]) == "part1.npz and part3.npz hold the same frames."
    assert "part1.npz is broken or was not written to its end." in why(*own, broken=True)
    assert why(own[0], replace(own[1], name="other"), own[2]) == "part1.npz is of another clip than part0.npz."
    darker = {**own[1].options, "det_confidence_thresh": "0.9"}
    assert "measured with other options" in why(own[0], replace(own[1], options=darker), own[2])
    others = replace(own[2], digests=own[2].digests[::-1])
    assert why(own[0], own[1], others) == "part2.npz is of other pictures than part1.npz."
    assert why() == "There are no measurements to merge."
    np.savez(tmp_path / "else.npz", a=np.zeros(3))
    with pytest.raises(BadInput, match="holds no measurements of people"):
        solve_people(tmp_path / "else.npz")
    with pytest.raises(BadInput, match="does not exist"):
        solve_people(tmp_path / "nowhere.npz")


def test_the_command_line_measures_by_the_clips_own_numbers_and_merges(crossing, tmp_path, short_pieces, capsys):
    from PIL import Image

    for number, picture in enumerate(crossing[0][6:12]):
        Image.fromarray(picture).save(tmp_path / f"shot_{1001 + number}.png")
    pattern, folder = str(tmp_path / "shot_####.png"), tmp_path / "parts"
    words = ["people", "--photo", pattern, "--measure", f"{folder}/", "--chunk", "4", "--device", "cpu"]
    assert main(words) == 0
    assert [path.name for path in files.files_in(folder)] == ["1001-1004.npz", "1005-1006.npz"]
    assert files.load(folder / "1005-1006.npz").start == 4
    assert main([*words, "--continue"]) == 0 and "2 already there" in capsys.readouterr().err.lower()
    assert main([*words[:-4], "--chunk", "0"]) == 1
    assert main(["people", "--merge", str(folder), "--output", str(tmp_path / "people.npz"), "--plant", "0"]) == 0
    with np.load(tmp_path / "people.npz") as people:
        assert sorted(set(people["frame"].tolist())) == list(range(6))
    assert main(["people", "--photo", pattern, "--measure", str(folder / "x.npz"), "--frames", "1-9"]) == 1
    assert "none of those asked for" in capsys.readouterr().err
    for wrong in (["--frames", "1-2", "--output", "x.npz"], ["--merge", "x", "--measure", "y"], []):
        with pytest.raises(SystemExit):
            main(["people", "--photo", pattern, *wrong])
