# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0's and SAM 3D Body's clips kept as measurements, solved again without networks, and merged from parts."""

from itertools import islice

import numpy as np
import pytest
from maquette.inference import BadInput, Clip, measure_people, recover_people, solve_people
from maquette.inference.__main__ import main
from maquette.inference.people.clip import measured as files
from maquette.inference.people.clip import pieces as clip_pieces
from maquette.inference.people.hmr2 import answers, kept
from maquette.inference.people.hmr2 import clip as hmr2_clip
from maquette.inference.people.sam3d import clip as sam3d_clip
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.hand import HandLandmarks

#: The parts begin inside of pieces and at their ends.
PARTS = ((0, 4), (4, 6), (6, 8))


@pytest.fixture
def short(crossing_clip):
    """Eight frames, and their boxes."""
    clip, boxes, _ = crossing_clip
    photos = [photo for photo, _ in zip(clip, range(8), strict=False)]
    return Clip("short", 8, clip.fps, lambda: iter(photos)), boxes[:8]


def _alike(ours, theirs):
    assert len(ours.tracks()) == len(theirs.tracks()) == 2 and ours.model == theirs.model
    assert np.allclose(ours.world, theirs.world, atol=1e-6)
    for one, other in zip(sum(ours.frames, ()), sum(theirs.frames, ()), strict=True):
        assert one.track_id == other.track_id and one.score == other.score
        for name in ("box", "rotations", "translation", "shape", "vertices", "keypoints_2d", "confidence"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4, err_msg=name)
        assert np.mean(np.abs(one.mask - other.mask) > 0.5) < 0.01


def _nobody(*_, **__):
    pytest.fail("a network ran")


@pytest.mark.parametrize("by", ["boxes", "landmarks"])
def test_hmr2_is_solved_again(by, small_hmr2, short, tmp_path, monkeypatch):
    clip, boxes = short
    asked = {"models_dir": small_hmr2, "device": "cpu"}
    people = recover_people(clip, "hmr2", boxes=boxes if by == "boxes" else None, **asked)
    files.save(tmp_path / "short.npz", people.measured)
    for room, name in ((answers, "_network"), (hmr2_clip, "measure_landmarks"), (hmr2_clip, "look_at_hands")):
        monkeypatch.setattr(room, name, _nobody)
    _alike(solve_people(tmp_path / "short.npz", models_dir=small_hmr2), people)
    raw = solve_people(tmp_path / "short.npz", models_dir=small_hmr2, smoothing=0.0, plant=0.0, fx=840.0)
    assert raw.world is None and raw.camera.fx == 840
    first, before = raw.frames[4][0], people.frames[4][0]
    assert first.translation[2] > 1.5 * before.translation[2] and not np.allclose(first.rotations, before.rotations)
    if by == "boxes":
        with pytest.raises(BadInput, match="measured without Refine"):
            solve_people(people.measured, models_dir=small_hmr2, refine=True)


def test_sam3d_is_solved_again_but_not_through_another_lens(small_sam3d, short, tmp_path, monkeypatch):
    clip, boxes = short
    people = recover_people(clip, "sam3d-body", boxes=boxes, models_dir=small_sam3d, device="cpu", hands="none")
    measured = people.measured
    files.save(tmp_path / "short.npz", measured)
    assert (tmp_path / "short.npz").stat().st_size < 16 * 12_000
    monkeypatch.setattr(sam3d_clip, "read", _nobody)
    _alike(solve_people(tmp_path / "short.npz", models_dir=small_sam3d, hands="none"), people)
    higher = solve_people(measured, models_dir=small_sam3d, floor_height=0.1)
    assert not np.allclose(higher.world[2, 3], people.world[2, 3], atol=0.05)
    assert "not looked at" in higher.notes[-1]
    with pytest.raises(BadInput, match="through another lens"):
        solve_people(tmp_path / "short.npz", models_dir=small_sam3d, fx=840.0)


@pytest.fixture
def short_pieces(monkeypatch):
    """Pieces of so few frames that a short clip has several."""
    for room in (clip_pieces, files):
        monkeypatch.setattr(room, "PIECE", 6)
    monkeypatch.setattr(clip_pieces, "LEAD", 2)
    monkeypatch.setattr(kept, "STRETCH", 2)


