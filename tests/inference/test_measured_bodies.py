# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0's and SAM 3D Body's clips kept as measurements, and solved again without their networks."""

import numpy as np
import pytest
from maquette.inference import BadInput, Clip, measure_people, recover_people, solve_people
from maquette.inference.__main__ import main
from maquette.inference.people.clip import measured as files
from maquette.inference.people.hmr2 import answers
from maquette.inference.people.hmr2 import clip as hmr2_clip
from maquette.inference.people.sam3d import clip as sam3d_clip


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


def test_their_clips_are_kept_as_a_whole(small_hmr2, short, tmp_path, crossing):
    from PIL import Image

    clip, boxes = short
    with pytest.raises(BadInput, match=r"HMR 2\.0.* measures whole clips only"):
        measure_people(clip, "hmr2", frames=(0, 4), models_dir=small_hmr2, device="cpu")
    for number, picture in enumerate(crossing[0][:4]):
        Image.fromarray(picture).save(tmp_path / f"shot_{number}.png")
    words = [
        "--model",
        "hmr2",
        "--models-dir",
        str(small_hmr2),
        "--device",
        "cpu",
        "--boxes",
        str(boxes[:4]).replace("(", "[").replace(")", "]"),
    ]
    kept, out = str(tmp_path / "kept.npz"), str(tmp_path / "people.npz")
    assert main(["people", "--photo", str(tmp_path / "shot_#.png"), "--measure", kept, *words]) == 0
    assert main(["people", "--merge", kept, "--output", out, "--models-dir", str(small_hmr2)]) == 0
    with np.load(out) as people:
        assert sorted(set(people["frame"].tolist())) == [0, 1, 2, 3]
