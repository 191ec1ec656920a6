# SPDX-License-Identifier: GPL-3.0-or-later
"""Many places repainted at once: their prompts and seeds, steadiness over the frames of a film, faces."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference.__main__ import main
from maquette.inference.detailer import places
from maquette.inference.detailer.places import Place, detail_places
from PIL import Image

GREY = np.random.default_rng(0).uniform(0.3, 0.7, (160, 240, 3)).astype(np.float32)


class Recording:
    """Paints noise of its seed over the crop, as a model of little denoise does; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def repaint(self, crop, noise_mask, *, seed, settings):
        self.asked.append(SimpleNamespace(crop=crop, seed=seed, prompt=settings.prompt))
        noise = np.random.default_rng(seed).uniform(0, 1, crop.shape).astype(np.float32)
        return np.clip(0.5 * crop + 0.5 * noise, 0, 1)


def spot(x, y, side=24):
    mask = np.zeros(GREY.shape[:2], np.float32)
    mask[y : y + side, x : x + side] = 1
    return mask


@pytest.fixture
def found(monkeypatch):
    """What is found in each frame."""
    frames = []
    monkeypatch.setattr(places, "_places", lambda kind, clip, run: iter(frames))
    return frames


def film(shift):
    return inference.photo.Clip("film", len(shift), 25.0, lambda: iter([photo(by) for by in shift]))


def photo(by):
    return inference.Photo((np.roll(GREY, by, 1) * 255).astype(np.uint8))


QUICK = {"guide_size": 64, "max_size": 96, "crop_factor": 1.5, "device": "cpu"}


def test_every_place_has_its_own_prompt_and_seed_and_nothing_else_changes(found):
    found.append([Place(0, spot(20, 20)), Place(1, spot(150, 90)), Place(2, spot(80, 110))])
    model = Recording()
    deep = (GREY * 65535).astype(np.uint16)
    (result,) = detail_places(
        deep, "hands", model, prompts=["a fist", "an open hand"], prompt="a hand", feather=2, **QUICK
    )
    assert [one.prompt for one in model.asked] == ["a fist", "an open hand", "a hand"]
    assert len({one.seed for one in model.asked}) == 3 and len(result.segments) == 3
    apart = np.abs(result.image[0] - deep.astype(np.float32) / np.float32(65535)).max(-1)
    inside = spot(16, 16, 32) + spot(146, 86, 32) + spot(76, 106, 32) > 0
    assert apart[~inside].max() == 0 and apart[spot(24, 24, 16) > 0].mean() > 0.1


def test_over_the_frames_of_a_film_a_place_is_steady(found):
    shift = [0, 6, 11, 17]
    found.extend([[Place(4, spot(60 + by, 60)), Place(7, spot(10, 10))] for by in shift])

    def flicker(steady):
        model = Recording()
        shown = [one.image[0] for one in detail_places(film(shift), "people", model, steady=steady, **QUICK)]
        seeds = {(round(one.seed), one.crop.shape) for one in model.asked}
        assert len(seeds) == 2, "one seed and one size a place"
        own = [image[64:80, 64 + by : 80 + by] for image, by in zip(shown, shift, strict=True)]
        return np.mean([np.abs(one - other).mean() for one, other in pairwise(own)]), model

    plain, model = flicker(0.0)
    np.testing.assert_allclose(model.asked[0].crop, model.asked[2].crop, atol=0.02)
    steadied, model = flicker(1.0)
    assert np.abs(model.asked[0].crop - model.asked[2].crop).max() > 0.2, "it starts from what was painted"
    assert plain < 0.05 and steadied < 0.1


def test_a_place_that_moved_on_is_not_started_from(found):
    """Where the picture shows something else, nothing of the frame before is carried on."""
    found.extend([[Place(0, spot(60, 60))]] * 2)
    other = inference.Photo(((1 - GREY) * 255).astype(np.uint8))
    clip = inference.photo.Clip("film", 2, 25.0, lambda: iter([photo(0), other]))
    model = Recording()
    list(detail_places(clip, "people", model, steady=1.0, **QUICK))
    fresh = Recording()
    found[:] = found[1:]
    list(detail_places(other, "people", fresh, **QUICK))
    assert np.abs(model.asked[1].crop - fresh.asked[0].crop).mean() < 0.03


def test_nothing_found_is_said_and_wrong_words_too(found):
    found.append([])
    (result,) = detail_places(GREY, "faces", **QUICK)
    np.testing.assert_array_equal(result.image[0], GREY)
    assert "Nothing to repaint was found" in result.notes[0]
    for wrong in ({"kind": "feet"}, {"steady": 2.0}, {"prompts": "a hand"}, {"batch_size": 2}):
        with pytest.raises(inference.BadInput):
            list(detail_places(GREY, **{"kind": "hands", **wrong}))
    with pytest.raises(TypeError):
        detail_places(GREY, colour=1)


def test_faces_of_people_and_not_the_backs_of_heads():
    points = np.zeros((33, 2), np.float32)
    points[:11] = [[50, 40], *[[44, 34]] * 3, *[[56, 34]] * 3, [38, 38], [62, 38], [46, 48], [54, 48]]
    deep = np.zeros((33, 3), np.float32)
    deep[:, 2], deep[0, 2] = 2, 1.9
    person = SimpleNamespace(keypoints_2d=points, keypoints_3d=deep, mask=None, box=(0, 0, 9, 9))
    mask = places._mask("faces", person, (100, 100))
    rows, columns = np.nonzero(mask)
    assert rows.min() > 17 and rows.max() < 65 and abs(columns.mean() - 50) < 1.5
    assert np.ptp(rows) > np.ptp(columns), "longer than wide"
    deep[0, 2] = 2.1
    assert places._mask("faces", person, (100, 100)) is None
    assert places._mask("people", replace_box(person, (-5, 10, 30, 200)), (100, 100)).sum() == 30 * 90


def replace_box(person, box):
    return SimpleNamespace(**{**vars(person), "box": box})


@pytest.mark.parametrize("kind", ["hands", "faces", "people"])
def test_the_command_line_finds_and_paints_them(tmp_path, kind, capsys):
    photo, output = sample_photo("astronaut"), tmp_path / "out.png"
    words = [
        "detail",
        "--photo",
        str(photo),
        "--each",
        kind,
        "--output",
        str(output),
        "--max-size",
        "128",
        "--denoise",
        "1",
    ]
    assert main([*words, "--device", "cpu"]) == 0, capsys.readouterr().err
    before, after = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (photo, output))
    rows, columns = np.nonzero(np.abs(after - before).max(-1) > 8)
    if kind == "faces":
        assert 40 < rows.mean() < 220 and 150 < columns.mean() < 300 and len(rows) > 1000, "her face"
    elif kind == "people":
        assert len(rows) > 10_000