def _same(ours, theirs):
    """Whether two results are the same to the last bit."""
    assert ours.model == theirs.model and ours.cameras == theirs.cameras and ours.notes == theirs.notes
    assert np.array_equal(ours.world, theirs.world)
    assert [len(frame) for frame in ours.frames] == [len(frame) for frame in theirs.frames]
    for one, other in zip(sum(ours.frames, ()), sum(theirs.frames, ()), strict=True):
        assert one.track_id == other.track_id
        for name in ("box", "score", "rotations", "translation", "shape", "vertices", "confidence", "mask"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def _in_parts(folder, clip, model, parts=PARTS, **asked):
    for number, frames in enumerate(parts):
        measured = measure_people(clip, model, frames=frames, device="cpu", **asked)
        files.save(folder / f"{number}.npz", measured)
    return folder


def _hands(_template, people, *_):
    """A right hand for everybody."""
    size, none = np.linspace(0, 20, 42).reshape(21, 2).astype(np.float32), np.zeros(21, np.float32)
    world, place = np.pad(size / 200, ((0, 0), (0, 1))), Region(0.0, 0.0, 1.0)
    return [{"right": HandLandmarks(size + one.box[0], world, 0.9, 0.9, 0.9, none, place)} for one in people]


@pytest.mark.parametrize(
    "by", ["boxes", *(pytest.param(by, marks=pytest.mark.full) for by in ("landmarks", "refined"))]
)
def test_hmr2_in_parts_is_the_run_in_one_piece(by, small_hmr2, short, short_pieces, tmp_path, monkeypatch):
    clip, boxes = short
    monkeypatch.setattr(hmr2_clip, "look_at_hands", _hands)  # made-up bodies have theirs nowhere
    asked = {"models_dir": small_hmr2, "boxes": None if by == "landmarks" else boxes}
    asked |= {"refine": True, "hands": "none"} if by == "refined" else {}
    whole = recover_people(clip, "hmr2", device="cpu", **asked)
    assert len(whole.tracks()) == 2
    folder = _in_parts(tmp_path, clip, "hmr2", **asked)
    solved = {name: asked[name] for name in ("models_dir", "refine", "hands") if name in asked}
    _same(solve_people(folder, **solved), whole)


@pytest.mark.full
def test_sam3d_in_parts_is_the_run_in_one_piece(small_sam3d, short, short_pieces, tmp_path):
    clip, boxes = short
    asked = {"models_dir": small_sam3d, "boxes": boxes}
    whole = recover_people(clip, "sam3d-body", device="cpu", **asked)
    _same(solve_people(_in_parts(tmp_path, clip, "sam3d-body", **asked), models_dir=small_sam3d), whole)


def test_sam3d_says_the_same_in_parts(small_sam3d, short, short_pieces, tmp_path):
    clip, boxes = Clip("short", 3, short[0].fps, lambda: islice(short[0], 3)), short[1][:3]
    asked = {"models_dir": small_sam3d, "hands": "none", "boxes": boxes}
    whole = files._arrays_of(measure_people(clip, "sam3d-body", device="cpu", **asked))
    folder = _in_parts(tmp_path, clip, "sam3d-body", ((0, 2), (2, 3)), **asked)
    merged = files._arrays_of(files.merge(files.files_in(folder)))
    assert merged.keys() == whole.keys() and len(whole["answer_place"]) == 6
    for name in whole:
        np.testing.assert_array_equal(merged[name], whole[name], name)


def test_wrong_parts_of_bodies_are_named(small_hmr2, short, short_pieces, tmp_path):
    clip, boxes = short
    folder = _in_parts(tmp_path, clip, "hmr2", models_dir=small_hmr2, boxes=boxes, hands="none")
    asked = {"models_dir": small_hmr2, "device": "cpu", "hands": "none"}
    others = measure_people(clip, "hmr2", boxes=[own[:1] for own in boxes], frames=PARTS[1], **asked)
    files.save(folder / "1.npz", others)
    with pytest.raises(BadInput, match=r"1\.npz was measured with other options than 0\.npz"):
        solve_people(folder, models_dir=small_hmr2)
    files.save(folder / "1.npz", files.replace(others, options=files.load(folder / "0.npz").options))
    with pytest.raises(BadInput, match="The frames up to 4 and those after them were not seen alike"):
        solve_people(folder, models_dir=small_hmr2)
    (folder / "1.npz").unlink()
    with pytest.raises(BadInput, match="The frames 5 to 6 are missing"):
        solve_people(folder, models_dir=small_hmr2)


def test_the_command_line_measures_bodies_in_parts(small_hmr2, short, tmp_path, crossing):
    from PIL import Image

    _, boxes = short
    for number, picture in enumerate(crossing[0][:4]):
        Image.fromarray(picture).save(tmp_path / f"shot_{number}.png")
    given = str(boxes[:4]).replace("(", "[").replace(")", "]")
    words = ["--model", "hmr2", "--models-dir", str(small_hmr2), "--device", "cpu", "--boxes", given]
    parts, out = tmp_path / "parts", str(tmp_path / "people.npz")
    for frames in ("0-1", "2-3"):
        ends = ["--measure", str(parts / f"{frames}.npz"), "--frames", frames, "--hands", "none"]
        assert main(["people", "--photo", str(tmp_path / "shot_#.png"), *ends, *words]) == 0
    assert main(["people", "--merge", str(parts), "--output", out, "--models-dir", str(small_hmr2)]) == 0
    with np.load(out) as people:
        assert sorted(set(people["frame"].tolist())) == [0, 1, 2, 3]
